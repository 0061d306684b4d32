"""Distillation: what a network still may change is trained towards the float network's outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from compress.calibration.layer_sensitivity import divergence
from compress.container.file import weights_sha256
from compress.context import Context
from compress.data.augmentation import Part, random_views
from compress.errors import DataError, PassError
from compress.model import Model
from compress.networks.factory import identity
from compress.networks.weight_sources import Trained as TrainedSource
from compress.networks.weight_sources import load
from compress.training.checkpoints import Kept
from compress.training.distillation_targets import Teacher, blocks_of, outputs_of
from compress.training.parametrizations import Levels, Trained, in_training
from compress.training.teacher_adapter import teacher_for

_SETTLED_EVERY = 2
"""Steps after which levels are chosen anew."""

_KEPT_EVERY = 50
"""Steps after which the state is kept on disk; a multiple of `_SETTLED_EVERY`."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Distill:
    """Train what is not decided yet, with few photos and no labels, until the outputs are the float network's again.

    As in Deep Compression, the gradients of all weights that share a value are summed; which weights share it does
    not change, and pruned weights stay pruned. Weights that are not shared are trained one by one. The loss is the
    Kullback-Leibler divergence of the softmax from the float network's, on calibration photos and their mirror
    images. Biases on levels are trained, and go to the nearest; weights on levels stay, unless `levels` says otherwise.
    One that is interrupted goes on from where it was, at most 50 steps back.

    Attributes:
        steps: of the optimiser (Adam, the rate falling to zero along a cosine).
        batch: photos a step.
        learning_rate: for shared values, in parts of the mean distance between them; for weights on levels in steps;
            for biases and weights that are not shared, in parts of the tensor's mean magnitude.
        temperature: divides the logits of both networks before the softmax.
        match: `logits`, from end to end; or `blocks`: each module, such as a Fire module, by itself learns to give the
            float network's output from what the compressed network puts into it.
        levels: `trained` lets weights on levels go to others, straight through.
        keep_zeros: weights on level zero stay there; needed where some of them were pruned.
        slope: nats that a bit is worth to weights on levels, so that bytes do not creep back.
        views: train on stretches of the photos at random, instead of the photos and their mirror images.
        labels: share of the loss that is the cross-entropy with the photos' own labels, 0 to 1.
        teacher: another network to learn from than the float one, of the same classes, as in the pipeline's `model`; it
            sees the photos as the network's input has them, brought to its own size and colours.
    Source: Han et al. 2016, arXiv:1510.00149, section 3.3; Hinton et al. 2015, arXiv:1503.02531.
    """

    kind: ClassVar[str] = "distill"

    steps: Annotated[int, Field(ge=1)] = 100
    batch: Annotated[int, Field(ge=1)] = 32
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.03
    temperature: Annotated[float, Field(gt=0, le=100)] = 1.0
    match: Literal["logits", "blocks"] = "logits"
    levels: Literal["fixed", "trained"] = "fixed"
    keep_zeros: bool = True
    slope: Annotated[float, Field(ge=0, le=1)] = 1e-7
    views: bool = False
    labels: Annotated[float, Field(ge=0, le=1)] = 0.0
    teacher: TrainedSource | None = None

    @model_validator(mode="after")
    def _labels_from_end_to_end(self) -> Distill:
        if self.labels and self.match == "blocks":
            raise ValueError("labels go with match: logits; a block by itself knows nothing of them")
        if self.teacher and self.match == "blocks":
            raise ValueError("a teacher goes with match: logits; it has no blocks like the network's")
        return self

    @property
    def moves_zeros(self) -> bool:
        """Whether weights on level zero may go to others."""
        return self.levels == "trained" and not self.keep_zeros

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with trained values.

        Raises:
            DataError: there are no calibration photos.
            PassError: the loss stopped being finite, and says at which step; or `labels` are asked for and the
                calibration photos have none.
        """
        if len(context.calibration) == 0:
            raise DataError("distillation needs at least one photo")
        if self.labels and context.calibration.labels is None:
            raise PassError(f"labels is {self.labels:g}, and the calibration photos have no labels; set it to 0")
        if min(self.batch, len(context.calibration)) < context.ranks.count:
            raise DataError(f"a batch is of fewer photos than the run has processes, {context.ranks.count}")
        kept = Kept(context.store if context.ranks.first else None, "distill", self._decided_by(model, context))
        state = context.ranks.from_first(kept.read())
        training = _Training(self, model, context, kept.beside)
        first = training.restored(state) if state else 0
        order = _batches(len(context.calibration), self.batch, self.steps, np.random.default_rng(context.stage_seed))
        with context.progress("distilling", self.steps) as advance:
            advance(first)
            for step in range(first, self.steps):
                if step % _KEPT_EVERY == 0 and step > first:
                    kept.write(training.state(step))
                training.step(step, order[step])
                advance(1)
        kept.remove()
        return model.with_tensors({name: part.tensor(name) for name, part in training.trained.items()})

    def taught_by(self, context: Context) -> Model:
        """Return the network to learn from.

        Raises:
            ConfigError, FormatError, WeightsError: another teacher was asked for, and cannot be had.
        """
        return load(self.teacher, context.seed) if self.teacher else context.reference

    def _decided_by(self, model: Model, context: Context) -> tuple[object, ...]:
        taught_by = self.taught_by(context)
        weights = weights_sha256(model), weights_sha256(taught_by), *identity(model), *identity(taught_by)
        return (self, *weights, context.calibration.fingerprint, context.stage_seed, str(context.device))


class _Training:
    """A distillation that is on its way."""

    def __init__(self, options: Distill, model: Model, context: Context, file: Path | None) -> None:
        self.options, self.context = options, context
        self.network, self.reference = context.network(model), context.network(context.reference)
        taught_by = self.reference
        if options.teacher:
            taught_by = teacher_for(model, options.taught_by(context)).to(context.device)
        self.teacher = Teacher(taught_by, len(context.calibration), model.classes, file)
        self.blocks = blocks_of(self.reference, model.weight_names())
        levels = {"levels": options.levels == "trained", "keep_zeros": options.keep_zeros}
        self.trained: Mapping[str, Trained] = {
            name: in_training(name, model.tensors[name], context.device, **levels)
            for name, _ in self.network.named_parameters()  # no running means and the like, which have no gradients
        }
        self.parts = [part for part in self.trained.values() if part.parameter.requires_grad]
        self.levels = [part for part in self.parts if isinstance(part, Levels)]
        self.optimiser = torch.optim.Adam([{"params": [part.parameter]} for part in self.parts])

    def state(self, step: int) -> dict[str, object]:
        """Return all that the steps from `step` on depend on."""
        self.teacher.flush()
        return {
            "step": step,
            "parameters": {name: part.parameter.detach() for name, part in self.trained.items()},
            "optimiser": self.optimiser.state_dict(),
            "known": torch.from_numpy(self.teacher.known),
        }

    def restored(self, state: Mapping[str, Any]) -> int:
        """Take up a state, and return its step."""
        with torch.no_grad():
            for name, part in self.trained.items():
                part.parameter.copy_(state["parameters"][name])
        self.optimiser.load_state_dict(state["optimiser"])
        self.teacher.known[:] = state["known"].numpy()
        return int(state["step"])

    def step(self, step: int, places: NDArray[np.int64]) -> None:
        """Do one step of the optimiser on the photos at these places."""
        rate = self.options.learning_rate * (1 + math.cos(math.pi * step / self.options.steps)) / 2
        for group, part in zip(self.optimiser.param_groups, self.parts, strict=True):
            group["lr"] = rate * part.unit
        if step % _SETTLED_EVERY == 0:
            for part in self.levels:
                part.settle()
        among = Part(len(places), self.context.ranks.part(len(places)))
        own = places[among.own]
        loss = self._loss(own, among, np.random.default_rng([self.context.stage_seed, step]))
        loss = loss * (len(own) / len(places))
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        value = self.context.ranks.sum_gradients([part.parameter for part in self.parts], loss)
        if not math.isfinite(value):
            raise PassError(f"the loss is {value} at step {step + 1}; lower the learning_rate")
        for part in self.levels:
            part.add_rate(self.options.slope)
        self.optimiser.step()
        for part in self.parts:
            part.hold()

    def _loss(self, places: NDArray[np.int64], among: Part, random: np.random.Generator) -> Tensor:
        inputs = self.context.inputs(places)
        mirrored = np.zeros(len(places), dtype=np.bool_)
        if self.options.views:
            inputs = random_views(inputs, random, part=among)
        else:
            mirrored = random.random(among.photos)[among.own] < 0.5
            chosen = torch.from_numpy(mirrored).to(inputs.device)
            inputs = torch.where(chosen[:, None, None, None], inputs.flip(3), inputs)
        weights = {name: part.dense() for name, part in self.trained.items()}
        if self.options.match == "blocks":
            return self._block_loss(weights, inputs)
        logits = functional_call(self.network, weights, (inputs,))
        known = not self.options.views
        wanted = self.teacher.of_photos(inputs, places, mirrored) if known else self.teacher(inputs)
        loss = divergence(logits / self.options.temperature, wanted / self.options.temperature)
        if self.options.labels:
            assert self.context.calibration.labels is not None
            labels = torch.from_numpy(self.context.calibration.labels[places]).to(inputs.device)
            loss = torch.lerp(loss, functional.cross_entropy(logits, labels), self.options.labels)
        return loss

    def _block_loss(self, weights: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        """Return the sum over blocks of the squared error in parts of the output's square."""
        with ExitStack() as stack:
            got = stack.enter_context(outputs_of(self.network, self.blocks, apart=True))
            wanted = stack.enter_context(outputs_of(self.reference, self.blocks, apart=False))
            self.teacher(inputs)
            functional_call(self.network, dict(weights), (inputs,))
        return torch.stack([_relative_error(got[name], wanted[name]) for name in self.blocks]).sum()


def _relative_error(got: Tensor, wanted: Tensor) -> Tensor:
    # A block that never fires has an output of zeros.
    return (got - wanted).square().sum() / wanted.square().sum().clamp(min=torch.finfo(wanted.dtype).tiny)


def _batches(photos: int, size: int, steps: int, generator: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return the photos of each step: every photo once, in random order, before any a second time."""
    size = min(size, photos)
    rounds = -(-steps * size // photos)
    order = np.concatenate([generator.permutation(photos) for _ in range(rounds)])
    return [order[start : start + size] for start in range(0, steps * size, size)]
