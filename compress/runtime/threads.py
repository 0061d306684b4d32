"""Independent items on several threads: compiled code releases the GIL, so that threads use all cores."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_WEIGHTS_PER_THREAD = 1 << 14
"""Coding this many weights takes about as long as starting a thread."""


def map_on_all_cores(
    function: Callable[[_Item], _Result], items: Sequence[_Item], weights: Sequence[int]
) -> list[_Result]:
    """Return `function(item)` for each item, in order.

    The calling thread starts with the lightest items, helper threads with the heaviest: a light item spends most of its
    time in Python, which holds the GIL, and moving it to another thread costs more than the item itself.

    Args:
        function: must not change anything that a call on another item reads.
        items: its arguments.
        weights: amount of work of each item, in weights to code.
    Raises:
        Exception: the first failed item's error, after all items are done, so that it does not depend on timing.
    """
    by_weight = deque(sorted(range(len(items)), key=lambda index: weights[index]))
    results: dict[int, _Result] = {}
    errors: dict[int, Exception] = {}

    def work(take: Callable[[], int]) -> None:
        while by_weight:
            try:
                index = take()
            except IndexError:  # another thread took the last item
                return
            try:
                results[index] = function(items[index])
            except Exception as error:
                errors[index] = error

    helpers = min(available_cores(), len(items), 1 + sum(weights) // _WEIGHTS_PER_THREAD) - 1
    with ThreadPoolExecutor(max_workers=max(helpers, 1)) as pool:
        futures = [pool.submit(work, by_weight.pop) for _ in range(helpers)]
        try:
            work(by_weight.popleft)
        finally:
            by_weight.clear()  # after an interruption, helpers stop at the end of their current item
        for future in futures:
            future.result()
    if errors:
        raise errors[min(errors)]
    return [results[index] for index in range(len(items))]


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS and Windows have no affinity
