"""Symbols of a real network, coded by each codec here, by NNCodec and by dahuffman."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from dahuffman import HuffmanCodec
from numpy.typing import NDArray

from benchmarks import nncodec_peer
from benchmarks.timing import timed
from compress import container
from compress.codecs import CODECS, entropy_bytes
from compress.codecs.base import Codec
from compress.codecs.primitives.trellis import trellis_indices, trellis_of
from compress.container.scan_order import bytes_by_codec
from compress.errors import SqueezeError
from compress.model import Model
from compress.runtime.threads import on_all_cores
from compress.tensors.forms import Shared
from compress.tensors.levels import zigzag_levels, zigzag_symbols

Symbols = Mapping[str, NDArray[np.uint16]]
CODINGS: Mapping[str, tuple[str, ...]] = {
    "huffman": ("huffman",),
    "ans": ("ans",),
    "context": ("context",),
    "all of them": tuple(CODECS),
}


@dataclass(frozen=True)
class Peers:
    """What someone takes to code something.

    Attributes:
        coded_bytes: tables and all.
        encode_seconds: median.
        decode_seconds: median.
    """

    coded_bytes: int
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class Subject:
    """Symbols of a network's weights.

    Attributes:
        name: of the pipeline that made the file.
        layers: how many tensors of two dimensions or more.
        weights: of these.
        entropy_bytes: order-0 entropy of each layer's symbols, summed; no tables.
        file_bytes: of the whole file that they are from.
        codecs: each codec on all layers, row-major; and `NNCodec`, whole numbers without loss.
        best_order_bytes: each codec, every layer in the order that suits it best.
        along_trellis: `context` told of the trellis, whose states tell of the symbols; None where there is none.
        smaller_huffman_bytes: of each layer the smaller of `huffman` and `huffman-runs`.
        dahuffman_decode_seconds: dahuffman's own decoder, on the symbols of the largest layer; once.
        huffman_decode_seconds: codec `huffman` on the same.
    """

    name: str
    layers: int
    weights: int
    entropy_bytes: float
    file_bytes: int
    codecs: Mapping[str, Peers]
    best_order_bytes: Mapping[str, int]
    along_trellis: Peers | None
    smaller_huffman_bytes: int
    dahuffman_decode_seconds: float
    huffman_decode_seconds: float


def subject_of(name: str, model: Model, python: Path, folder: Path, repeats: int) -> tuple[Subject, Mapping[str, str]]:
    """Code a network's symbols in every way, and return the versions in NNCodec's environment too.

    Raises:
        SqueezeError: NNCodec failed, or gives other numbers back.
    """
    levels = {key: tensor.indices for key, tensor in model.tensors.items() if isinstance(tensor, Shared)}
    levels = {key: symbols for key, symbols in levels.items() if symbols.ndim > 1}
    symbols = {key: _indices(each) for key, each in levels.items()}
    follows = any(not np.array_equal(symbols[key], levels[key]) for key in levels)
    codecs = {codec: _coded(CODECS[codec], symbols, repeats) for codec in CODECS}
    codecs["NNCodec"], versions = _by_nncodec(symbols, python, folder, repeats)
    best = [bytes_by_codec(each) for each in symbols.values()]
    largest = max(symbols.values(), key=lambda each: each.size)
    dahuffman_seconds, huffman_seconds = _against_dahuffman(largest, repeats)
    subject = Subject(
        name=name,
        layers=len(symbols),
        weights=sum(each.size for each in symbols.values()),
        entropy_bytes=sum(map(entropy_bytes, symbols.values())),
        file_bytes=len(container.encode(model, tuple(CODECS))),
        codecs=codecs,
        best_order_bytes={codec: sum(each[codec] for each in best) for codec in CODECS},
        along_trellis=_coded(CODECS["context"], levels, repeats) if follows else None,
        smaller_huffman_bytes=sum(min(each["huffman"], each["huffman-runs"]) for each in best),
        dahuffman_decode_seconds=dahuffman_seconds,
        huffman_decode_seconds=huffman_seconds,
    )
    return subject, versions


def network_times(model: Model, repeats: int) -> tuple[dict[str, Peers], Peers]:
    """Time the encoding and decoding of a whole file, with each coding; and `context` on one core."""
    files = {name: _file(model, codecs, repeats) for name, codecs in CODINGS.items()}
    with _one_core():
        return files, _file(model, CODINGS["context"], repeats)


def weights_of(model: Model) -> dict[str, NDArray[np.float32]]:
    """Return the dense weights by name."""
    return {name: tensor.to_dense() for name, tensor in model.tensors.items()}


def _indices(levels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the indices in a trellis's quantizers where it is followed, else the symbols themselves."""
    matrix = zigzag_levels(levels).reshape(len(levels), -1)
    trellis = trellis_of(matrix)
    indices = None if trellis is None else trellis_indices(matrix, trellis)
    return levels if indices is None else zigzag_symbols(indices).reshape(levels.shape)


def _coded(codec: Codec, symbols: Symbols, repeats: int) -> Peers:
    sizes = [each.size for each in symbols.values()]
    shapes = [each.shape for each in symbols.values()]
    data, encode = timed(partial(on_all_cores, codec.encode, list(symbols.values()), sizes), repeats)
    streams = list(zip(data, shapes, strict=True))
    decoded, decode = timed(partial(on_all_cores, lambda one: codec.decode(*one), streams, sizes), repeats)
    for one, other in zip(symbols.values(), decoded, strict=True):
        assert np.array_equal(one, other)
    return Peers(sum(map(len, data)), encode, decode)


def _by_nncodec(symbols: Symbols, python: Path, folder: Path, repeats: int) -> tuple[Peers, Mapping[str, str]]:
    numbers = {key: zigzag_levels(each) for key, each in symbols.items()}
    (coded,), versions = nncodec_peer.code(python, numbers, (0,), folder, repeats)
    for key, number in numbers.items():
        if not np.array_equal(coded.arrays[key], number):
            raise SqueezeError(f"NNCodec gives other whole numbers back for {key}")
    return Peers(coded.file_bytes, coded.encode_seconds, coded.decode_seconds), versions


def _against_dahuffman(symbols: NDArray[np.uint16], repeats: int) -> tuple[float, float]:
    plain = symbols.ravel().tolist()
    theirs = HuffmanCodec.from_data(plain)
    data = theirs.encode(plain)
    decoded, their_seconds = timed(lambda: theirs.decode(data), 1)
    assert decoded == plain
    ours = CODECS["huffman"].encode(symbols)
    _, our_seconds = timed(lambda: CODECS["huffman"].decode(ours, symbols.shape), repeats)
    return their_seconds, our_seconds


def _file(model: Model, codecs: tuple[str, ...], repeats: int) -> Peers:
    data, encode = timed(partial(container.encode, model, codecs), repeats)
    decoded, decode = timed(partial(container.decode, data), repeats)
    assert container.weights_sha256(decoded) == container.weights_sha256(model)
    return Peers(len(data), encode, decode)


@contextmanager
def _one_core() -> Iterator[None]:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
