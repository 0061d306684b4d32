"""Training with labels: a network from scratch, or what a compressed one still may change."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from compress import container
from compress.container import weights_sha256
from compress.errors import PassError
from compress.model import Model
from compress.networks.factory import identity
from compress.passes.context import Context
from compress.passes.gradual import Gradual
from compress.passes.resume import Kept
from compress.passes.schedule import Schedule
from compress.passes.training import Training

_KEPT_EVERY = 50
"""Steps after which the state is kept on disk."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Train:
    """Train with the labels of the calibration photos, from scratch or on from the weights there are.

    Pruned weights stay zero. Which weights share a value stays too: their gradients are summed, as in Deep Compression;
    the step is in parts of how many they are, so that one learning rate suits shared weights and others. Weights on
    levels stay. Of the photos a part is held out, the same in every stage of a run; of the weights after each epoch,
    and those before the first, the ones are kept that get the fewest of it wrong, and of those the ones with the least
    loss. One that is interrupted goes on from where it was, at most 50 steps back.

    Attributes:
        epochs: how often each photo is seen.
        batch: photos a step, about; the batches of an epoch differ by one photo at most.
        learning_rate: the highest.
        optimizer: `sgd` with momentum 0.9, as SqueezeNet's authors; or `adamw`.
        nesterov: look ahead in `sgd`.
        schedule: how the rate falls to zero: along a `cosine`, a `polynomial`, or not at all (`constant`).
        power: of the polynomial; 1, as SqueezeNet's authors have it, is a straight line.
        warmup: epochs over which the rate first rises.
        weight_decay: of weights, not of biases.
        label_smoothing: share of each label that is spread over all classes.
        dropout: share of what the classifier sees that is left out at random; the network's own if not given.
        shift: share of a side by which photos are moved at random, at most.
        flip: half of the photos are mirrored; no good for digits, letters and whatever has a left and a right.
        views: train on stretches of the photos at random instead of moving them.
        held_out: share of the photos that training never sees, and that tells when it is best; 0 keeps the last
            weights.
        patience: epochs without better weights, by the photos held out, after which training ends; none if not given.
        prune: prune little by little in the course of the training; not at all if not given.
        mixed_precision: let the network compute in bfloat16 where it can; weights and their steps stay float32.
        compile: let torch compile the network, on GPUs alone.
    Source: Iandola et al. 2016, arXiv:1602.07360; Han et al. 2015, arXiv:1506.02626, and 2016, arXiv:1510.00149,
    section 3.3; Loshchilov & Hutter 2019, arXiv:1711.05101 (adamw).
    """

    kind: ClassVar[str] = "train"

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 30
    batch: Annotated[int, Field(ge=1)] = 64
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.01
    optimizer: Literal["sgd", "adamw"] = "sgd"
    nesterov: bool = False
    schedule: Schedule = "cosine"
    power: Annotated[float, Field(gt=0, le=10)] = 1.0
    warmup: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 2e-4
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.125
    flip: bool = True
    views: bool = False
    held_out: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    patience: Annotated[int, Field(ge=1)] | None = None
    prune: Gradual | None = None
    mixed_precision: bool = False
    compile: bool = False

    @model_validator(mode="after")
    def _options_that_go_together(self) -> Train:
        if self.patience is not None and self.held_out == 0:
            raise ValueError("patience looks at photos held out; give held_out a share of them")
        if self.nesterov and self.optimizer != "sgd":
            raise ValueError("nesterov goes with optimizer: sgd")
        if self.warmup > self.epochs:
            raise ValueError(f"warmup takes {self.warmup:g} of {self.epochs} epochs; at most all of them")
        return self

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with trained values.

        Raises:
            DataError: the calibration photos, their labels or their number are no good for this network.
            PassError: the loss stopped being finite or grew out of all bounds, or nothing is learned any more; says at
                which step, and where the last good weights are. Or there is nothing that could be trained.
        """
        training = Training(self, model, context)
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
