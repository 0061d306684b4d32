"""Decode streams of symbols by the runtime in C, as a WebAssembly module.

Its machine code is ready after 50 ms, where numba takes 8 s for the loops of this package at their first use. Each
stream is decoded in a fresh instance, which has no access to the memory of the process.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import wasmtime
from numpy.typing import NDArray

from compress.codecs.primitives.symbol_matrix import SymbolMatrix
from compress.codecs.protocol import Codec

_MODULE = Path(__file__).with_name("streams.wasm")
"""Built by runtime/wasm/build.sh from runtime/c."""

_MAX_SYMBOLS = 1 << 28
"""SQZ_MAX_WEIGHTS of runtime/c."""

_PAGE_BYTES = 1 << 16
_ADDRESS_MASK = 0xFFFF_FFFF
"""wasmtime takes an address of 32 bits for a signed integer."""

_uses_runtime = True


class RuntimeCodec(Codec):
    """A codec that the runtime in C decodes too."""

    def decode(self, data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16]:
        is_long_enough = len(data) >= self.min_bytes(math.prod(shape))
        symbols = decode_stream(self.id, data, shape) if is_long_enough and _uses_runtime else None
        return self.reference_decode(data, shape) if symbols is None else symbols

    def min_bytes(self, count: int) -> int:
        """Return a lower bound of the bytes of a stream of symbols, so that a shorter one takes no memory."""
        return 1

    @abstractmethod
    def reference_decode(self, data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16]:
        """Decode as `decode`, in this package's own loops, which name what is wrong with a stream."""


@contextmanager
def reference_decoding() -> Iterator[None]:
    """Decode with the codecs' own loops in all threads, to check the runtime in C."""
    global _uses_runtime  # noqa: PLW0603
    before, _uses_runtime = _uses_runtime, False
    try:
        yield
    finally:
        _uses_runtime = before


def decode_stream(codec: int, data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16] | None:
    """Return the symbols of a stream.

    Args:
        codec: id of `raw`, `huffman` or `context`.
        data: the stream.
        shape: of the symbols.
    Returns:
        The symbols; None if `data` is damaged, there are no symbols or too many, or the module cannot run.
    """
    matrix = SymbolMatrix.of(shape)
    count = matrix.rows * matrix.columns
    if not 0 < count <= _MAX_SYMBOLS or len(data) > _ADDRESS_MASK:
        return None
    stream = np.array([codec, *matrix, len(data)], "<u4").tobytes() + data  # `placed_stream` of sqz_streams.c
    # The process may not be allowed machine code or 4 GB of addresses, and a fault of the module is a trap.
    with suppress(wasmtime.WasmtimeError, wasmtime.Trap):
        engine, module = _load_module()
        store = wasmtime.Store(engine)
        exports = cast("dict[str, Any]", wasmtime.Instance(store, module, []).exports(store))
        memory = exports["memory"]
        place = memory.grow(store, -(-len(stream) // _PAGE_BYTES)) * _PAGE_BYTES
        memory.write(store, stream, place)
        if symbols := exports["decode_stream"](store, place) & _ADDRESS_MASK:
            return np.frombuffer(memory.read(store, symbols, symbols + 2 * count), "<u2").reshape(shape)
    return None


@cache
def _load_module() -> tuple[wasmtime.Engine, wasmtime.Module]:
    """Return the compiled module and its engine, which threads share."""
    config = wasmtime.Config()
    config.parallel_compilation = False  # its threads would outlive the compilation
    engine = wasmtime.Engine(config)
    return engine, wasmtime.Module(engine, _MODULE.read_bytes())
