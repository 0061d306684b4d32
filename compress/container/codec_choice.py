"""The smallest codec and scan order for a tensor's symbols."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compress.codecs import CODECS
from compress.codecs.primitives.smallest import Candidate, smallest
from compress.codecs.protocol import Codec
from compress.container.scan_order import SCAN_ORDERS, ScanOrder, scan_orders, to_scan_order


class Coding(NamedTuple):
    """Coded symbols."""

    codec: Codec
    scan_order: ScanOrder
    stream: bytes


def smallest_coding(symbols: NDArray[np.uint16], codecs: Iterable[Codec]) -> Coding:
    """Return the coding of `symbols` with the fewest bytes; the first of `codecs` and scan orders where equal."""
    scanned = {order: to_scan_order(symbols, order) for order in scan_orders(symbols.ndim)}
    if math.prod(symbols.shape[2:]) <= 1:
        scanned.pop("kernel-first", None)  # the same as row-major order

    codings = (coding for codec in codecs for coding in _codings(codec, scanned))
    return smallest(codings, lambda coding: len(coding.stream) + _record_bytes(coding.scan_order))


def bytes_by_codec(symbols: NDArray[np.uint16]) -> dict[str, int]:
    """Return the bytes of `symbols` with each codec, in its best scan order."""
    return {name: len(smallest_coding(symbols, [codec]).stream) for name, codec in CODECS.items()}


def _codings(codec: Codec, scanned: Mapping[ScanOrder, NDArray[np.uint16]]) -> list[Candidate[Coding]]:
    """Return the codings with one codec, in the scan orders that may be shorter."""
    row_major = SCAN_ORDERS[0]
    orders = [row_major] if codec.is_row_major(scanned[row_major].shape) else scanned
    streams = {order: codec.candidate(scanned[order]) for order in orders}
    stream = functools.cache(lambda order: streams[order].encode())

    def coding(order: ScanOrder) -> Coding:
        if not codec.depends_on_order(stream(row_major)):
            order = row_major
        return Coding(codec, order, stream(order))

    return [
        Candidate(candidate.min_bytes + _record_bytes(order), functools.partial(coding, order))
        for order, candidate in streams.items()
    ]


def _record_bytes(order: ScanOrder) -> int:
    """Return the bytes that naming the scan order adds to the tensor's record."""
    return 0 if order == SCAN_ORDERS[0] else 2
