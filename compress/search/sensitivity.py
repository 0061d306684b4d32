"""Sensitivity scan: the divergence that each layer adds when it alone is pruned or shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Literal

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError

from compress import container
from compress.calibration.layer_sensitivity import divergence
from compress.calibration.photo_batches import spread_indices
from compress.model import Model
from compress.networks.modules import set_weights
from compress.passes import Context, Pass, Prune, Share
from compress.pipeline import environment
from compress.pipeline.config import Pipeline, options_of
from compress.pipeline.inputs import RunInputs
from compress.pipeline.stages import run_stages
from compress.runtime.atomic_files import write_atomically
from compress.runtime.progress import no_progress
from compress.search.tunables import Tunable, evenly_spaced, tunables_of
from compress.tensors.forms import Tensor

Kind = Literal["prune", "share"]

PHOTOS = 32
"""Default number of calibration photos: divergences differ far more between layers than between photos."""

_SPARSITIES = (0.5, 0.7, 0.8, 0.9)
_BITS = (2, 3, 4, 6)
_MAX_SETTINGS = 5
"""Of a pass, if its amount is searched."""


@dataclass(frozen=True)
class Setting:
    """One way to compress a layer.

    Attributes:
        kind: the pass.
        value: sparsity of `prune`, bits of `share`.
    """

    kind: Kind
    value: float

    @property
    def label(self) -> str:
        """Text for the head of a table."""
        return f"prune {self.value:.4g}" if self.kind == "prune" else f"share {self.value:.4g} bits"


@dataclass(frozen=True)
class LayerScan:
    """The sensitivity of one layer.

    Attributes:
        name: of its weight tensor.
        weights: number of its weights.
        divergences: mean Kullback-Leibler divergence from the float network in nats, one for each setting.
    """

    name: str
    weights: int
    divergences: tuple[float, ...]


@dataclass(frozen=True)
class Scan:
    """The sensitivities of all layers; the content of `sensitivity.json`.

    Attributes:
        pipeline: name of the pipeline.
        photos: number of calibration photos.
        settings: the ways to compress a layer.
        layers: in network order.
        all_layers: divergences of all layers compressed together, one for each setting.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    pipeline: str
    photos: int
    settings: tuple[Setting, ...]
    layers: tuple[LayerScan, ...]
    all_layers: tuple[float, ...]

    def to_json(self) -> str:
        """Return the text of `sensitivity.json`."""
        return TypeAdapter(Scan).dump_json(self, indent=2).decode() + "\n"


def scan(pipeline: Pipeline, inputs: RunInputs, photos: int = PHOTOS) -> Scan:
    """Compress each layer alone by pruning and by sharing, and measure the divergence of the outputs.

    The passes have the options of the pipeline except for the amount. Leading stages that train the float network run
    first. The result is cached.

    Args:
        pipeline: has the options, and the ranges of searched amounts.
        inputs: weights and photos.
        photos: maximum number of calibration photos.
    """
    model, context = _float_network(pipeline, inputs)
    passes = _passes(pipeline)
    affects_result = {
        "model": container.weights_sha256(model),
        "calibration": context.calibration.fingerprint,
        "seed": context.seed,
        "photos": photos,
        "passes": [options_of(pass_) for pass_, _ in passes],
    }
    digest = environment.result_key(context, affects_result)
    path = inputs.cache / f"sensitivity-{digest}.json"
    try:
        return replace(TypeAdapter(Scan).validate_json(path.read_bytes()), pipeline=pipeline.name)
    except (OSError, ValidationError):
        result = _scan(pipeline.name, model, context, passes, photos)
        write_atomically(path, result.to_json().encode())
        return result


def _float_network(pipeline: Pipeline, inputs: RunInputs) -> tuple[Model, Context]:
    """Return the float network: as loaded, or as the leading stages train it."""
    training = tuple(takewhile(lambda stage: stage.pass_.needs_labels, pipeline.stages))
    model, context = inputs.reference, inputs.context
    for result in run_stages(replace(pipeline, stages=training), inputs):
        model, context = result.model, result.context
    return model, replace(context, stage="sensitivity")


def _passes(pipeline: Pipeline) -> list[tuple[Pass, Setting]]:
    """Return the passes to apply to each layer, the mildest of each kind first."""
    passes = [stage.pass_ for stage in pipeline.stages]
    prune = next((pass_ for pass_ in passes if isinstance(pass_, Prune)), Prune(sparsity=0.5))
    share = next((pass_ for pass_ in passes if isinstance(pass_, Share)), Share())
    prune = replace(prune, sparsity=0.5, sensitivity=None, nonzero_weights=None, scope="layer", layers={})
    share = replace(share, layers={})
    tunables = tunables_of(pipeline)
    sparsities = _values(tunables, "prune") or _SPARSITIES
    bits = _values(tunables, "share") or _BITS
    return [
        *((replace(prune, sparsity=each), Setting("prune", each)) for each in sparsities),
        *((replace(share, bits=round(each)), Setting("share", each)) for each in reversed(bits)),
    ]


def _values(tunables: Sequence[Tunable], kind: Kind) -> Sequence[float]:
    """Return values that are spread over the ranges of all tunables of a kind, ascending."""
    of_kind = [tunable for tunable in tunables if tunable.pass_.kind == kind]
    spread = sorted({value for tunable in of_kind for value in tunable.spread(_MAX_SETTINGS)})
    return [spread[index] for index in evenly_spaced(len(spread), _MAX_SETTINGS)]


def _scan(pipeline: str, model: Model, context: Context, passes: Sequence[tuple[Pass, Setting]], photos: int) -> Scan:
    names = model.weight_names()
    network = context.network(model)
    inputs = context.inputs(spread_indices(len(context.calibration), photos))
    with torch.inference_mode():
        expected = network(inputs)

    def divergence_with(changed: Mapping[str, Tensor]) -> float:
        set_weights(network, changed)
        with torch.inference_mode():
            nats = float(divergence(network(inputs), expected))
        set_weights(network, {name: model.tensors[name] for name in changed})
        return max(nats, 0.0)

    by_setting, all_layers = [], []
    with context.progress("scanning layers", len(passes) * len(names)) as advance:
        for pass_, _ in passes:
            tensors = pass_(model, replace(context, progress=no_progress)).tensors
            all_layers.append(divergence_with({name: tensors[name] for name in names}))
            by_setting.append([divergence_with({name: tensors[name]}) for name in names])
            advance(len(names))
    layers = tuple(
        LayerScan(name, model.tensors[name].to_dense().size, divergences)
        for name, divergences in zip(names, zip(*by_setting, strict=True), strict=True)
    )
    return Scan(pipeline, len(inputs), tuple(setting for _, setting in passes), layers, tuple(all_layers))
