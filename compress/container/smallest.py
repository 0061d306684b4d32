"""The fewest bytes of several ways to write something, most of which need not be tried."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

_Written = TypeVar("_Written")


def fewest(ways: Iterable[tuple[int, Callable[[], _Written]]], size_of: Callable[[_Written], int]) -> _Written:
    """Return what the way with the fewest bytes makes, the first of them where equal.

    Those that may take the fewest come first; when one is no larger than the others are at best, it is the smallest.

    Args:
        ways: one or more, each with a number of bytes that it does not go below, and what makes them.
        size_of: the bytes of what was made.
    """
    best: tuple[int, int, _Written] | None = None
    ranked = [(least, rank, make) for rank, (least, make) in enumerate(ways)]
    for least, rank, make in sorted(ranked, key=lambda way: way[:2]):
        if best is not None and (least, rank) > best[:2]:
            break
        written = make()
        if best is None or (size_of(written), rank) < best[:2]:
            best = size_of(written), rank, written
    assert best is not None
    return best[2]
