"""In which order the symbols of a tensor are coded, and which codec takes the fewest bytes in which order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compress.codecs import CODECS
from compress.codecs.base import Codec
from compress.codecs.primitives.histogram import counted
from compress.container.smallest import fewest

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

    The first of `codecs`, and of the orders, wins a tie. Orders in which a codec cannot gain are left out.
    """
    counts = counted(symbols)
    return fewest((way for codec in codecs for way in _ways(symbols, codec, counts)), size_of=_bytes_of)


def _ways(
    symbols: NDArray[np.uint16], codec: Codec, counts: NDArray[np.int64]
) -> Iterator[tuple[int, Callable[[], Coding]]]:
    """Yield for each order the bytes that a codec takes at least, and what codes the symbols in it if it may gain."""
    done: dict[OrderName, Coding] = {}

    def coded(order: OrderName) -> Coding:
        if order not in done:
            done[order] = Coding(codec, order, codec.encode(in_order(symbols, order)))
        return done[order]

    def if_it_gains(order: OrderName) -> Coding:
        first = coded(ORDERS[0])
        return coded(order) if order != ORDERS[0] and codec.gains_by_order(first.data) else first

    for order in orders_of(symbols.ndim) if codec.gains_by_order(None) else ORDERS[:1]:
        if order == "kernel-first" and math.prod(symbols.shape[2:]) <= 1:
            continue  # the order that the weights are in
        at_least = codec.least_bytes(in_order(symbols, order), counts)
        yield at_least + _ORDER_BYTES * (order != ORDERS[0]), partial(if_it_gains, order)


def _bytes_of(coding: Coding) -> int:
    return len(coding.data) + _ORDER_BYTES * (coding.order != ORDERS[0])


def bytes_by_codec(symbols: NDArray[np.uint16]) -> dict[str, int]:
    """Return how many bytes `symbols` take with each codec there is, in the order that suits it best."""
    return {name: len(smallest(symbols, [codec]).data) for name, codec in CODECS.items()}
