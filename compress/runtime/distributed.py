"""Process group of a run that `torchrun` starts on several processes.

Every process executes the whole run, so all reach the same collective operations in the same order. Statistics,
training and validation are split into shards of the photos. Only the first process writes files and prints.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from compress.errors import SqueezeError

T = TypeVar("T")

_TIMEOUT = timedelta(hours=2)
"""Maximum wait for a live process. Gloo and NCCL report a dead process at once."""


@dataclass(frozen=True)
class ProcessGroup:
    """The rank of this process and the number of processes."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    @property
    def is_first_of_machine(self) -> bool:
        """Whether this process writes into the cache, which machines may have each."""
        return self.world_size == 1 or os.environ.get("LOCAL_RANK", "0") == "0"

    def from_first_of_machine(self, value: T) -> T:
        """Return the value of the process for which `is_first_of_machine` holds."""
        values = self.gather_interleaved([value])
        return values[self.rank - int(os.environ.get("LOCAL_RANK", "0"))] if self.world_size > 1 else value

    def owns(self, index: int) -> bool:
        """Return whether item `index` of an interleaved sequence belongs to this process."""
        return index % self.world_size == self.rank

    def shard(self, count: int) -> slice:
        """Return this process' contiguous shard of `count` items. Lengths differ by one at most."""
        return slice(count * self.rank // self.world_size, count * (self.rank + 1) // self.world_size)

    def all_reduce(self, *tensors: Tensor) -> None:
        """Replace each tensor in place by its sum over all processes, with the same bits in each process."""
        if self.world_size > 1:
            with _explain_lost_process():
                for tensor in tensors:
                    distributed.all_reduce(tensor)

    def all_reduce_gradients(self, parameters: Sequence[nn.Parameter], loss: Tensor) -> float:
        """Replace each gradient by its sum over all processes, and return the summed loss.

        A parameter that has a gradient in no process gets none: an optimizer would decay it.
        """
        if self.world_size == 1:
            return loss.item()
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        used = torch.tensor([p.grad is not None for p in parameters]).to(loss)
        packed = torch.cat([loss.detach().reshape(1), used, *(gradient.flatten() for gradient in gradients)])
        self.all_reduce(packed)
        counts, sums = packed[1 : 1 + len(used)].tolist(), packed[1 + len(used) :]
        split = torch.split(sums, [p.numel() for p in parameters])
        for parameter, count, summed in zip(parameters, counts, split, strict=True):
            # In the memory format of the parameter: fused optimizers read both as they lie in memory.
            gradient = torch.empty_like(parameter).copy_(summed.view(parameter.shape))
            parameter.grad = gradient if count else None
        return float(packed[0])

    def all_agree(self, flag: bool) -> bool:
        """Return whether `flag` is true in every process."""
        count = torch.tensor(int(flag))
        self.all_reduce(count)
        return int(count) == self.world_size

    def gather_interleaved(self, items: Sequence[T]) -> list[T]:
        """Return the items of all processes in sequence order; each process passes the items that it `owns`."""
        if self.world_size == 1:
            return list(items)
        shards: list[Sequence[T]] = [()] * self.world_size
        with _explain_lost_process():
            distributed.all_gather_object(shards, items)
        count = sum(map(len, shards))
        return [shards[index % self.world_size][index // self.world_size] for index in range(count)]

    def broadcast(self, value: T) -> T:
        """Return the first process' value in every process."""
        if self.world_size == 1:
            return value
        values = [value if self.is_first else None]
        with _explain_lost_process():
            distributed.broadcast_object_list(values, src=0)
        received: T = values[0]  # type: ignore[assignment]
        return received

    def receive(self, kind: type[T]) -> T:
        """Return the value, of type `kind`, that the first process broadcasts."""
        value: object = self.broadcast(None)
        assert isinstance(value, kind)
        return value

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Run the block in the first process, which fills the cache, then in the others."""
        if not self.is_first:
            self.broadcast(None)
        yield
        if self.is_first:
            self.broadcast(None)


SINGLE_PROCESS = ProcessGroup()


@contextmanager
def join_process_group(device: torch.device) -> Iterator[ProcessGroup]:
    """Join the process group of `torchrun`; without `torchrun`, yield `SINGLE_PROCESS`.

    Args:
        device: where networks run; tensors on a GPU use NCCL.
    Raises:
        SqueezeError: another process cannot be reached.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield SINGLE_PROCESS
        return
    # If torch imported it later, its default arguments would keep the group, and threads that may abort as Python ends.
    import_module("torch.distributed.nn.functional")
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    with _explain_lost_process():
        distributed.init_process_group(backend, timeout=_TIMEOUT)
    try:
        yield ProcessGroup(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()


@contextmanager
def _explain_lost_process() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, distributed.DistError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SqueezeError(
            f"cannot reach another process of this run: {reason}; if that one printed an error, mend its cause; if "
            "not, run the same command again"
        ) from error
