"""What stages left in earlier runs, so that changing one reruns from there on.

Each result is kept in the cache under a hash of all that decides it: the pass and its options, the stage's name and the
seed, the weights that it was given, the float network, the calibration photos, the program's own code, and the versions
and the machine's settings that may change a float's last bit. So nothing stale is ever found. `stage-<hash>.sqz` holds
the model, checked by its checksums when it is read; `stage-<hash>.json`, written before it, what it took to make; and
`stage-<hash>.origin.sqz`, where a stage moved channels, the model's origin.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch

from compress import container
from compress.errors import FormatError
from compress.model import Model
from compress.networks.factory import identity
from compress.passes import Context, Distill
from compress.pipeline import run_record
from compress.pipeline.config import Stage
from compress.pipeline.resource_meter import Cost
from compress.runtime.atomic_files import write_atomically

_CODECS = ("raw",)
"""Without loss, as all are, and quick."""


class KeptStage:
    """One stage on one model."""

    def __init__(self, store: Path, stage: Stage, model: Model, context: Context) -> None:
        """Begin.

        Args:
            store: folder of the cache.
            stage: what is to be done.
            model: what it is given.
            context: what it is given beside the model.
        """
        self._model = model
        self._about = {"stage": stage.name, "pass": stage.step.kind}
        decided_by = {
            **self._about,
            "options": run_record.options_of(stage.step),
            "seed": context.seed,
            "model": _digest(model),
            "reference": _digest(context.reference),
            "calibration": context.calibration.fingerprint,
            "codecs": list(context.codecs),
            "code": code_digest(),
            "network": identity(model),
            "teacher": _teacher(stage, context),
            "versions": run_record.versions(),
            "device": context.device.type,
            "threads": torch.get_num_threads(),
            "processes": context.ranks.count,
        }
        key = hashlib.sha256(json.dumps(decided_by, sort_keys=True).encode()).hexdigest()[:32]
        self._path, self._origin = store / f"stage-{key}.sqz", store / f"stage-{key}.origin.sqz"

    def read(self) -> tuple[Model, Cost] | None:
        """Return what the stage left, and what it took; None where that is not kept, or not whole."""
        try:
            about = json.loads(self._path.with_suffix(".json").read_text("utf-8"))
            model = self._model.with_tensors(container.read(self._path).tensors)
            if about["moved_channels"]:
                model = replace(model, origin=self._model.with_tensors(container.read(self._origin).tensors))
            return model, Cost(about["seconds"], about["peak_bytes"])
        except (OSError, ValueError, KeyError, FormatError):
            return None

    def write(self, model: Model, cost: Cost) -> None:
        """Keep what the stage left."""
        moved = model.origin if model.origin is not self._model.origin else None
        took = {"seconds": cost.seconds, "peak_bytes": cost.peak_bytes}
        about: Mapping[str, object] = {**self._about, **took, "moved_channels": moved is not None}
        if moved:
            container.write(self._origin, moved, _CODECS)
        write_atomically(self._path.with_suffix(".json"), json.dumps(about).encode())
        container.write(self._path, model, _CODECS)


def _teacher(stage: Stage, context: Context) -> tuple[str, ...]:
    """Return what decides the outputs of another teacher than the float network."""
    if not isinstance(stage.step, Distill) or stage.step.teacher is None:
        return ()
    teacher = stage.step.taught_by(context)
    return _digest(teacher), *identity(teacher)


@cache
def code_digest() -> str:
    """Return a hash of this package's source: whatever is changed in it, no result of before is found."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for file in sorted(root.rglob("*.py")):
        digest.update(f"{file.relative_to(root)}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _digest(model: Model) -> str:
    return hashlib.sha256(container.encode(model, _CODECS)).hexdigest()
