"""The prefix code of the Huffman codecs: its construction, its canonical codewords and its bytes.

Code lengths are those of dahuffman's construction. Where one is longer than 16 bits, all are replaced by the best
code that keeps to 16, which package-merge finds. Codewords are canonical: shorter ones first, symbols of one length
in ascending order, each codeword the one before plus one.

Bytes of a code, as bits from the most significant on (gamma(n), n >= 1, is Elias' code: as many zeros as n has binary
digits after its first, then n in binary):

1. gamma(k + 1), k the number of symbols in use.
2. Until k symbols are named: gamma(a + 1), gamma(p): the next `a` symbols, counted from 0, are not in use and the `p`
   after them are.
3. For k >= 2: four bits, the length of the first symbol's codeword minus 1. Then for each symbol in use, the first
   too, steps from the length before: `10` one longer, `11` one shorter, `0` this is the length. (bzip2 does so too.)
4. Zeros up to the next byte.

A code of one symbol takes no bits at all.

Source of package-merge: Larmore and Hirschberg 1990, A fast algorithm for optimal length-limited Huffman codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dahuffman import HuffmanCodec
from numpy.typing import NDArray

from compress.codecs.bitstream import LENGTH_BITS
from compress.errors import FormatError

LONGEST = 16
"""Bits of the longest codeword allowed."""


@dataclass(frozen=True, eq=False)
class PrefixCode:
    """A complete prefix code.

    Attributes:
        symbols: int64, shape (k,), those in use, ascending.
        lengths: int64, shape (k,), bits of their codewords, 1 to 16; 0 where k is 1.
    """

    symbols: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def from_counts(cls, counts: NDArray[np.int64]) -> PrefixCode:
        """Build the code for `counts`: of each symbol from 0 on, how often it occurs."""
        symbols = np.flatnonzero(counts)
        if symbols.size == 0:
            return cls(symbols, symbols)
        table = HuffmanCodec.from_frequencies(
            dict(zip(symbols.tolist(), counts[symbols].tolist(), strict=True)),
            eof=int(symbols[0]),  # a symbol that is there already: no other is added, the count says where to end
        ).get_code_table()
        lengths = np.array([table[symbol][0] for symbol in symbols.tolist()], dtype=np.int64)
        if lengths.max() > LONGEST:
            lengths = _package_merge(counts[symbols], LONGEST)
        return cls(symbols, lengths)

    def bits(self, counts: NDArray[np.int64]) -> int:
        """Return the bits that symbols occurring `counts` times take."""
        return int(self.lengths @ counts[self.symbols])

    def encoding_table(self) -> NDArray[np.int32]:
        """Return `codeword << LENGTH_BITS | length` for every symbol up to the largest."""
        order = np.argsort(self.lengths, kind="stable")
        lengths = self.lengths[order]
        shares = 1 << (LONGEST - lengths)  # of all strings of 16 bits, how many begin with the codeword
        codewords = (np.cumsum(shares) - shares) >> (LONGEST - lengths)
        table = np.zeros(int(self.symbols.max(initial=-1)) + 1, dtype=np.int32)
        table[self.symbols[order]] = codewords << LENGTH_BITS | lengths
        return table

    def decoding_table(self) -> NDArray[np.int32]:
        """Return, for all strings of as many bits as the longest codeword, `symbol << LENGTH_BITS | length`."""
        order = np.argsort(self.lengths, kind="stable")
        lengths = self.lengths[order]
        entries = (self.symbols[order] << LENGTH_BITS | lengths).astype(np.int32)
        return np.repeat(entries, 1 << (lengths.max(initial=0) - lengths))

    def to_bytes(self) -> bytes:
        """Return the code as the module's description lays it out."""
        bits = [_gamma(self.symbols.size + 1)]
        runs = np.split(self.symbols, np.flatnonzero(np.diff(self.symbols) != 1) + 1) if self.symbols.size else []
        named = 0
        for run in runs:
            bits += [_gamma(int(run[0]) - named + 1), _gamma(run.size)]
            named = int(run[-1]) + 1
        if self.symbols.size > 1:
            bits.append(f"{int(self.lengths[0]) - 1:04b}")
            steps = np.diff(self.lengths, prepend=self.lengths[0])
            bits += [("10" if step > 0 else "11") * abs(step) + "0" for step in steps.tolist()]
        text = "".join(bits)
        total = (len(text) + 7) // 8
        return int(text.ljust(8 * total, "0"), 2).to_bytes(total, "big")

    @classmethod
    def from_bytes(cls, data: bytes) -> tuple[PrefixCode, int]:
        """Return the code at the start of `data`, and the byte after it.

        Raises:
            FormatError: it is cut off, is not complete or is no prefix code, or names symbols beyond 65,535.
        """
        reader = _BitReader(data)
        symbols = _read_symbols(reader)
        lengths = _read_lengths(reader, symbols.size)
        if lengths.size > 1 and int(np.sum(1 << (LONGEST - lengths))) != 1 << LONGEST:
            raise FormatError("code lengths are those of no complete prefix code", offset=0)
        return cls(symbols, lengths), reader.end()


