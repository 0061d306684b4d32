"""Checks that every codec must pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from forge import flipped_bits

from compress.codecs.protocol import Codec
from compress.codecs.runtime_decoder import RuntimeCodec
from compress.errors import FormatError

GOLDEN = Path(__file__).parent.parent / "golden"

EDGES = {
    "empty": [],
    "one zero": [0],
    "one symbol": [65535],
    "all zeros": [0] * 1000,
    "all the same": [7] * 1000,
    "two symbols": [0, 1],
    "last is zero": [5, 0, 0, 0],
    "zeros longer than any gap": [0] * 1000 + [1] + [0] * 256 + [2] + [0] * 255 + [3],
    "largest symbol": [0, 65535, 0],
    "65,535 different symbols": list(range(65535)),
    "every symbol there is": list(range(65536)),
}


def symbols_of(numbers):
    return np.array(numbers, dtype=np.uint16)


def golden_symbols():
    """Mostly zeros, a long run of them, symbols up to 30 of falling frequency: the same on every machine."""
    state = np.cumsum(np.arange(3000, dtype=np.uint64) ** 2 * 2654435761) % 1009
    above = np.maximum(state.astype(np.int64) - 600, 0)
    symbols = np.where(above == 0, 0, 30 * above**3 // 409**3 + 1)
    symbols[1000:1700] = 0
    return symbols.astype(np.uint16)


def reference_decode(codec: Codec):
    """Return the decoder that does not use the runtime in C."""
    return codec.reference_decode if isinstance(codec, RuntimeCodec) else codec.decode


def check_round_trip(codec: Codec, symbols) -> bytes:
    data = codec.encode(symbols)
    for decode in (codec.decode, reference_decode(codec)):
        decoded = decode(data, symbols.shape)
        assert decoded.dtype == np.uint16
        np.testing.assert_array_equal(decoded, symbols)
    assert 0 <= codec.position_bytes(data) <= len(data)
    return data


def check_golden(codec: Codec) -> None:
    golden = (GOLDEN / f"{codec.name}.bin").read_bytes()
    symbols = golden_symbols()
    np.testing.assert_array_equal(codec.decode(golden, symbols.shape), symbols)
    assert codec.encode(symbols) == golden


def check_truncation(codec: Codec, symbols) -> None:
    """A stream cut anywhere, or with another byte at its end, is refused."""
    data = codec.encode(symbols)
    for end in range(len(data)):
        with pytest.raises(FormatError) as caught:
            codec.decode(data[:end], symbols.shape)
        assert 0 <= caught.value.offset <= end
    with pytest.raises(FormatError):
        codec.decode(data + b"\0", symbols.shape)


def check_decodes_or_refuses(codec: Codec, data: bytes, shape: tuple[int, ...]) -> None:
    """Any bytes decode to symbols of the shape or raise a FormatError with an offset; never another error.

    The runtime in C gives the same symbols, or refuses the stream too.
    """
    error, symbols = _decoded(codec.decode, data, shape)
    reference_error, reference = _decoded(reference_decode(codec), data, shape)
    assert str(error) == str(reference_error)
    if error is None:
        assert (symbols.dtype, symbols.shape) == (reference.dtype, reference.shape) == (np.uint16, shape)
        np.testing.assert_array_equal(symbols, reference)
    else:
        assert 0 <= error.offset <= len(data)


def _decoded(decode, data: bytes, shape: tuple[int, ...]):
    try:
        return None, decode(data, shape)
    except FormatError as error:
        return error, None


def check_damage(codec: Codec, symbols) -> None:
    for damaged in flipped_bits(codec.encode(symbols)):
        check_decodes_or_refuses(codec, damaged, symbols.shape)
