"""The smallest codec and scan order for a tensor's symbols."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compress.codecs import CODECS
from compress.codecs.primitives.symbol_histogram import histogram
from compress.codecs.protocol import Codec
from compress.container.scan_order import SCAN_ORDERS, ScanOrder, scan_orders, to_scan_order
from compress.container.smallest import smallest

_DEFAULT_ORDER = SCAN_ORDERS[0]


class Coding(NamedTuple):
    """Coded symbols: the codec, its scan order and its stream."""

    codec: Codec
    scan_order: ScanOrder
    stream: bytes


def smallest_coding(symbols: NDArray[np.uint16], codecs: Iterable[Codec]) -> Coding:
    """Return the coding of `symbols` with the fewest bytes; the first of `codecs` and scan orders where equal."""
    counts = histogram(symbols)
    candidates = (candidate for codec in codecs for candidate in _candidates(symbols, codec, counts))
    return smallest(candidates, lambda coding: len(coding.stream) + _record_bytes(coding.scan_order))


def bytes_by_codec(symbols: NDArray[np.uint16]) -> dict[str, int]:
    """Return the bytes of `symbols` with each codec, in its best scan order."""
    return {name: len(smallest_coding(symbols, [codec]).stream) for name, codec in CODECS.items()}


def _candidates(
    symbols: NDArray[np.uint16], codec: Codec, counts: NDArray[np.int64]
) -> Iterator[tuple[int, Callable[[], Coding]]]:
    """Yield, for each scan order, a lower bound of the bytes and a function that encodes."""

    @functools.cache
    def encode(order: ScanOrder) -> Coding:
        return Coding(codec, order, codec.encode(to_scan_order(symbols, order)))

    def encode_if_useful(order: ScanOrder) -> Coding:
        default = encode(_DEFAULT_ORDER)
        return encode(order) if codec.depends_on_order(default.stream) else default

    for order in scan_orders(symbols.ndim) if codec.depends_on_order(None) else (_DEFAULT_ORDER,):
        if order == "kernel-first" and math.prod(symbols.shape[2:]) <= 1:
            continue  # the same as the default order
        min_bytes = codec.min_bytes(to_scan_order(symbols, order), counts) + _record_bytes(order)
        yield min_bytes, functools.partial(encode_if_useful, order)


def _record_bytes(order: ScanOrder) -> int:
    """Return the bytes that naming the scan order adds to the tensor's record."""
    return 0 if order == _DEFAULT_ORDER else 2
