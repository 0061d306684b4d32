"""Supervised training: its steps, its validation, and the best weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from compress.context import Context
from compress.data.augmentation import random_shifts
from compress.errors import PassError
from compress.model import Model
from compress.tensors.forms import Pruned
from compress.tensors.forms import Tensor as WeightTensor
from compress.training.checkpoints import ResumableTraining, check_batch
from compress.training.splits import stratified_split, training_labels
from compress.training.trained_network import TrainedNetwork, check_loss, cosine_schedule
from compress.training.training_options import TrainingOptions

_MOMENTUM = 0.9

_VALIDATION_BATCH = 100
"""Photos per batch in validation."""

_MAX_LOSS = 100.0
"""Maximum loss, as a multiple of the loss of a random guess; above it, the training diverges."""

_LEARNED_LOSS = 0.1
"""Below this multiple of the loss of a random guess, a zero gradient is no error: the network fits the photos."""


class MaskSchedule(Protocol):
    """Masks by step; `last_step` sets the final ones."""

    last_step: int

    def is_due(self, step: int) -> bool:
        """Return whether this step begins with new masks."""

    def masks(self, step: int, weights: Mapping[str, Pruned]) -> dict[str, NDArray[np.bool_]]:
        """Return the new masks, by tensor name."""


class SupervisedTraining(ResumableTraining):
    """The steps of one training with labels.

    Attributes:
        steps_per_epoch: number of steps of each epoch.
        mask_schedule: prunes during the training; None: no pruning.
        best: the best weights so far and their score; empty: validation has selected none.
    """

    def __init__(self, options: TrainingOptions, model: Model, context: Context) -> None:
        """Begin with the model's weights.

        Raises:
            DataError: the photos or their labels do not suit this network.
            PassError: no tensor can be trained.
        """
        self._options, self._context, self._processes = options, context, context.processes
        labels = training_labels(context.calibration, model.classes)
        self._photos, self._validation = stratified_split(labels, options.validation_split, context.seed)
        self._labels = torch.from_numpy(labels.astype(np.int64)).to(context.device)
        self.steps_per_epoch = -(-len(self._photos) // options.batch)
        self.steps = options.epochs * self.steps_per_epoch
        check_batch(len(self._photos) // self.steps_per_epoch, context.processes)
        self._guess_loss = math.log(max(model.classes, 2))
        self.network = TrainedNetwork(model, context, options.dropout)
        self.optimizer = self._build_optimizer(model.weight_names())
        self.mask_schedule: MaskSchedule | None = None
        self._learns = False
        self.best: dict[str, Any] = {}
        self.validation: list[tuple[int, float, float]] = []

    def _build_optimizer(self, weight_names: list[str]) -> torch.optim.Optimizer:
        """Return the optimizer. One group for all parameters of the same scale and decay is faster."""
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, each in self.network.trained.items():
            scale = each.update_scale if self._options.optimizer == "adamw" else 1.0
            # The learning rate, which includes the scale, multiplies the decay.
            decay = self._options.weight_decay / scale if name in weight_names else 0.0
            groups.setdefault((scale, decay), []).append(each.parameter)
        parameters = [
            {"params": each, "scale": scale, "weight_decay": decay} for (scale, decay), each in groups.items()
        ]
        if self._options.optimizer == "adamw":
            return torch.optim.AdamW(parameters, lr=1.0, fused=True)
        return torch.optim.SGD(parameters, lr=1.0, momentum=_MOMENTUM, fused=True)

    def batches(self, first_step: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """See `ResumableTraining`. Every epoch has a new random order."""
        for epoch in range(first_step // self.steps_per_epoch, self._options.epochs):
            order = np.random.default_rng([self._context.stage_seed, 0, epoch]).permutation(self._photos)
            for number, photos in enumerate(np.array_split(order, self.steps_per_epoch)):
                step = epoch * self.steps_per_epoch + number
                if step >= first_step:
                    yield step, photos

    def step(self, step: int, photos: NDArray[np.int64]) -> float:
        """See `ResumableTraining`. The last step of an epoch includes the validation.

        Raises:
            PassError: the training diverges, or no gradient is left.
        """
        if step == 0:
            self._update_best(-1)
        if self.mask_schedule and self.mask_schedule.is_due(step):
            self._prune(step, self.mask_schedule)
        batch_loss = self._backward(step, photos)
        warmup_steps = self._options.warmup * self.steps_per_epoch
        rate = self._options.learning_rate * cosine_schedule(step, self.steps, warmup_steps)
        self.network.update(self.optimizer, rate)
        if (step + 1) % self.steps_per_epoch == 0:
            self._end_epoch(step)
        return batch_loss

    def _prune(self, step: int, schedule: MaskSchedule) -> None:
        prunable = self.network.prunable
        for name, mask in schedule.masks(step, {name: each.pruned() for name, each in prunable.items()}).items():
            prunable[name].prune(mask)

    def _backward(self, step: int, photos: NDArray[np.int64]) -> float:
        random = np.random.default_rng([self._context.stage_seed, 1, step])
        inputs = self.augment(photos, random)
        logits = self.network.logits(inputs, (int(random.integers(2**32)) + self._processes.rank) % 2**32)
        labels = self._labels[photos[self._processes.shard(len(photos))]]
        loss = functional.cross_entropy(logits, labels, label_smoothing=self._options.label_smoothing)
        batch_loss = self.network.backward(loss, len(labels) / len(photos))
        check_loss(batch_loss, step, limit=_MAX_LOSS * self._guess_loss)
        for each in self.network.trained.values():
            each.average_gradient()
        self._learns = self._learns or batch_loss < _LEARNED_LOSS * self._guess_loss or self._has_gradient()
        return batch_loss

    def _has_gradient(self) -> bool:
        gradients = (each.parameter.grad for each in self.network.trained.values())  # None: the logits do not use it
        return any(gradient is not None and bool(gradient.any()) for gradient in gradients)

    def augment(self, photos: NDArray[np.int64], random: np.random.Generator) -> Tensor:
        """Return this process' shard of a batch of photos as network input, shifted and mirrored at random."""
        shard = self._processes.shard(len(photos))
        pixels, options = self._context.calibration.at(photos[shard]), self._options
        shifted = random_shifts(pixels, random, options.shift, mirror=options.flip, batch=len(photos), shard=shard)
        return self._context.as_inputs(shifted)

    def _end_epoch(self, step: int) -> None:
        if not self._learns:
            raise PassError(
                "the logits did not depend on the photos, so there was no gradient, in the whole epoch to step "
                f"{step + 1}: the network cannot learn any more; lower the learning_rate, or set a warmup"
            )
        self._learns = False
        self.network.average_buffers()
        self._update_best(step)

    def _update_best(self, step: int) -> None:
        """Keep the weights if they are the best with the final masks."""
        if not len(self._validation) or (self.mask_schedule and step < self.mask_schedule.last_step):
            return
        score = errors, loss = self._validate(step)
        self.validation.append((step + 1, loss, errors / len(self._validation)))
        if not self.best or score < self.best["score"]:
            self.best = {"score": score, "network": self.network.state()}

    def _validate(self, step: int) -> tuple[int, float]:
        """Return the errors and the mean loss on the validation photos."""
        errors, total = 0, 0.0
        with torch.no_grad():
            for number, start in enumerate(range(0, len(self._validation), _VALIDATION_BATCH)):
                if self._processes.owns(number):
                    photos = self._validation[start : start + _VALIDATION_BATCH]
                    logits, labels = self.network.logits(self._context.inputs(photos)), self._labels[photos]
                    total += functional.cross_entropy(logits, labels, reduction="sum").item()
                    errors += int((logits.argmax(1) != labels).sum())
        sums = torch.tensor([errors, total], dtype=torch.float64)
        self._processes.all_reduce(sums)
        loss = float(sums[1]) / len(self._validation)
        check_loss(loss, step, "the validation loss", _MAX_LOSS * self._guess_loss)
        return int(sums[0]), loss

    def state(self) -> dict[str, Any]:
        prunable = self.network.prunable if self.mask_schedule else {}
        masks = {name: torch.from_numpy(each.mask) for name, each in prunable.items()}
        return super().state() | {
            "masks": masks,
            "learns": self._learns,
            "best": self.best,
            "validation": self.validation,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        super().load_state(state)
        for name, mask in state["masks"].items():
            self.network.prunable[name].prune(mask.numpy())
        self._learns, self.best, self.validation = state["learns"], state["best"], state["validation"]

    def tensors(self) -> dict[str, WeightTensor]:
        """Return the best tensors, or the last ones without a validation split, in their original forms."""
        if self.best:
            self.network.load_state(self.best["network"])
        return self.network.tensors() | self.network.buffer_tensors()
