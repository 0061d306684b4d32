"""Cost of a real network's symbols with each codec, with NNCodec and with dahuffman."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import dahuffman
import numpy as np
from numpy.typing import NDArray

from benchmarks import nncodec_peer
from benchmarks.timing import timed
from compress import container
from compress.codecs import CODECS, entropy_bytes
from compress.codecs.primitives.trellis import TRELLIS_4096, trellis_indices
from compress.codecs.protocol import Codec
from compress.container.codec_choice import bytes_by_codec
from compress.errors import SqueezeError
from compress.model import Model
from compress.runtime.threads import map_on_all_cores
from compress.tensors.forms import Shared
from compress.tensors.levels import levels_to_symbols, symbols_to_levels

Symbols = Mapping[str, NDArray[np.uint16]]
CODINGS: Mapping[str, tuple[str, ...]] = {
    "huffman": ("huffman",),
    "context": ("context",),
    "all of them": tuple(CODECS),
}


@dataclass(frozen=True)
class CodecCost:
    """Bytes and median times.

    Attributes:
        coded_bytes: tables included.
        encode_seconds: median.
        decode_seconds: median.
    """

    coded_bytes: int
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class CodecSubject:
    """Symbols of a network's weights, and their cost.

    Attributes:
        name: of the pipeline that made the file.
        layers: number of tensors with two dimensions or more.
        weights: of these layers.
        entropy_bytes: sum of the layers' order-0 entropies, without tables.
        file_bytes: of the whole file.
        codecs: cost of all layers with each codec, row-major; and with `NNCodec`, as integers without loss.
        best_order_bytes: bytes with each codec, every layer in its best scan order.
        with_trellis: cost with `context` and the trellis, whose states are contexts; None without a trellis.
        smaller_huffman_bytes: sum over layers of the smaller of `huffman` and `huffman-runs`.
        dahuffman_decode_seconds: dahuffman's own decoder, symbols of the largest layer; one run.
        huffman_decode_seconds: codec `huffman`, the same symbols.
    """

    name: str
    layers: int
    weights: int
    entropy_bytes: float
    file_bytes: int
    codecs: Mapping[str, CodecCost]
    best_order_bytes: Mapping[str, int]
    with_trellis: CodecCost | None
    smaller_huffman_bytes: int
    dahuffman_decode_seconds: float
    huffman_decode_seconds: float


def measure_subject(name: str, model: Model, python: Path, folder: Path, repeats: int) -> CodecSubject:
    """Code a network's symbols with each codec, and return the costs.

    Raises:
        SqueezeError: NNCodec failed, or decoded other numbers.
    """
    levels = {key: tensor.indices for key, tensor in model.tensors.items() if isinstance(tensor, Shared)}
    levels = {key: symbols for key, symbols in levels.items() if symbols.ndim > 1}
    symbols = {key: _coded_symbols(each) for key, each in levels.items()}
    has_trellis = any(not np.array_equal(symbols[key], levels[key]) for key in levels)
    codecs = {codec: _cost(CODECS[codec], symbols, repeats) for codec in CODECS}
    codecs["NNCodec"] = _nncodec_cost(symbols, python, folder, repeats)
    best = [bytes_by_codec(each) for each in symbols.values()]
    largest = max(symbols.values(), key=lambda each: each.size)
    dahuffman_seconds, huffman_seconds = _dahuffman_and_huffman_seconds(largest, repeats)
    return CodecSubject(
        name=name,
        layers=len(symbols),
        weights=sum(each.size for each in symbols.values()),
        entropy_bytes=sum(map(entropy_bytes, symbols.values())),
        file_bytes=len(container.encode(model, tuple(CODECS))),
        codecs=codecs,
        best_order_bytes={codec: sum(each[codec] for each in best) for codec in CODECS},
        with_trellis=_cost(CODECS["context"], levels, repeats) if has_trellis else None,
        smaller_huffman_bytes=sum(min(each["huffman"], each["huffman-runs"]) for each in best),
        dahuffman_decode_seconds=dahuffman_seconds,
        huffman_decode_seconds=huffman_seconds,
    )


def measure_files(model: Model, repeats: int) -> tuple[dict[str, CodecCost], CodecCost]:
    """Return the cost of a whole file with each coding, and with `context` on one core."""
    files = {name: _file_cost(model, codecs, repeats) for name, codecs in CODINGS.items()}
    with _one_core():
        return files, _file_cost(model, CODINGS["context"], repeats)


def _coded_symbols(symbols: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the indices in a trellis's quantizers if levels follow the trellis, else the symbols."""
    indices = trellis_indices(symbols_to_levels(symbols).reshape(len(symbols), -1), TRELLIS_4096)
    return symbols if indices is None else levels_to_symbols(indices).reshape(symbols.shape)


def _cost(codec: Codec, symbols: Symbols, repeats: int) -> CodecCost:
    weights = [each.size for each in symbols.values()]
    shapes = [each.shape for each in symbols.values()]
    data, encode = timed(partial(map_on_all_cores, codec.encode, list(symbols.values()), weights), repeats)
    streams = list(zip(data, shapes, strict=True))
    decoded, decode = timed(partial(map_on_all_cores, lambda one: codec.decode(*one), streams, weights), repeats)
    for one, other in zip(symbols.values(), decoded, strict=True):
        assert np.array_equal(one, other)
    return CodecCost(sum(map(len, data)), encode, decode)


def _nncodec_cost(symbols: Symbols, python: Path, folder: Path, repeats: int) -> CodecCost:
    numbers = {key: symbols_to_levels(each) for key, each in symbols.items()}
    (coded,) = nncodec_peer.code(python, numbers, (0,), folder, repeats)
    for key, number in numbers.items():
        if not np.array_equal(coded.arrays[key], number):
            raise SqueezeError(f"NNCodec decodes other integers for {key}")
    return CodecCost(coded.file_bytes, coded.encode_seconds, coded.decode_seconds)


def _dahuffman_and_huffman_seconds(symbols: NDArray[np.uint16], repeats: int) -> tuple[float, float]:
    plain = symbols.ravel().tolist()
    peer = dahuffman.HuffmanCodec.from_data(plain)
    data = peer.encode(plain)
    decoded, peer_seconds = timed(lambda: peer.decode(data), 1)
    assert decoded == plain
    stream = CODECS["huffman"].encode(symbols)
    _, seconds = timed(lambda: CODECS["huffman"].decode(stream, symbols.shape), repeats)
    return peer_seconds, seconds


def _file_cost(model: Model, codecs: tuple[str, ...], repeats: int) -> CodecCost:
    data, encode = timed(partial(container.encode, model, codecs), repeats)
    decoded, decode = timed(partial(container.decode, data), repeats)
    assert container.weights_sha256(decoded) == container.weights_sha256(model)
    return CodecCost(len(data), encode, decode)


@contextmanager
def _one_core() -> Iterator[None]:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
