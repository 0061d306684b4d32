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
from itertools import pairwise

import numpy as np
from dahuffman import HuffmanCodec
from numpy.typing import NDArray

from compress.codecs.primitives import prefix_code_reader
from compress.codecs.primitives.prefix_bits import LENGTH_BITS
from compress.codecs.primitives.prefix_code_reader import LONGEST
from compress.errors import FormatError


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
        return prefix_code_reader.decoding_table(self.symbols, self.lengths)

    def to_bytes(self) -> bytes:
        """Return the code as the module's description lays it out."""
        bits = [_gamma(self.symbols.size + 1)]
        symbols, lengths = self.symbols.tolist(), self.lengths.tolist()
        ends = [*np.flatnonzero(np.diff(self.symbols) != 1).tolist(), len(symbols) - 1] if symbols else []
        named, start = 0, 0
        for end in ends:
            bits += [_gamma(symbols[start] - named + 1), _gamma(end - start + 1)]
            named, start = symbols[end] + 1, end + 1
        if len(symbols) > 1:
            bits.append(f"{lengths[0] - 1:04b}")
            steps = (after - before for before, after in pairwise([lengths[0], *lengths]))
            bits += [("10" if step > 0 else "11") * abs(step) + "0" for step in steps]
        text = "".join(bits)
        total = (len(text) + 7) // 8
        return int(text.ljust(8 * total, "0"), 2).to_bytes(total, "big")

    @classmethod
    def from_bytes(cls, data: bytes) -> tuple[PrefixCode, int]:
        """Return the code at the start of `data`, and the byte after it.

        Raises:
            FormatError: it is cut off, is not complete or is no prefix code, or names symbols beyond 65,535.
        """
        (problem, number, at), symbols, lengths = prefix_code_reader.read_code(np.frombuffer(data, np.uint8))
        if problem:
            raise _error(problem, number, at)
        return cls(symbols, lengths), at // 8


def _error(problem: int, number: int, at: int) -> FormatError:
    """Return the error that says what was wrong where a code was read."""
    match problem:
        case prefix_code_reader.CUT_OFF:
            return FormatError("the code is cut off", offset=at // 8)
        case prefix_code_reader.LARGE:
            return FormatError("a number in the code is over 131,071", offset=at // 8)
        case prefix_code_reader.MANY:
            return FormatError(f"{number:,} symbols in the code", offset=0, expected="at most 65,536")
        case prefix_code_reader.BEYOND:
            return FormatError(f"symbol {number:,} in the code", offset=0, expected="at most 65,535")
        case prefix_code_reader.MORE:
            return FormatError("the code names more symbols than it has", offset=0)
        case prefix_code_reader.LENGTH:
            return FormatError(f"a codeword of {number} bits", offset=0, expected=f"1 to {LONGEST}")
        case prefix_code_reader.INCOMPLETE:
            return FormatError("code lengths are those of no complete prefix code", offset=0)
        case prefix_code_reader.PADDING:
            return FormatError("padding after the code is not zero", offset=at // 8)
        case _:  # BOTH_WAYS: else ever so many steps could lead nowhere
            return FormatError("steps of a codeword's length go both ways", offset=0)


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
