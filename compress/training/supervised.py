"""A training with labels that is on its way: its steps, what it keeps, and when it is at its best."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional

from compress.context import Context
from compress.data.augmentation import Part, random_views, shifted
from compress.errors import DataError, PassError
from compress.model import Model
from compress.tensors.forms import Pruned
from compress.tensors.forms import Tensor as Weights
from compress.training.parametrizations import Trained, Values
from compress.training.schedules import Schedule, rate_at
from compress.training.splits import labels_of, split
from compress.training.trained_network import TrainedNetwork

_MOMENTUM = 0.9

_JUDGED_BATCH = 100
"""Photos held out that run through the network at once."""

_DIVERGED = 100.0
"""A loss so many times that of a guess is one of a training that will not come back."""

_LEARNED = 0.1
"""Below this part of a guess's loss an epoch without a gradient is one in which nothing was left to learn."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class TrainingOptions:
    """How a network is trained with labels.

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
        mixed_precision: let the network compute in bfloat16 where it can; weights and their steps stay float32.
        compile: let torch compile the network, on GPUs alone.
    Source: Iandola et al. 2016, arXiv:1602.07360; Han et al. 2015, arXiv:1506.02626, and 2016, arXiv:1510.00149,
    section 3.3; Loshchilov & Hutter 2019, arXiv:1711.05101 (adamw).
    """

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
    mixed_precision: bool = False
    compile: bool = False

    @model_validator(mode="after")
    def _options_that_go_together(self) -> TrainingOptions:
        if self.patience is not None and self.held_out == 0:
            raise ValueError("patience looks at photos held out; give held_out a share of them")
        if self.nesterov and self.optimizer != "sgd":
            raise ValueError("nesterov goes with optimizer: sgd")
        if self.warmup > self.epochs:
            raise ValueError(f"warmup takes {self.warmup:g} of {self.epochs} epochs; at most all of them")
        return self


class MaskSchedule(Protocol):
    """Which weights stay in the course of a training.

    Attributes:
        last: step before which masks are drawn for the last time.
    """

    last: int

    def due(self, step: int) -> bool:
        """Return whether masks are drawn anew before this step."""

    def masks(self, step: int, weights: Mapping[str, Pruned]) -> dict[str, NDArray[np.bool_]]:
        """Return which weights stay from this step on."""


