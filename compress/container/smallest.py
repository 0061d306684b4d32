"""Lazy search for the smallest of several encodings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

_Encoded = TypeVar("_Encoded")


def smallest(
    candidates: Iterable[tuple[int, Callable[[], _Encoded]]], count_bytes: Callable[[_Encoded], int]
) -> _Encoded:
    """Return the encoding with the fewest bytes, the first candidate where equal.

    Candidates run in the order of their lower bounds, until no bound is below the smallest result.

    Args:
        candidates: one or more pairs of a lower bound of the bytes, and a function that encodes.
        count_bytes: the bytes of an encoding.
    """
    best: tuple[int, int, _Encoded] | None = None
    bounded = [(min_bytes, index, encode) for index, (min_bytes, encode) in enumerate(candidates)]
    for min_bytes, index, encode in sorted(bounded, key=lambda candidate: candidate[:2]):
        if best is not None and (min_bytes, index) > best[:2]:
            break
        encoded = encode()
        if best is None or (count_bytes(encoded), index) < best[:2]:
            best = count_bytes(encoded), index, encoded
    assert best is not None
    return best[2]
