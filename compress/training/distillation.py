"""Distillation of a network towards the logits of the float network, without labels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compress.context import Context
from compress.errors import DataError
from compress.model import Model
from compress.networks.factory import output_of
from compress.training.checkpoints import ResumableTraining, check_batch
from compress.training.trained_network import TrainedNetwork, check_loss, cosine_schedule

_MAX_CACHE_BYTES = 2**27
"""Limit of the cache. Photo sets with more logits are so large that few photos are used twice."""


class TeacherLogits:
    """Logits of the float network, computed once for each photo and once for its mirror image.

    The last bits of logits may depend on the other photos of the batch, so a checkpoint includes the cache.
    """

    def __init__(self, context: Context) -> None:
        self._network = context.network(context.reference)
        photos = len(context.calibration)
        shape = photos, 2, *output_of(context.reference).shape(context.reference.classes)
        self._cached = torch.zeros(photos, 2, dtype=torch.bool)
        self._logits = torch.zeros(shape) if math.prod(shape) * 4 <= _MAX_CACHE_BYTES else None

    def __call__(self, inputs: Tensor, photos: NDArray[np.int64], mirrored: NDArray[np.bool_]) -> Tensor:
        """Return the logits of photos, shape (n, classes), or other outputs.

        Args:
            inputs: the photos, some of them mirrored; shape (n, channels, height, width).
            photos: index of each, shape (n,).
            mirrored: which are mirrored, shape (n,).
        """
        if self._logits is None:
            return self._compute(inputs)
        keys = torch.from_numpy(photos), torch.from_numpy(mirrored).long()
        new = ~self._cached[keys]
        if new.any():
            new_keys = keys[0][new], keys[1][new]
            self._logits[new_keys] = self._compute(inputs[new.to(inputs.device)]).cpu()
            self._cached[new_keys] = True
        return self._logits[keys].to(inputs.device)

    def _compute(self, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            logits: Tensor = self._network(inputs)
        return logits

    def state(self) -> dict[str, Tensor]:
        """Return the cached logits."""
        return {} if self._logits is None else {"cached": self._cached, "logits": self._logits[self._cached]}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned."""
        if self._logits is not None:
            self._cached = state["cached"]
            self._logits[self._cached] = state["logits"]


class Distillation(ResumableTraining):
    """The steps of one distillation: Adam on the error of the outputs, of logits the divergence of their softmax."""

    def __init__(self, model: Model, context: Context, steps: int, batch: int, learning_rate: float) -> None:
        """Begin with the model's weights.

        Args:
            model: to train.
            context: with the float network and the calibration photos.
            steps: number of steps.
            batch: photos per step.
            learning_rate: of the first step, relative to each tensor's `value_scale`; it falls to zero along a cosine.
        Raises:
            DataError: there are no photos, or fewer in a batch than processes.
            PassError: no tensor can be trained.
        """
        photos = len(context.calibration)
        if photos == 0:
            raise DataError("the pass distill needs photos, and data.calibration has none")
        self._context, self.steps, self._learning_rate = context, steps, learning_rate
        self._batch = min(batch, photos)
        check_batch(self._batch, context.processes)
        self.network, self._teacher = TrainedNetwork(model, context), TeacherLogits(context)
        self._output_error = context.fisher.output_error
        self.optimizer = torch.optim.Adam(
            [{"params": [each.parameter], "scale": each.value_scale} for each in self.network.trained.values()]
        )

    def batches(self, first_step: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """See `ResumableTraining`. The order is random; no photo is used twice before all are used."""
        random = np.random.default_rng(self._context.stage_seed)
        photos = len(self._context.calibration)
        epochs = -(-self.steps * self._batch // photos)
        order = np.concatenate([random.permutation(photos) for _ in range(epochs)])
        for step in range(first_step, self.steps):
            yield step, order[step * self._batch : (step + 1) * self._batch]

    def step(self, step: int, photos: NDArray[np.int64]) -> float:
        """See `ResumableTraining`. Half of the photos are mirrored."""
        own = self._context.processes.shard(len(photos))
        mirrored = (np.random.default_rng([self._context.stage_seed, step]).random(len(photos)) < 0.5)[own]
        inputs = self._context.inputs(photos[own])
        inputs = torch.where(torch.from_numpy(mirrored).to(inputs.device)[:, None, None, None], inputs.flip(3), inputs)
        loss = self._output_error(self.network.logits(inputs), self._teacher(inputs, photos[own], mirrored))
        batch_loss = self.network.backward(loss, len(mirrored) / len(photos))
        check_loss(batch_loss, step)
        self.network.update(self.optimizer, self._learning_rate * cosine_schedule(step, self.steps))
        return batch_loss

    def state(self) -> dict[str, Any]:
        return super().state() | {"teacher": self._teacher.state()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        super().load_state(state)
        self._teacher.load_state(state["teacher"])
