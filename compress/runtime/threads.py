"""Map a function on several threads. Compiled code releases the GIL, so threads use all cores."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_WEIGHTS_PER_THREAD = 1 << 14
"""Coding fewer weights takes less time than starting a thread."""


def map_on_all_cores(
    function: Callable[[_Item], _Result], items: Sequence[_Item], weights: Sequence[int]
) -> list[_Result]:
    """Return `function(item)` for each item, in order.

    Args:
        function: independent for each item.
        items: its arguments.
        weights: work of each item, as a number of weights to code.
    Raises:
        Exception: the error of the first failed item in order, independent of timing.
    """
    return map_heaviest_first(
        function, items, weights, min(available_cores(), len(items), sum(weights) // _WEIGHTS_PER_THREAD)
    )


def map_heaviest_first(
    function: Callable[[_Item], _Result], items: Sequence[_Item], weights: Sequence[int], threads: int
) -> list[_Result]:
    """Return the same as `map_on_all_cores`, from a number of threads; 0: from the calling thread.

    The heaviest items are begun first, so that no thread works on one of them when the others are done.
    """
    if threads == 0:
        return [function(item) for item in items]
    heaviest_first = sorted(range(len(items)), key=lambda index: -weights[index])
    with ThreadPoolExecutor(threads) as pool:
        results = {index: pool.submit(function, items[index]) for index in heaviest_first}
        try:
            return [results[index].result() for index in range(len(items))]
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise


def map_ahead(
    pool: Executor, function: Callable[[_Item], _Result], items: Iterable[_Item], ahead: int
) -> Iterator[_Result]:
    """Yield `function(item)` for each item, in order, while threads work on the next ones.

    Args:
        pool: the threads.
        function: independent for each item.
        items: its arguments, drawn as they are needed.
        ahead: largest number of items that wait or are worked on.
    """
    begun: deque[Future[_Result]] = deque()
    for item in items:
        begun.append(pool.submit(function, item))
        if len(begun) == ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS and Windows have no affinity
