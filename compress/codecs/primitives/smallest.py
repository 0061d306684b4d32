"""Lazy search for the smallest of several encodings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

_Option = TypeVar("_Option")
_Encoded = TypeVar("_Encoded")


def smallest(
    options: Iterable[_Option], min_bytes: Callable[[_Option], int], encode: Callable[[_Option], tuple[int, _Encoded]]
) -> _Encoded:
    """Return the encoding with the fewest bytes, that of the first option where equal.

    `encode` returns an encoding's bytes and itself. Options are encoded in the order of their lower bounds `min_bytes`,
    until no bound is below the smallest encoding.
    """
    best: tuple[int, int, _Encoded] | None = None
    bounds = sorted((min_bytes(option), index, option) for index, option in enumerate(options))
    for bound, index, option in bounds:
        if best is not None and (bound, index) > best[:2]:
            break
        encoded_bytes, encoded = encode(option)
        if best is None or (encoded_bytes, index) < best[:2]:
            best = encoded_bytes, index, encoded
    assert best is not None
    return best[2]
