"""Scan orders: the order in which a tensor's symbols are coded. Another order may place similar symbols together."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ScanOrder = Literal["out-in", "in-out", "kernel-first"]

SCAN_ORDERS: tuple[ScanOrder, ...] = ("out-in", "in-out", "kernel-first")
"""`out-in`: row-major, output channels outermost. `in-out`: input channels outermost. `kernel-first`: taps of the
kernel outermost, then output channels, then input channels. Files store the index in this tuple."""


def scan_orders(dimensions: int) -> tuple[ScanOrder, ...]:
    """Return the scan orders of a tensor with this many dimensions."""
    return SCAN_ORDERS[: max(dimensions, 1)]


def to_scan_order(symbols: NDArray[np.uint16], order: ScanOrder) -> NDArray[np.uint16]:
    """Return symbols as a view or copy whose row-major order is the scan order."""
    match order:
        case "out-in":
            return symbols
        case "in-out":
            return symbols.swapaxes(0, 1)
        case "kernel-first":
            rows, columns = symbols.shape[:2]
            taps_first = np.moveaxis(symbols.reshape(rows, columns, math.prod(symbols.shape[2:])), 2, 0)
            return taps_first.reshape(scanned_shape(symbols.shape, order))


def from_scan_order(symbols: NDArray[np.uint16], order: ScanOrder, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """Return the symbols, of this shape, that `to_scan_order` was given."""
    match order:
        case "out-in":
            return symbols
        case "in-out":
            return np.ascontiguousarray(symbols.swapaxes(0, 1))
        case "kernel-first":
            taps_first = symbols.reshape(math.prod(shape[2:]), *shape[:2])
            return np.ascontiguousarray(np.moveaxis(taps_first, 0, 2)).reshape(shape)


def scanned_shape(shape: tuple[int, ...], order: ScanOrder) -> tuple[int, ...]:
    """Return the shape of `to_scan_order` for symbols of this shape."""
    match order:
        case "out-in":
            return shape
        case "in-out":
            return (shape[1], shape[0], *shape[2:])
        case "kernel-first":
            return (math.prod(shape[2:]) * shape[0], shape[1])
