"""Training with labels: a network from scratch, or what a compressed one still may change."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from compress import container
from compress.container.file import weights_sha256
from compress.context import Context
from compress.errors import PassError
from compress.model import Model
from compress.networks.factory import identity
from compress.passes.gradual_pruning import Gradual, Pruning
from compress.training.checkpoints import Kept
from compress.training.supervised import Training, TrainingOptions

_KEPT_EVERY = 50
"""Steps after which the state is kept on disk."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Train(TrainingOptions):
    """Train with the labels of the calibration photos, from scratch or on from the weights there are.

    Pruned weights stay zero. Which weights share a value stays too: their gradients are summed, as in Deep Compression;
    the step is in parts of how many they are, so that one learning rate suits shared weights and others. Weights on
    levels stay. Of the photos a part is held out, the same in every stage of a run; of the weights after each epoch,
    and those before the first, the ones are kept that get the fewest of it wrong, and of those the ones with the least
    loss. One that is interrupted goes on from where it was, at most 50 steps back.

    Attributes:
        prune: prune little by little in the course of the training; not at all if not given.
    Source: Iandola et al. 2016, arXiv:1602.07360; Han et al. 2015, arXiv:1506.02626, and 2016, arXiv:1510.00149,
    section 3.3; Loshchilov & Hutter 2019, arXiv:1711.05101 (adamw).
    """

    kind: ClassVar[str] = "train"

    prune: Gradual | None = None

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with trained values.

        Raises:
            DataError: the calibration photos, their labels or their number are no good for this network.
            PassError: the loss stopped being finite or grew out of all bounds, or nothing is learned any more; says at
                which step, and where the last good weights are. Or there is nothing that could be trained.
        """
        training = Training(self, model, context, self._masks(model, context))
        store = context.store if context.ranks.first else None
        kept = Kept(store, "train", self._decided_by(model, context), with_data=False)
        try:
            self._run(training, kept, context)
        except PassError as error:
            raise PassError(
                f"{error.problem}; {_rescued(training, kept, model, context)}", tensor=error.tensor
            ) from error
        kept.remove()
        return model.with_tensors(training.tensors())

    def _masks(self, model: Model, context: Context) -> Callable[[int], Pruning] | None:
        if self.prune is None:
            return None
        return partial(Pruning, self.prune, model, context)

    def _run(self, training: Training, kept: Kept, context: Context) -> None:
        state = context.ranks.from_first(kept.read())
        first = training.restored(state) if state else training.begin()
        with context.progress("training", training.steps) as advance:
            advance(first)
            for step, places in training.batches(first):
                if step % _KEPT_EVERY == 0 and step > first and training.is_finite():
                    kept.write(training.state(step))
                training.step(step, places)
                advance(1)
                if (step + 1) % training.steps_an_epoch == 0 and training.end_of_epoch(step):
                    break

    def _decided_by(self, model: Model, context: Context) -> tuple[object, ...]:
        forms = tuple((type(tensor).__name__, getattr(tensor, "stored_as", "")) for tensor in model.tensors.values())
        seeds = context.seed, context.stage_seed
        photos = context.calibration.fingerprint, context.reference.preprocessing
        return (
            self,
            model.architecture,
            *identity(model),
            weights_sha256(model),
            forms,
            *photos,
            *seeds,
            str(context.device),
        )


def _rescued(training: Training, kept: Kept, model: Model, context: Context) -> str:
    """Write the last good weights of a training that cannot go on, and return what is to be said of them."""
    which = "best weights until then"
    if not training.has_best:
        state = kept.read()
        if state is None:
            return "what the stage was given is as it was"
        which = f"weights after step {training.restored(state):,}"
    if context.out is None:
        return f"the {which} are not kept, as there is no folder for them"
    path = context.out / f"{context.stage}-unfinished.sqz"
    container.write(path, model.with_tensors(training.tensors()), ("raw",))
    return f"the {which} are in {path}"