def _package_merge(counts: NDArray[np.int64], longest: int) -> NDArray[np.int64]:
    """Return the lengths of the best code without codewords over `longest` bits; ties by symbol, then leaves first."""
    order = np.argsort(counts, kind="stable")
    leaves = counts[order]
    levels = []
    packages = leaves[:0]
    for _ in range(longest):
        coins = np.concatenate([leaves, packages])
        cheapest = np.argsort(coins, kind="stable")
        levels.append(cheapest < leaves.size)
        pairs = coins[cheapest][: coins.size // 2 * 2].reshape(-1, 2)
        packages = pairs.sum(axis=1)
    lengths = np.zeros_like(leaves)
    taken = 2 * leaves.size - 2
    for is_leaf in reversed(levels):
        taken_leaves = int(np.count_nonzero(is_leaf[:taken]))
        lengths[:taken_leaves] += 1
        taken = 2 * (taken - taken_leaves)
    by_symbol = np.empty_like(lengths)
    by_symbol[order] = lengths
    return by_symbol


def _gamma(number: int) -> str:
    digits = f"{number:b}"
    return "0" * (len(digits) - 1) + digits


class _BitReader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def bit(self) -> int:
        byte, place = divmod(self._at, 8)
        if byte >= len(self._data):
            raise FormatError("the code is cut off", offset=len(self._data))
        self._at += 1
        return self._data[byte] >> (7 - place) & 1

    def number(self, bits: int) -> int:
        value = 0
        for _ in range(bits):
            value = value << 1 | self.bit()
        return value

    def gamma(self) -> int:
        zeros = 0
        while not self.bit():
            zeros += 1
            if zeros > LONGEST:
                raise FormatError("a number in the code is over 131,071", offset=self._at // 8)
        return 1 << zeros | self.number(zeros)

    def end(self) -> int:
        """Check the padding and return the byte after it."""
        if self.number(-self._at % 8):
            raise FormatError("padding after the code is not zero", offset=self._at // 8 - 1)
        return self._at // 8


def _read_symbols(reader: _BitReader) -> NDArray[np.int64]:
    left = reader.gamma() - 1
    runs = [np.zeros(0, dtype=np.int64)]
    at = 0
    while left > 0:
        start = at + reader.gamma() - 1
        at = start + reader.gamma()
        left -= at - start
        if at > 1 << 16:
            raise FormatError(f"symbol {at - 1:,} in the code", offset=0, expected="at most 65,535")
        runs.append(np.arange(start, at))
    if left < 0:
        raise FormatError("the code names more symbols than it has", offset=0)
    return np.concatenate(runs)


def _read_lengths(reader: _BitReader, count: int) -> NDArray[np.int64]:
    lengths = np.zeros(count, dtype=np.int64)
    if count < 2:
        return lengths
    length = reader.number(4) + 1
    for index in range(count):
        way = 0
        while reader.bit():
            step = -1 if reader.bit() else 1
            if step == -way:  # else ever so many steps could lead nowhere
                raise FormatError("steps of a codeword's length go both ways", offset=0)
            way = step
            length += step
            if not 1 <= length <= LONGEST:
                raise FormatError(f"a codeword of {length} bits", offset=0, expected="1 to 16")
        lengths[index] = length
    return lengths
