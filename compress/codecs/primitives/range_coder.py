"""Binary range coder: each bit costs as much as its given probability says.

Each bit selects a part of an interval of 32-bit numbers, a 1 the lower part. When it is narrower than 2 ** 24, its
leading byte is written. After the last bit come the fewest bytes such that any continuation lies in the interval, so
no stream is a prefix of another.

Source: Martin 1979, "Range encoding"; the arrangement is that of the LZMA SDK's range coder.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compress.errors import FormatError
from compress.runtime.jit import Contiguous, compiled

PROBABILITY_BITS = 16
OUTPUT_MARGIN_BYTES = 64
"""Upper bound of the bytes of 44 bits that cost at most 11 bits each."""

POSITION = 2
"""Index in a `Coder` of the number of bytes written or read."""
_FULL_RANGE = 1 << 32

Bytes = Annotated[NDArray[np.uint8], Contiguous(1)]
Coder = tuple[int, int, int, int]
"""State of a coder, by value so that compiled code keeps it in registers.

Start of the interval (encoding), or code number minus this start (decoding); width of the interval; bytes written or
read; 1 for decoding, 0 for encoding.
"""


class Stream(NamedTuple):
    """A `Coder` as int64, shape (4,), and uint8 bytes: room to write them, or bytes to read."""

    place: NDArray[np.int64]
    data: NDArray[np.uint8]

    @classmethod
    def to_write(cls, room_bytes: int) -> Stream:
        return cls(np.array([0, _FULL_RANGE, 0, 0], dtype=np.int64), np.empty(room_bytes, dtype=np.uint8))

    @classmethod
    def to_read(cls, data: bytes, start: int) -> Stream:
        coded = np.frombuffer(data, np.uint8, offset=start).copy()
        return cls(np.array([_word_at(coded, 0), _FULL_RANGE, 4, 1], dtype=np.int64), coded)


@compiled()
def _carry(data: Bytes, at: int) -> None:
    """Add one to the number that ends before byte `at`."""
    at -= 1
    while data[at] == 255:
        data[at] = 0
        at -= 1
    data[at] += 1


@compiled(inline=True)
def code_bit(coder: Coder, data: Bytes, bit: int, probability: int) -> tuple[Coder, int]:
    """Encode `bit`, or decode a bit. Return the new state and the bit.

    `probability` is that of a 1, in units of 2 ** -16, more than 0 and less than 2 ** 16.
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
        if start >= _FULL_RANGE:
            start -= _FULL_RANGE
            _carry(data, at)
        while width < 1 << 24:
            data[np.uintp(at)] = start >> 24
            start = (start & 0xFFFFFF) << 8
            width <<= 8
            at += 1
    return (start, width, at, decoding), bit


def finish(stream: Stream) -> bytes:
    """Return the bytes of the stream after its last bit was encoded."""
    start, width, at, _ = stream.place.tolist()
    count, last = _final_bytes(start, width)
    if last >= _FULL_RANGE:
        _carry(stream.data, at)
    return stream.data[:at].tobytes() + (last % _FULL_RANGE).to_bytes(4, "big")[:count]


def check_end(stream: Stream) -> None:
    """Raise a FormatError unless the bytes end with the last decoded bit."""
    above, width, at, _ = stream.place.tolist()
    settled = at - 4
    word = _word_at(stream.data, settled)
    count, last = _final_bytes((word - above) % _FULL_RANGE, width)
    end = settled + count
    if len(stream.data) < end:
        raise FormatError("the coded bits end too early", offset=len(stream.data), expected=f"{end:,} bytes")
    if len(stream.data) > end:
        raise FormatError("bytes are left over after the last coded bit", offset=end)
    if word != last % _FULL_RANGE:
        raise FormatError("the final bytes of the coded bits are wrong", offset=settled)


def _final_bytes(start: int, width: int) -> tuple[int, int]:
    """Return the fewest bytes whose continuations all lie in the interval: their count, and their value as a word."""
    for count in range(5):
        share = 1 << (32 - 8 * count)
        first = -(-start // share) * share
        if first + share <= start + width:
            return count, first
    raise AssertionError("an interval has at least one number of four bytes")


def _word_at(data: NDArray[np.uint8], at: int) -> int:
    return int.from_bytes(data[at : at + 4].tobytes().ljust(4, b"\0"), "big")


def min_coded_bytes(bits: int, min_probability: int) -> int:
    """Return a lower bound of the bytes of bits, each of at least this probability in units of 2 ** -16."""
    # The width for a 1 is rounded down by up to 1 in 257.
    cost = -math.log2(1 - min_probability / (1 << PROBABILITY_BITS) * (256 / 257))
    return max(0, int((bits * cost - 32) / 8))
