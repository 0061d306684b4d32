"""Sensitivity scan: the divergence that each layer adds when it alone is pruned or shared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import takewhile

import torch
from pydantic import TypeAdapter

from compress.calibration.photo_batches import spread_indices
from compress.configuration.config import Pipeline
from compress.context import Context
from compress.model import Model
from compress.networks.modules import set_weights
from compress.passes import Pass, Prune, Share
from compress.pipeline.inputs import RunInputs
from compress.pipeline.stages import run_stages
from compress.runtime.progress import no_progress
from compress.search.tunables import evenly_spaced, tunables_of
from compress.tensors.forms import Tensor

PHOTOS = 32
"""Default number of calibration photos: divergences differ far more between layers than between photos."""

_PASSES: tuple[tuple[Pass, tuple[float, ...]], ...] = (
    (Prune(sparsity=0.5), (0.5, 0.7, 0.8, 0.9)),
    (Share(), (6, 4, 3, 2)),
)
"""Passes for a pipeline without them, and their usual amounts, the mildest first."""

_MAX_AMOUNTS = 5
"""Maximum number of amounts of a pass, if its amount is searched."""


@dataclass(frozen=True)
class Setting:
    """One way to compress a layer.

    Attributes:
        kind: the pass.
        value: its amount: sparsity of `prune`, bits of `share`.
    """

    kind: str
    value: float

    @property
    def label(self) -> str:
        """Text for the head of a table."""
        return f"{self.kind} {self.value:.4g}"


@dataclass(frozen=True)
class LayerScan:
    """The sensitivity of one layer.

    Attributes:
        name: of its weight tensor.
        weights: number of its weights.
        divergences: mean Kullback-Leibler divergence from the float network in nats, or relative mean squared error of
            values, one for each setting. Infinite, and null in JSON, if the outputs are not finite.
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
    first.
    """
    model, context = _float_network(pipeline, inputs)
    names, passes, output_error = model.weight_names(), _passes(pipeline), context.fisher.output_error
    network = context.network(model)
    photo_inputs = context.inputs(spread_indices(len(context.calibration), photos))
    with torch.no_grad():
        expected = network(photo_inputs)

    def divergence_with(changed: Mapping[str, Tensor]) -> float:
        set_weights(network, {**model.tensors, **changed})  # the forward pass may have changed others
        with torch.no_grad():
            nats = float(output_error(network(photo_inputs), expected))
        return max(nats, 0.0) if math.isfinite(nats) else math.inf

    by_setting, all_layers = [], []
    with context.progress("scanning layers", len(passes) * len(names)) as advance:
        for pass_ in passes.values():
            tensors = pass_(model, replace(context, progress=no_progress)).tensors
            all_layers.append(divergence_with({name: tensors[name] for name in names}))
            by_setting.append([divergence_with({name: tensors[name]}) for name in names])
            advance(len(names))
    layers = tuple(
        LayerScan(name, model.tensors[name].to_dense().size, divergences)
        for name, divergences in zip(names, zip(*by_setting, strict=True), strict=True)
    )
    return Scan(pipeline.name, len(photo_inputs), tuple(passes), layers, tuple(all_layers))


def _float_network(pipeline: Pipeline, inputs: RunInputs) -> tuple[Model, Context]:
    """Return the float network: as loaded, or as the leading stages train it."""
    training = tuple(takewhile(lambda stage: stage.pass_.needs_labels, pipeline.stages))
    model, context = inputs.reference, inputs.context
    for result in run_stages(replace(pipeline, stages=training), inputs):
        model, context = result.model, result.context
    return model, replace(context, stage="sensitivity")


def _passes(pipeline: Pipeline) -> dict[Setting, Pass]:
    """Return the passes to apply to each layer, the mildest of each kind first."""
    tunables = tunables_of(pipeline)
    passes: dict[Setting, Pass] = {}
    for default, usual in _PASSES:
        kind = default.kind
        pass_ = next((stage.pass_ for stage in pipeline.stages if stage.pass_.kind == kind), default)
        of_kind = [tunable for tunable in tunables if tunable.pass_.kind == kind]
        searched = {amount for tunable in of_kind for amount in tunable.spread(_MAX_AMOUNTS)}
        amounts = sorted(searched or usual, reverse=usual[0] > usual[-1])
        for index in evenly_spaced(len(amounts), _MAX_AMOUNTS):
            passes[Setting(kind, amounts[index])] = pass_.with_amount(amounts[index])
    return passes
