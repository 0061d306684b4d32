"""How much each layer minds: compressed alone, a little and much, how far do the network's outputs move?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError

from compress import container
from compress.calibration.layer_sensitivity import divergence
from compress.model import Model
from compress.networks.modules import set_weights
from compress.passes import Context, Prune, Share, Train
from compress.pipeline import run_record
from compress.pipeline.config import Pipeline
from compress.pipeline.stage_cache import code_digest
from compress.pipeline.stages import Prepared, stages_of
from compress.runtime.atomic_files import write_atomically
from compress.runtime.progress import silent
from compress.search.tunables import Amount, Kind, amounts_of
from compress.tensors.forms import Tensor

PHOTOS = 32
"""Calibration photos on which divergences are measured, if nothing else is said: layers differ by far more than photos
do."""

_SPARSITIES = (0.5, 0.7, 0.8, 0.9)
_BITS = (2, 3, 4, 6)
_MOST_SETTINGS = 5
"""Of a pass, where a range that is searched says which."""


@dataclass(frozen=True)
class Setting:
    """What is done to a layer.

    Attributes:
        kind: the pass.
        value: sparsity of `prune`, bits of `share`.
    """

    kind: Kind
    value: float

    @property
    def words(self) -> str:
        """In words, for a head of a table."""
        return f"prune {self.value:.4g}" if self.kind == "prune" else f"share {self.value:.4g} bits"


@dataclass(frozen=True)
class LayerScan:
    """One layer, the others left as they are.

    Attributes:
        name: of its weight tensor.
        weights: how many it has.
        divergences: mean Kullback-Leibler divergence from the float network, nats, one for each setting.
    """

    name: str
    weights: int
    divergences: tuple[float, ...]


@dataclass(frozen=True)
class Scan:
    """What each layer minds; the content of `sensitivity.json`.

    Attributes:
        pipeline: name of the pipeline.
        photos: how many calibration photos it was measured on.
        settings: what was done, the same to every layer.
        layers: in the network's order.
        together: divergence where all layers were compressed at once, one for each setting.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    pipeline: str
    photos: int
    settings: tuple[Setting, ...]
    layers: tuple[LayerScan, ...]
    together: tuple[float, ...]

    def to_json(self) -> str:
        """Return the text of `sensitivity.json`."""
        return TypeAdapter(Scan).dump_json(self, indent=2).decode() + "\n"


def scan(pipeline: Pipeline, prepared: Prepared, cache: Path, photos: int = PHOTOS) -> Scan:
    """Compress each layer alone, by pruning and by sharing, and measure how far the outputs move.

    Passes take the options that the pipeline gives them, but for their amount. Trained first is what the pipeline
    trains before it compresses anything. Kept in the cache, under a hash of all that decides it.

    Args:
        pipeline: says how, and where something is searched, between what.
        prepared: what it works on.
        cache: folder for what runs share.
        photos: at most so many calibration photos.
    """
    model, context = _float_network(pipeline, prepared, cache)
    steps = _steps(pipeline)
    decided_by = [
        container.weights_sha256(model), context.calibration.fingerprint, context.seed, photos,
        [run_record.options_of(step) for step, _ in steps], code_digest(), run_record.versions(),
        context.device.type, torch.get_num_threads(),
    ]  # fmt: skip
    digest = hashlib.sha256(json.dumps(decided_by, sort_keys=True).encode()).hexdigest()[:32]
    path = cache / f"sensitivity-{digest}.json"
    try:
        return replace(TypeAdapter(Scan).validate_json(path.read_bytes()), pipeline=pipeline.name)
    except (OSError, ValidationError):
        found = _scanned(pipeline.name, model, context, steps, photos)
        write_atomically(path, found.to_json().encode())
        return found


def _float_network(pipeline: Pipeline, prepared: Prepared, cache: Path) -> tuple[Model, Context]:
    """Return the network before anything is compressed: as it is loaded, or as the first stages train it."""
    trained = 0
    while trained < len(pipeline.stages) and isinstance(pipeline.stages[trained].step, Train):
        trained += 1
    model, context = prepared.reference, prepared.context
    for left in stages_of(replace(pipeline, stages=pipeline.stages[:trained]), prepared, cache):
        model, context = left.model, left.context
    return model, replace(context, stage="sensitivity")


def _steps(pipeline: Pipeline) -> list[tuple[Prune | Share, Setting]]:
    """Return what is done to the layers, of each pass the least first: with the pipeline's own options, and at the
    amounts that are searched, if any are.
    """
    passes = [stage.step for stage in pipeline.stages]
    prune = next((step for step in passes if isinstance(step, Prune)), Prune(sparsity=0.5))
    share = next((step for step in passes if isinstance(step, Share)), Share())
    prune = replace(prune, sparsity=0.5, sensitivity=None, kept_weights=None, scope="layer", layers={})
    share = replace(share, layers={})
    amounts = amounts_of(pipeline)
    steps: list[tuple[Prune | Share, Setting]] = []
    for sparsity in _values(amounts, "prune") or _SPARSITIES:
        steps.append((replace(prune, sparsity=sparsity), Setting("prune", sparsity)))
    for bits in reversed(_values(amounts, "share") or _BITS):
        steps.append((replace(share, bits=round(bits)), Setting("share", bits)))
    return steps


def _values(amounts: Sequence[Amount], kind: Kind) -> Sequence[float]:
    """Return what amounts of a kind may be, evenly spread over all of them, ascending."""
    spread = sorted({value for amount in amounts if amount.kind == kind for value in amount.spread(_MOST_SETTINGS)})
    places = np.linspace(0, len(spread) - 1, min(len(spread), _MOST_SETTINGS)).round().astype(int)
    return [spread[place] for place in places]


def _scanned(
    pipeline: str, model: Model, context: Context, steps: Sequence[tuple[Prune | Share, Setting]], photos: int
) -> Scan:
    names = model.weight_names()
    network, inputs = context.network(model), context.inputs(_spread(len(context.calibration), photos))
    with torch.inference_mode():
        wanted = network(inputs)

    def moved(changed: Mapping[str, Tensor]) -> float:
        set_weights(network, changed)
        with torch.inference_mode():
            found = float(divergence(network(inputs), wanted))
        set_weights(network, {name: model.tensors[name] for name in changed})
        return max(found, 0.0)

    by_setting, together = [], []
    with context.progress("scanning layers", len(steps) * len(names)) as advance:
        for step, _ in steps:
            tensors = step(model, replace(context, progress=silent)).tensors
            together.append(moved({name: tensors[name] for name in names}))
            by_setting.append([moved({name: tensors[name]}) for name in names])
            advance(len(names))
    layers = tuple(
        LayerScan(name, model.tensors[name].to_dense().size, divergences)
        for name, divergences in zip(names, zip(*by_setting, strict=True), strict=True)
    )
    return Scan(pipeline, len(inputs), tuple(setting for _, setting in steps), layers, tuple(together))


def _spread(photos: int, most: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the places of so many photos, evenly spread: a folder is sorted by class."""
    return np.linspace(0, photos - 1, min(photos, most)).astype(np.int64)
