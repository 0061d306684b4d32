"""Independent tensors on all cores: what codes them is compiled and lets other threads run beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def on_all_cores(function: Callable[[_Item], _Result], items: Sequence[_Item], weights: Sequence[int]) -> list[_Result]:
    """Return what `function` makes of each of `items`, in their order; of errors, that of the first item is raised.

    Args:
        function: of one item; changes nothing that another item's call looks at.
        items: what to call it with.
        weights: how much work each is: the most comes first, so that no core is left with it at the end.
    """
    with ThreadPoolExecutor(max_workers=cores()) as pool:
        heaviest_first = sorted(range(len(items)), key=lambda index: -weights[index])
        futures = {index: pool.submit(function, items[index]) for index in heaviest_first}
        return [futures[index].result() for index in range(len(items))]


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS and Windows do not tell
