"""In which order the symbols of a tensor are coded, and which codec takes the fewest bytes in which order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compress.codecs import CODECS, Codec
from compress.codecs.counts import counted

OrderName = Literal["out-in", "in-out", "kernel-first"]

ORDERS: tuple[OrderName, ...] = ("out-in", "in-out", "kernel-first")
"""For each output channel, for each input channel, the taps of the kernel: as the tensor lies. The first two swapped.
For each tap, for each output channel, the input channels. A file knows them by their places here."""

_FEWEST_DIMENSIONS = {"out-in": 0, "in-out": 2, "kernel-first": 3}


_ORDER_BYTES = 2
"""What a header takes to tell of another order than the first."""


class Coding(NamedTuple):
    """Symbols as bytes."""

    codec: Codec
    order: OrderName
    data: bytes


def orders_of(dimensions: int) -> tuple[OrderName, ...]:
    """Return the orders that a tensor of so many dimensions has."""
    return tuple(order for order in ORDERS if dimensions >= _FEWEST_DIMENSIONS[order])


def in_order(symbols: NDArray[np.uint16], order: OrderName) -> NDArray[np.uint16]:
    """Return symbols as a codec is given them: row-major, they are in this order."""
    match order:
        case "out-in":
            return symbols
        case "in-out":
            return symbols.swapaxes(0, 1)
        case "kernel-first":
            rows, columns, taps = *symbols.shape[:2], math.prod(symbols.shape[2:])
            taps_first = np.moveaxis(symbols.reshape(rows, columns, taps), 2, 0)
            return taps_first.reshape(taps * rows, columns)


def shape_in_order(shape: tuple[int, ...], order: OrderName) -> tuple[int, ...]:
    """Return the shape that `in_order` gives symbols of this shape."""
    match order:
        case "out-in":
            return shape
        case "in-out":
            return (shape[1], shape[0], *shape[2:])
        case "kernel-first":
            return (math.prod(shape[2:]) * shape[0], shape[1])


def out_of_order(symbols: NDArray[np.uint16], order: OrderName, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """Return the symbols, of this shape, that `in_order` was given."""
    match order:
        case "out-in":
            return symbols
        case "in-out":
            return np.ascontiguousarray(symbols.swapaxes(0, 1))
        case "kernel-first":
            taps_first = symbols.reshape(math.prod(shape[2:]), shape[0], shape[1])
            return np.ascontiguousarray(np.moveaxis(taps_first, 0, 2)).reshape(shape)


def smallest(symbols: NDArray[np.uint16], codecs: Iterable[Codec]) -> Coding:
    """Return the codec and the order with the fewest bytes for `symbols`.

    The first of `codecs`, and of the orders, wins a tie. Orders in which a codec cannot gain are left out. So is what
    cannot be the smallest: those that may take the fewest bytes come first, and when one is no larger than the others
    may be at best, it is the smallest.
    """
    codecs = list(codecs)
    best: tuple[int, int, Coding] | None = None
    gains: dict[int, bool] = {}

    def consider(place: int, order: OrderName) -> None:
        nonlocal best
        data = codecs[place].encode(in_order(symbols, order))
        if order == ORDERS[0]:
            gains[place] = codecs[place].gains_by_order(data)
        size = len(data) + _ORDER_BYTES * (order != ORDERS[0])
        coding = (size, _rank(place, order), Coding(codecs[place], order, data))
        best = coding if best is None else min(best, coding, key=lambda one: one[:2])

    for least, place, order in _candidates(symbols, codecs):
        if best is not None and (least, _rank(place, order)) > best[:2]:
            break
        if place not in gains:
            consider(place, ORDERS[0])
        if order != ORDERS[0] and gains[place]:
            consider(place, order)
    assert best is not None  # callers name a codec
    return best[2]


def _candidates(symbols: NDArray[np.uint16], codecs: Sequence[Codec]) -> list[tuple[int, int, OrderName]]:
    """Return the bytes that they take at least, places in `codecs` and orders: the fewest bytes first, then by rank."""
    counts = counted(symbols)
    # Where kernels are of one weight, the order that puts the taps first is the order of the weights.
    orders = [order for order in orders_of(symbols.ndim) if order != "kernel-first" or math.prod(symbols.shape[2:]) > 1]
    candidates = [
        (codec.least_bytes(in_order(symbols, order), counts) + _ORDER_BYTES * (order != ORDERS[0]), place, order)
        for place, codec in enumerate(codecs)
        for order in orders[: None if codec.gains_by_order(None) else 1]
    ]
    return sorted(candidates, key=lambda candidate: (candidate[0], _rank(*candidate[1:])))


def _rank(place: int, order: OrderName) -> int:
    return place * len(ORDERS) + ORDERS.index(order)


def bytes_by_codec(symbols: NDArray[np.uint16]) -> dict[str, int]:
    """Return how many bytes `symbols` take with each codec there is, in the order that suits it best."""
    return {name: len(smallest(symbols, [codec]).data) for name, codec in CODECS.items()}