class Training:
    """A training that is on its way.

    Attributes:
        steps: how many there are to be.
        steps_an_epoch: in each epoch.
    """

    def __init__(
        self,
        options: TrainingOptions,
        model: Model,
        context: Context,
        masks: Callable[[int], MaskSchedule] | None = None,
    ) -> None:
        """Begin with the model's weights.

        Raises:
            DataError: the photos, their labels or their number are no good for this network.
            PassError: there is nothing that could be trained.
        """
        self._options, self._context, self._ranks = options, context, context.ranks
        labels = labels_of(context.calibration, model.classes)
        self._places, self._held = split(labels, options.held_out, context.seed)
        self._labels = torch.from_numpy(labels.astype(np.int64)).to(context.device)
        self.steps_an_epoch = -(-len(self._places) // options.batch)
        if len(self._places) // self.steps_an_epoch < self._ranks.count:
            raise DataError(f"batch is {options.batch}, and {self._ranks.count} processes share it; each needs a photo")
        self.steps = options.epochs * self.steps_an_epoch
        self._guess = math.log(max(model.classes, 2))
        self._network = TrainedNetwork(
            model,
            context,
            dropout=options.dropout,
            compiled=options.compile,
            mixed_precision=options.mixed_precision,
        )
        self._parts = list(self._network.parts.values())
        self._units = [_unit(part) if options.optimizer == "adamw" else 1.0 for part in self._parts]
        weights = model.weight_names()
        self._optimiser = self._made([options.weight_decay if name in weights else 0.0 for name in self._network.parts])
        self._pruning = masks(self.steps) if masks else None
        self._moved = False
        self._best: dict[str, Any] = {}

    def _made(self, decays: list[float]) -> torch.optim.Optimizer:
        # The rate is in the parameter's unit, and multiplies the decay too, which is to be the same in all units.
        alike: dict[tuple[float, float], list[nn.Parameter]] = {}
        for part, decay, unit in zip(self._parts, decays, self._units, strict=True):
            alike.setdefault((unit, decay / unit), []).append(part.parameter)
        groups = [{"params": found, "unit": unit, "weight_decay": decay} for (unit, decay), found in alike.items()]
        if self._options.optimizer == "adamw":
            return torch.optim.AdamW(groups, lr=1.0, fused=True)
        return torch.optim.SGD(groups, lr=1.0, momentum=_MOMENTUM, nesterov=self._options.nesterov, fused=True)

    def begin(self) -> int:
        """Take the weights there are for the best until others are better; return the first step."""
        if len(self._held) and self._pruning is None:
            self._judge(0, 0)
        return 0

    def state(self, step: int) -> dict[str, object]:
        """Return all that the steps from `step` on depend on."""
        return {
            "step": step,
            "parameters": self._network.parameters(),
            "optimiser": self._optimiser.state_dict(),
            "kept": {name: torch.from_numpy(part.mask) for name, part in self._prunable().items()},
            "moved": self._moved,
            "best": self._best,
        }

    @property
    def has_best(self) -> bool:
        """Whether some weights were found to be the best so far."""
        return bool(self._best)

    def is_finite(self) -> bool:
        """Return whether all that is trained is."""
        return all(bool(torch.isfinite(part.parameter).all()) for part in self._parts)

    def restored(self, state: Mapping[str, Any]) -> int:
        """Take up a state, and return its step."""
        self._network.take(state["parameters"])
        for name, part in self._prunable().items():
            part.prune(state["kept"][name].numpy())
        self._optimiser.load_state_dict(state["optimiser"])
        self._moved, self._best = bool(state["moved"]), dict(state["best"])
        return int(state["step"])

    def batches(self, first: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yield each step from `first` on, and the places of its photos: all of them in every epoch, shuffled anew."""
        for epoch in range(first // self.steps_an_epoch, self._options.epochs):
            order = np.random.default_rng([self._context.stage_seed, 0, epoch]).permutation(self._places)
            for number, places in enumerate(np.array_split(order, self.steps_an_epoch)):
                step = epoch * self.steps_an_epoch + number
                if step >= first:
                    yield step, places

    def step(self, step: int, places: NDArray[np.int64]) -> None:
        """Do one step of the optimiser on the photos at these places.

        Raises:
            PassError: the loss is not finite, or has grown out of all bounds.
        """
        if self._pruning and self._pruning.due(step):
            self._prune(step, self._pruning)
        rate = self._rate(step)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["unit"]
        random = np.random.default_rng([self._context.stage_seed, 1, step])
        among = Part(len(places), self._ranks.part(len(places)))
        own = places[among.own]
        inputs = self.augmented(own, random, among)
        logits = self._network.logits(inputs, (int(random.integers(2**32)) + self._ranks.number) % 2**32)
        smoothing = self._options.label_smoothing
        loss = functional.cross_entropy(logits, self._labels[own], label_smoothing=smoothing)
        loss = loss * (len(own) / len(places))
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        value = self._ranks.sum_gradients([part.parameter for part in self._parts], loss)
        self._check(value, step, "the loss")
        for part in self._parts:
            if part.squares is not None and part.parameter.grad is not None:
                part.parameter.grad /= part.squares
        last = self._parts[-1].parameter.grad
        self._moved |= value < _LEARNED * self._guess or (last is not None and bool(last.any()))
        self._optimiser.step()
        for part in self._parts:
            part.hold()

    def augmented(self, places: NDArray[np.int64], random: np.random.Generator, part: Part | None = None) -> Tensor:
        """Return the photos at these places as the network's input, moved or seen in part at random.

        Args:
            places: of the photos.
            random: draws how.
            part: of which photos they are a part.
        """
        options, context = self._options, self._context
        if options.views:
            return random_views(context.inputs(places), random, mirror=options.flip, part=part)
        pixels = context.calibration.at(places)
        return context.as_inputs(shifted(pixels, random, options.shift, mirror=options.flip, part=part))

    def end_of_epoch(self, step: int) -> bool:
        """Keep the weights where they are the best so far; return whether training is to end for want of better ones.

        Raises:
            PassError: nothing was learned in the whole epoch and never will be, or the loss on photos held out is out
                of bounds.
        """
        if not self._moved:
            raise PassError(
                f"the network gave the same answer to every photo, and no gradient, in the whole epoch to step"
                f" {step + 1}: it will not learn any more; lower the learning_rate or give it a warmup"
            )
        self._moved = False
        self._network.average_buffers()
        if not len(self._held) or (self._pruning and step < self._pruning.last):
            return False
        epoch = (step + 1) // self.steps_an_epoch
        self._judge(step, epoch)
        return self._options.patience is not None and epoch - int(self._best["epoch"]) >= self._options.patience

    def tensors(self) -> dict[str, Weights]:
        """Return the best weights, in the forms that they had before."""
        if self._best:
            self._network.take(self._best["parameters"])
        return self._network.tensors()

    def _judge(self, step: int, epoch: int) -> None:
        """Keep the weights if they are the best so far."""
        judgement = self._judgement(step)
        if not self._best or judgement < self._best["judgement"]:
            self._best = {"judgement": judgement, "epoch": epoch, "parameters": self._network.parameters()}

    def _prunable(self) -> dict[str, Values]:
        """Return the parts that may lose weights; none where nothing is pruned in this training."""
        return {} if self._pruning is None else self._network.prunable()

    def _prune(self, step: int, pruning: MaskSchedule) -> None:
        prunable = self._prunable()
        for name, mask in pruning.masks(step, {name: part.pruned() for name, part in prunable.items()}).items():
            prunable[name].prune(mask)

    def _rate(self, step: int) -> float:
        options = self._options
        warmup = options.warmup * self.steps_an_epoch
        part = rate_at(step, self.steps, options.schedule, warmup=warmup, power=options.power)
        return options.learning_rate * part

    def _judgement(self, step: int) -> tuple[int, float]:
        """Return how many photos held out the network gets wrong, and the mean loss on them: less is better."""
        wrong, total = 0, 0.0
        with torch.no_grad():
            for number, start in enumerate(range(0, len(self._held), _JUDGED_BATCH)):
                if not self._ranks.own(number):
                    continue
                places = self._held[start : start + _JUDGED_BATCH]
                logits, labels = self._network.logits(self._context.inputs(places), None), self._labels[places]
                total += functional.cross_entropy(logits, labels, reduction="sum").item()
                wrong += int((logits.argmax(1) != labels).sum())
        found = torch.tensor([wrong, total], dtype=torch.float64)
        self._ranks.sum(found)
        wrong, loss = int(found[0]), float(found[1]) / len(self._held)
        self._check(loss, step, "the loss on photos held out")
        return wrong, loss

    def _check(self, loss: float, step: int, what: str) -> None:
        if not math.isfinite(loss):
            raise PassError(f"{what} is {loss} at step {step + 1}; lower the learning_rate")
        if loss > _DIVERGED * self._guess:
            raise PassError(
                f"{what} is {loss:.3g} at step {step + 1}, and that of a guess is {self._guess:.3g}: training diverges;"
                " lower the learning_rate"
            )


def _unit(part: Trained) -> float:
    """Return how far a parameter moves for its weights to move by 1, on the root mean square."""
    if part.squares is None:
        return 1.0
    return math.sqrt(part.dense().numel() / float(part.squares.sum(dtype=torch.float64)))
