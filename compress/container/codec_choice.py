"""The smallest codec and scan order for a tensor's symbols."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compress.codecs import CODECS
from compress.codecs.primitives.smallest import smallest
from compress.codecs.primitives.symbol_histogram import histogram
from compress.codecs.protocol import Codec
from compress.container.scan_order import SCAN_ORDERS, ScanOrder, scan_orders, to_scan_order


class Coding(NamedTuple):
    """Coded symbols."""

    codec: Codec
    scan_order: ScanOrder
    stream: bytes


def smallest_coding(symbols: NDArray[np.uint16], codecs: Iterable[Codec]) -> Coding:
    """Return the coding of `symbols` with the fewest bytes; the first of `codecs` and scan orders where equal."""
    counts = histogram(symbols)
    scanned = {order: to_scan_order(symbols, order) for order in scan_orders(symbols.ndim)}
    if math.prod(symbols.shape[2:]) <= 1:
        scanned.pop("kernel-first", None)  # the same as row-major order

    @functools.cache
    def stream(codec: Codec, order: ScanOrder) -> bytes:
        return codec.encode(scanned[order])

    def min_bytes(option: tuple[Codec, ScanOrder]) -> int:
        codec, order = option
        return codec.min_bytes(scanned[order], counts) + _record_bytes(order)

    def encode(option: tuple[Codec, ScanOrder]) -> tuple[int, Coding]:
        codec, order = option
        if not codec.depends_on_order(stream(codec, SCAN_ORDERS[0])):
            order = SCAN_ORDERS[0]
        coding = Coding(codec, order, stream(codec, order))
        return len(coding.stream) + _record_bytes(order), coding

    options = (
        (codec, order)
        for codec, order in itertools.product(codecs, scanned)
        if order == SCAN_ORDERS[0] or not codec.is_row_major(symbols.shape)
    )
    return smallest(options, min_bytes, encode)


def bytes_by_codec(symbols: NDArray[np.uint16]) -> dict[str, int]:
    """Return the bytes of `symbols` with each codec, in its best scan order."""
    return {name: len(smallest_coding(symbols, [codec]).stream) for name, codec in CODECS.items()}


def _record_bytes(order: ScanOrder) -> int:
    """Return the bytes that naming the scan order adds to the tensor's record."""
    return 0 if order == SCAN_ORDERS[0] else 2
