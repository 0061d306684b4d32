"""Checkpoints of long trainings: a run that was killed resumes and ends with the same weights."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from compress.container.file import weights_sha256
from compress.context import Context
from compress.model import Model
from compress.networks.factory import identity
from compress.runtime.atomic_files import write_atomically
from compress.training.trained_network import TrainedNetwork

_CHECKPOINT_STEPS = 50
"""Steps between two checkpoints."""


class TrainingCheckpoint:
    """The file with the state of one unfinished training. Its name is a hash of everything that determines the result.

    Without a cache folder, and in all processes but the first, it stores nothing.
    """

    def __init__(self, kind: str, options: object, model: Model, context: Context) -> None:
        """Find the file's path.

        Args:
            kind: name of the pass, the first part of the file name.
            options: options of the pass; distinguished by their `repr`.
            model: the model before the training.
            context: of the training.
        """
        models = [
            (each.architecture, *identity(each), weights_sha256(each), each.preprocessing)
            for each in (model, context.reference)
        ]
        forms = [(type(tensor).__name__, getattr(tensor, "stored_as", "")) for tensor in model.tensors.values()]
        seeds = context.seed, context.stage_seed
        key = (torch.__version__, options, *models, forms, context.calibration.fingerprint, *seeds, str(context.device))
        digest = hashlib.sha256(repr(key).encode()).hexdigest()[:32]
        folder = context.store if context.processes.is_first else None
        self._path = folder / f"{kind}-{digest}.state" if folder else None

    def read(self) -> Mapping[str, Any] | None:
        """Return the last state written, or None if there is no readable one."""
        try:
            return torch.load(self._path, weights_only=True) if self._path else None
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
            return None

    def write(self, state: Mapping[str, Any]) -> None:
        """Replace the state: tensors, numbers and strings in tuples, lists and dicts."""
        if self._path:
            data = io.BytesIO()
            torch.save(dict(state), data)
            write_atomically(self._path, data.getvalue())

    def remove(self) -> None:
        """Remove the file, if there is one."""
        if self._path:
            self._path.unlink(missing_ok=True)


class ResumableTraining(Protocol):
    """A training whose remaining steps depend on nothing but its state and their own numbers.

    Attributes:
        steps: number of all steps.
        network: the network in training.
    """

    steps: int
    network: TrainedNetwork

    def batches(self, first_step: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yield the number of each step from `first_step` on, and the indices of its photos."""

    def step(self, step: int, photos: NDArray[np.int64]) -> None:
        """Run one step on these photos."""

    def state(self) -> dict[str, Any]:
        """Return everything that later steps depend on."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""


def run_steps(training: ResumableTraining, checkpoint: TrainingCheckpoint, context: Context, description: str) -> None:
    """Run all steps of a training, from its checkpoint if there is one, and write a checkpoint every 50 steps."""
    first = 0
    if saved := context.processes.broadcast(checkpoint.read()):
        training.load_state(saved["training"])
        first = int(saved["step"])
    with context.progress(description, training.steps) as advance:
        advance(first)
        for step, photos in training.batches(first):
            if step % _CHECKPOINT_STEPS == 0 and step > first and training.network.is_finite():
                checkpoint.write({"step": step, "training": training.state()})
            training.step(step, photos)
            advance(1)
    checkpoint.remove()
