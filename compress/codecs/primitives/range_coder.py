"""Binary arithmetic coding: each bit, given how probable a 1 is, takes as little as its probability says.

The stream is a number within an interval of 32-bit width that each bit narrows, its lower part being for a 1. Where
it is narrower than 2 ** 24, a byte is settled. After the last bit come the fewest bytes with which every number that
begins so lies within the interval: so no stream is the beginning of another, and the decoder knows where its ends.

Compiled code keeps to 64-bit signed integers.

Source: Martin 1979, "Range encoding"; the arrangement is that of the LZMA SDK's range coder.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from compress.errors import FormatError
from compress.runtime.jit import compiled

PROBABILITY_BITS = 16
ROOM = 64
"""Bytes that 44 bits never outgrow, as long as none costs more than 11 bits."""

AT = 2
"""Where in a stream's place the bytes written or read are counted."""
_WHOLE = 1 << 32

DATA = types.uint8[::1]
CODER = types.UniTuple(types.int64, 4)  # type: ignore[no-untyped-call]
_BIT = types.Tuple([CODER, types.int64])  # type: ignore[no-untyped-call]

Coder = tuple[int, int, int, int]
"""Where a stream is, as compiled code carries it along: in registers, since each bit changes all of it.

Of the interval its start (encoding) or how far the stream lies above that (decoding), and its width; the bytes written
or read; 1 where decoding, else 0.
"""


class Stream(NamedTuple):
    """What is being written or read.

    Attributes:
        place: int64, shape (4,), a `Coder`.
        data: uint8, the bytes to write, with room, or to read; beyond their end are zeros.
    """

    place: NDArray[np.int64]
    data: NDArray[np.uint8]

    @classmethod
    def to_write(cls, room: int) -> Stream:
        """Return an empty stream with room for so many bytes."""
        return cls(np.array([0, _WHOLE, 0, 0], dtype=np.int64), np.empty(room, dtype=np.uint8))

    @classmethod
    def to_read(cls, data: bytes, start: int) -> Stream:
        """Return the stream that is `data[start:]`."""
        coded = np.frombuffer(data, np.uint8, offset=start).copy()
        return cls(np.array([_word(coded, 0), _WHOLE, 4, 1], dtype=np.int64), coded)


@compiled(types.void(DATA, types.int64))
def _carry(data: NDArray[np.uint8], at: int) -> None:
    """Add one to the bytes before `at`."""
    at -= 1
    while data[at] == 255:
        data[at] = 0
        at -= 1
    data[at] += 1


@compiled(_BIT(CODER, DATA, types.int64, types.int64), inline=True)
def code_bit(coder: Coder, data: NDArray[np.uint8], bit: int, probability: int) -> tuple[Coder, int]:
    """Encode `bit`, or decode one, and return where the stream is then, and the bit.

    Args:
        coder: where the stream is.
        data: of the stream.
        bit: what to encode.
        probability: of a 1, in 1 / 2 ** 16, more than 0 and less than 2 ** 16.
    """
    start, width, at, decoding = coder
    bound = (width >> PROBABILITY_BITS) * probability
    if decoding:
        bit = 1 if start < bound else 0
        start -= 0 if bit else bound
        width = bound if bit else width - bound
        while width < 1 << 24:
            start = (start << 8) | (data[np.uintp(at)] if at < data.size else 0)
            width <<= 8
            at += 1
    else:
        start += 0 if bit else bound
        width = bound if bit else width - bound
        if start >= _WHOLE:
            start -= _WHOLE
            _carry(data, at)
        while width < 1 << 24:
            data[np.uintp(at)] = start >> 24
            start = (start & 0xFFFFFF) << 8
            width <<= 8
            at += 1
    return (start, width, at, decoding), bit


def finish(stream: Stream) -> bytes:
    """Return the whole stream, after the last bit was encoded."""
    start, width, at, _ = stream.place.tolist()
    count, last = _closing(start, width)
    if last >= _WHOLE:
        _carry(stream.data, at)
    return stream.data[:at].tobytes() + (last % _WHOLE).to_bytes(4, "big")[:count]


def check_end(stream: Stream) -> None:
    """Check, after the last bit was decoded, that the stream is all of the bytes and they no more.

    Raises:
        FormatError: it is not.
    """
    above, width, at, _ = stream.place.tolist()
    settled = at - 4
    word = _word(stream.data, settled)
    count, last = _closing((word - above) % _WHOLE, width)
    end = settled + count
    if len(stream.data) < end:
        raise FormatError("the coded bits end too early", offset=len(stream.data), expected=f"{end:,} bytes")
    if len(stream.data) > end:
        raise FormatError("bytes are left over after the last coded bit", offset=end)
    if word != last % _WHOLE:
        raise FormatError("the coded bits are not closed as they should be", offset=settled)


def _closing(start: int, width: int) -> tuple[int, int]:
    """Return the fewest bytes after which all numbers lie in the interval, and the first of these numbers."""
    for count in range(5):
        share = 1 << (32 - 8 * count)
        first = -(-start // share) * share
        if first + share <= start + width:
            return count, first
    raise AssertionError("an interval holds at least one number of four bytes")


def _word(data: NDArray[np.uint8], at: int) -> int:
    return int.from_bytes(data[at : at + 4].tobytes().ljust(4, b"\0"), "big")


def fewest_bytes(bits: int, least_probability: int) -> int:
    """Return how many bytes so many bits take at least, when none is expected with more than 1 - `least_probability`.

    Args:
        bits: how many.
        least_probability: of either value of a bit, in 1 / 2 ** 16.
    """
    # Rounding down what is for a 1 takes up to 1 in 257 of it away.
    cost = -math.log2(1 - least_probability / (1 << PROBABILITY_BITS) * (256 / 257))
    return max(0, int((bits * cost - 32) / 8))
