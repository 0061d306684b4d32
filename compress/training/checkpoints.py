"""Checkpoints of long trainings: a run that was killed resumes and ends with the same weights."""

from __future__ import annotations

import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from compress.container.file import weights_sha256
from compress.context import Context
from compress.errors import DataError
from compress.model import Model, TrainingCurve
from compress.networks.network_identity import identity
from compress.runtime.atomic_files import write_atomically
from compress.runtime.distributed import ProcessGroup
from compress.runtime.program_code import code_digest
from compress.training.trained_network import TrainedNetwork

_CHECKPOINT_STEPS = 50
"""Steps between two checkpoints."""

_CURVE_POINTS = 120
"""Maximum length of the curve of losses in the report."""


class TrainingCheckpoint:
    """The file with the state of an unfinished training, named by a hash of everything that determines the result.

    It stores nothing if there is no cache folder, and in all processes but the first.
    """

    def __init__(self, kind: str, options: object, model: Model, context: Context) -> None:
        """Compute the file's name from what determines the training; the `repr` of the options is hashed."""
        models = [(*identity(each), weights_sha256(each)) for each in (model, context.reference)]
        forms = [(type(tensor).__name__, getattr(tensor, "stored_as", "")) for tensor in model.tensors.values()]
        run = context.calibration.fingerprint, context.seed, context.stage_seed, str(context.device)
        processes = context.processes.world_size  # their number decides how sums of gradients are rounded
        key = code_digest(), torch.__version__, options, *models, forms, *run, processes
        digest = hashlib.sha256(repr(key).encode()).hexdigest()[:32]
        folder = context.store if context.processes.is_first else None
        self._path = folder / f"{kind}-{digest}.state" if folder else None

    def read(self) -> Mapping[str, Any] | None:
        """Return the last state; None if there is no readable one."""
        try:
            return torch.load(self._path, weights_only=True) if self._path else None
        except Exception:  # of many kinds, for a damaged file
            return None

    def write(self, state: Mapping[str, Any]) -> None:
        """Replace the state. `torch.load` with `weights_only` must be able to read it."""
        if self._path:
            data = io.BytesIO()
            torch.save(dict(state), data)
            write_atomically(self._path, data.getvalue())

    def remove(self) -> None:
        """Remove the file."""
        if self._path:
            self._path.unlink(missing_ok=True)


class ResumableTraining(ABC):
    """A training whose remaining steps depend only on its state and their own numbers.

    Attributes:
        steps: number of all steps.
        network: the network in training.
        optimizer: of its parameters.
        validation: as in `TrainingCurve`.
    """

    steps: int
    network: TrainedNetwork
    optimizer: torch.optim.Optimizer
    validation: Sequence[tuple[int, float, float]] = ()

    @abstractmethod
    def batches(self, first_step: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yield the number of each step from `first_step` on, and the indices of its photos."""

    @abstractmethod
    def step(self, step: int, photos: NDArray[np.int64]) -> float:
        """Run one step on these photos, and return the loss of the batch.

        Raises:
            PassError: the training diverges.
        """

    def state(self) -> dict[str, Any]:
        """Return everything that later steps depend on."""
        network, memory = self.network.state(), self.network.memory()
        return {"network": network, "memory": memory, "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self.network.load_memory(state["memory"])
        self.network.load_state(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


def check_batch(photos: int, processes: ProcessGroup) -> None:
    """Check that a batch has a photo for each process.

    Raises:
        DataError: it has fewer.
    """
    if photos < processes.world_size:
        raise DataError(f"a batch has {photos} photos for {processes.world_size} processes; each needs one")


def run_steps(
    training: ResumableTraining, checkpoint: TrainingCheckpoint, context: Context, description: str
) -> TrainingCurve:
    """Run the steps of a training, from its checkpoint if there is one; write a checkpoint every 50 steps."""
    first, losses = 0, []
    if saved := context.processes.broadcast(checkpoint.read()):
        training.load_state(saved["training"])
        first, losses = int(saved["step"]), list(saved["losses"])
    with context.progress(description, training.steps) as advance:
        advance(first)
        for step, photos in training.batches(first):
            if step % _CHECKPOINT_STEPS == 0 and step > first and training.network.is_finite():
                checkpoint.write({"step": step, "training": training.state(), "losses": losses})
            losses.append(training.step(step, photos))
            advance(1)
    checkpoint.remove()
    return TrainingCurve(_averaged(losses), tuple(training.validation))


def _averaged(losses: Sequence[float]) -> tuple[tuple[int, float], ...]:
    """Return the mean losses of at most `_CURVE_POINTS` runs of steps of equal length, each with its last step."""
    length = max(-(-len(losses) // _CURVE_POINTS), 1)
    runs = (losses[first : first + length] for first in range(0, len(losses), length))
    return tuple((number * length + len(run), float(np.mean(run))) for number, run in enumerate(runs))
