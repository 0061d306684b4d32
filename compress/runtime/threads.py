"""Independent tensors on all cores: what codes them is compiled and lets other threads run beside it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_WORTH_A_THREAD = 1 << 14
"""Weights that take about as long as starting a thread."""


def on_all_cores(function: Callable[[_Item], _Result], items: Sequence[_Item], weights: Sequence[int]) -> list[_Result]:
    """Return what `function` makes of each of `items`, in their order; of errors, that of the first item is raised.

    This thread takes the lightest items first, helpers the heaviest: what is compiled lets other threads run beside it,
    but of light items most is Python, which runs in one thread at a time, and handing it over takes longer than they.

    Args:
        function: of one item; changes nothing that another item's call looks at.
        items: what to call it with.
        weights: how much work each is.
    """
    by_weight = deque(sorted(range(len(items)), key=lambda index: weights[index]))
    results: dict[int, _Result] = {}
    errors: dict[int, Exception] = {}

    def work(take: Callable[[], int]) -> None:
        while by_weight:
            try:
                index = take()
            except IndexError:  # another thread was quicker
                return
            try:
                results[index] = function(items[index])
            except Exception as error:  # told when all is done, so that which one is told does not depend on chance
                errors[index] = error

    helpers = min(cores(), len(items), 1 + sum(weights) // _WORTH_A_THREAD) - 1
    with ThreadPoolExecutor(max_workers=max(helpers, 1)) as pool:
        futures = [pool.submit(work, by_weight.pop) for _ in range(helpers)]
        try:
            work(by_weight.popleft)
        finally:
            by_weight.clear()  # interrupted, helpers end with what they have begun
        for future in futures:
            future.result()
    if errors:
        raise errors[min(errors)]
    return [results[index] for index in range(len(items))]


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS and Windows do not tell
