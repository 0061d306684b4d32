"""Lazy search for the smallest of several encodings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeVar

_Encoded = TypeVar("_Encoded")


class Candidate(NamedTuple, Generic[_Encoded]):
    """An encoding that is made only if it may be the smallest.

    Attributes:
        min_bytes: a lower bound of its bytes.
        encode: makes it.
    """

    min_bytes: int
    encode: Callable[[], _Encoded]


def smallest(candidates: Iterable[Candidate[_Encoded]], encoded_bytes: Callable[[_Encoded], int]) -> _Encoded:
    """Return the encoding with the fewest bytes, that of the first candidate where equal.

    Candidates are encoded in the order of their lower bounds, until no bound is below the smallest encoding.
    """
    best: tuple[int, int, _Encoded] | None = None
    bounds = sorted((candidate.min_bytes, index, candidate.encode) for index, candidate in enumerate(candidates))
    for bound, index, encode in bounds:
        if best is not None and (bound, index) > best[:2]:
            break
        encoded = encode()
        if best is None or (encoded_bytes(encoded), index) < best[:2]:
            best = encoded_bytes(encoded), index, encoded
    assert best is not None
    return best[2]
