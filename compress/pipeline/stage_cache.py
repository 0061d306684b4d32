"""Results of stages in the cache folder, so that a changed pipeline runs again from its first changed stage.

The key of a result is a hash of everything that affects it: the pass and its options, the stage's name, the seed, the
input weights, the float network, the calibration photos, the code of the program, package versions, device and
threads. `stage-<key>.sqz` is the model, verified by its checksums. `stage-<key>.json`, written before it, has the
resource usage, the notes and the course of the training. `stage-<key>.reference.sqz` exists if the stage permuted
channels: it is the float network permuted likewise.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

from pydantic import TypeAdapter

from compress import container
from compress.configuration.config import Stage, options_of
from compress.context import Context
from compress.errors import FormatError
from compress.model import Model, TrainingCurve
from compress.networks.network_identity import identity
from compress.pipeline import environment
from compress.pipeline.resource_meter import ResourceUsage
from compress.runtime.atomic_files import write_atomically

_CURVE: TypeAdapter[TrainingCurve | None] = TypeAdapter(TrainingCurve | None)

_CODECS = ("raw",)
"""The fastest; all codecs are lossless."""


class StageCache:
    """The cached result of one stage on one model."""

    def __init__(self, folder: Path, stage: Stage, model: Model, context: Context) -> None:
        """Compute the key of the result."""
        self._model = model
        self._stage = {"stage": stage.name, "pass": stage.pass_.kind}
        inputs = {
            **self._stage,
            "options": options_of(stage.pass_),
            "seed": context.seed,
            "model": _digest(model),
            "reference": _digest(context.reference),
            "calibration": context.calibration.fingerprint,
            "codecs": list(context.codecs),
            "network": identity(model),
            "quality": dict(context.quality.identity) if context.quality else None,
        }
        key = environment.result_key(context, inputs)
        self._path, self._reference_path = folder / f"stage-{key}.sqz", folder / f"stage-{key}.reference.sqz"

    def read(self) -> tuple[Model, ResourceUsage] | None:
        """Return the cached model and its resource usage; None if they are missing or damaged."""
        try:
            entry = json.loads(self._path.with_suffix(".json").read_text("utf-8"))
            model = self._model.with_tensors(container.read(self._path).tensors)
            training = _CURVE.validate_python(entry["training"])
            model = replace(model, notes=tuple(entry["notes"]), training=training)
            if entry["permuted_channels"]:
                model = replace(model, reference=self._model.with_tensors(container.read(self._reference_path).tensors))
            return model, ResourceUsage(float(entry["seconds"]), int(entry["peak_bytes"]))
        except (OSError, ValueError, KeyError, TypeError, FormatError):
            return None

    def write(self, model: Model, usage: ResourceUsage) -> None:
        """Store the output of the stage."""
        reference = model.reference if model.reference is not self._model.reference else None
        of_model = {"notes": model.notes, "training": _CURVE.dump_python(model.training)}
        entry = {**self._stage, **asdict(usage), "permuted_channels": reference is not None, **of_model}
        if reference:
            container.write(self._reference_path, reference, _CODECS)
        write_atomically(self._path.with_suffix(".json"), json.dumps(entry).encode())
        container.write(self._path, model, _CODECS)


def _digest(model: Model) -> str:
    return hashlib.sha256(container.encode(model, _CODECS)).hexdigest()
