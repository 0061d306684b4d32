"""Processes that do one run together, as `torchrun` starts them: each does its part, and all know the result.

Every process goes through the whole run, so that they meet at the same places; what takes long (statistics, training,
distillation, validation) each does for its own part of the photos. The first alone writes files and speaks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, distributed, nn

from compress.errors import SqueezeError

T = TypeVar("T")

_PATIENCE = timedelta(hours=2)
"""How long a process waits for another that is alive; one that is dead is noticed at once."""


@dataclass(frozen=True)
class Ranks:
    """This process among those of the run.

    Attributes:
        number: its own, 0 the first.
        count: how many there are.
    """

    number: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes files and speaks."""
        return self.number == 0

    def own(self, place: int) -> bool:
        """Return whether the item at this place of a sequence that all go through is this process' to do."""
        return place % self.count == self.number

    def part(self, items: int) -> slice:
        """Return which of so many items are this process'; the parts differ by one item at most."""
        return slice(items * self.number // self.count, items * (self.number + 1) // self.count)

    def sum(self, *tensors: Tensor) -> None:
        """Put in place of each tensor its sum over all processes, which is the same in every bit for all."""
        if self.count > 1:
            with _lost():
                for tensor in tensors:
                    distributed.all_reduce(tensor)

    def sum_gradients(self, parameters: Sequence[nn.Parameter], loss: Tensor) -> float:
        """Put in place of each gradient its sum over all processes; return the sum of their losses."""
        if self.count == 1:
            return loss.item()
        gradients = [torch.zeros_like(part) if part.grad is None else part.grad for part in parameters]
        together = torch.cat([loss.detach().reshape(1), *(gradient.flatten() for gradient in gradients)])
        self.sum(together)
        ends = np.cumsum([1, *(part.numel() for part in parameters)])
        for part, summed in zip(parameters, torch.tensor_split(together[1:], (ends[1:-1] - 1).tolist()), strict=True):
            part.grad = summed.view(part.shape).clone(memory_format=torch.preserve_format).to(part.dtype)
        return float(together[0])

    def all(self, told: bool) -> bool:
        """Return whether all processes say so."""
        said = torch.tensor(int(told))
        self.sum(said)
        return int(said) == self.count

    def in_turn(self, own: Sequence[T]) -> list[T]:
        """Return the items of all processes in the order of their places: what `own` parted is put together again."""
        if self.count == 1:
            return list(own)
        parts: list[Sequence[T]] = [()] * self.count
        with _lost():
            distributed.all_gather_object(parts, own)
        return [parts[place % self.count][place // self.count] for place in range(sum(map(len, parts)))]

    def from_first(self, value: T) -> T:
        """Return the first process' value; the others' is not looked at."""
        if self.count == 1:
            return value
        values = [value if self.first else None]
        with _lost():
            distributed.broadcast_object_list(values, src=0)
        found: T = values[0]  # type: ignore[assignment]
        return found

    def awaited(self, kind: type[T]) -> T:
        """Wait for what the first process gives to `from_first`, and return it; only for the others."""
        found: object = self.from_first(None)
        assert isinstance(found, kind)
        return found

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Let the first process go ahead: what it leaves in a cache the others find there."""
        if not self.first:
            self.from_first(None)
        yield
        if self.first:
            self.from_first(None)


ALONE = Ranks()


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Join the other processes of the run, where the environment says that there are some.

    Args:
        device: where networks run.
    Yields:
        this process among them; `ALONE` where there are no others.
    Raises:
        SqueezeError: they cannot be reached, or one was lost.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    with _lost():
        distributed.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()


def own_device(name: str | None) -> str | None:
    """Return the name of this process' own GPU, where GPUs are meant and it is not alone; else the name as it is.

    Args:
        name: of a device; `cuda` or None leave it open which GPU.
    """
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    if alone or name not in {None, "cuda"} or not torch.cuda.is_available():
        return name
    return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"


@contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, distributed.DistError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SqueezeError(f"another process of this run cannot be reached any more: {reason}") from error
