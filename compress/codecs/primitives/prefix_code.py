"""The prefix code of the Huffman codecs, and its table in a stream.

dahuffman constructs the lengths of codewords. If one is over 16 bits, package-merge gives the best code with at most
16. docs/format.md, "huffman", specifies the canonical codewords and the table.

Source of package-merge: Larmore and Hirschberg 1990, A fast algorithm for optimal length-limited Huffman codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import dahuffman
import numpy as np
from numpy.typing import NDArray

from compress.codecs.primitives.prefix_bits import LENGTH_BITS
from compress.codecs.primitives.prefix_code_reader import MAX_LENGTH, PROBLEMS, read_code
from compress.errors import FormatError


@dataclass(frozen=True, eq=False)
class PrefixCode:
    """A complete prefix code: symbols in use, ascending, and the bits of their codewords; both int64, shape (k,)."""

    symbols: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def from_counts(cls, counts: NDArray[np.int64]) -> PrefixCode:
        """Return the code for a histogram."""
        symbols = np.flatnonzero(counts)
        if symbols.size == 0:
            return cls(symbols, symbols)
        table = dahuffman.HuffmanCodec.from_frequencies(
            dict(zip(symbols.tolist(), counts[symbols].tolist(), strict=True)),
            eof=int(symbols[0]),  # an existing symbol: no end marker is added, since the number of symbols is known
        ).get_code_table()
        lengths = np.array([table[symbol][0] for symbol in symbols.tolist()], dtype=np.int64)
        if lengths.max() > MAX_LENGTH:
            lengths = _package_merge(counts[symbols], MAX_LENGTH)
        return cls(symbols, lengths)

    def bits(self, counts: NDArray[np.int64]) -> int:
        """Return the bits of all codewords of symbols with this histogram."""
        return int(self.lengths @ counts[self.symbols])

    def encoding_table(self) -> NDArray[np.int32]:
        """Return `codeword << LENGTH_BITS | length` for every symbol up to the largest."""
        order = np.argsort(self.lengths, kind="stable")
        lengths = self.lengths[order]
        shares = 1 << (MAX_LENGTH - lengths)  # number of strings of 16 bits that begin with the codeword
        codewords = (np.cumsum(shares) - shares) >> (MAX_LENGTH - lengths)
        table = np.zeros(int(self.symbols.max(initial=-1)) + 1, dtype=np.int32)
        table[self.symbols[order]] = codewords << LENGTH_BITS | lengths
        return table

    def decoding_table(self) -> NDArray[np.int32]:
        """Return `symbol << LENGTH_BITS | length` for every string of as many bits as the longest codeword."""
        order = np.argsort(self.lengths, kind="stable")
        entries = self.symbols << LENGTH_BITS | self.lengths
        shares = 1 << (self.lengths.max(initial=0) - self.lengths)  # number of strings that begin with the codeword
        return np.repeat(entries[order], shares[order]).astype(np.int32)

    def to_bytes(self) -> bytes:
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
        """Return the code whose table is at the start of `data`, and the byte after it.

        Raises:
            FormatError: the table is cut off or not allowed, or the code is not complete.
        """
        (problem, number, at), symbols, lengths = read_code(data)
        if problem:
            message, expected = PROBLEMS[problem]
            raise FormatError(message.format(number), offset=at // 8, expected=expected)
        return cls(symbols, lengths), (at + 7) // 8


def _package_merge(counts: NDArray[np.int64], max_length: int) -> NDArray[np.int64]:
    """Return the lengths of the best code of limited length; ties by symbol, then leaves first."""
    order = np.argsort(counts, kind="stable")
    leaves = counts[order]
    levels = []
    packages = leaves[:0]
    for _ in range(max_length):
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
