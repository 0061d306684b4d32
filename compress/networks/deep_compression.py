"""The file that the Deep Compression authors released: `compressed_SqueezeNet.net`, 675,763 bytes.

Little-endian. For each weight tensor, in network order, a uint32: how many entries it stores. Then, tensor by tensor:
a codebook of 256 float32 (entry 0 is the pruned value, zero); the biases, float32; for each entry a byte, its index
into the codebook; for each entry 4 bits, two a byte, the low ones first: how many positions it skips. An entry with
index 0 only carries on a gap too long for 4 bits. There is no Huffman code in it.

Source: Han et al. 2016, arXiv:1510.00149, figure 2; Iandola et al. 2016, arXiv:1602.07360.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import FormatError

_CODEBOOK_ENTRIES = 256


def read_deep_compression(data: bytes, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
    """Decode the released file.

    Args:
        data: the whole file.
        shapes: of the network's tensors in order, each weight followed by its bias.
    Returns:
        float32 tensors by name.
    Raises:
        FormatError: the file is shorter or longer than its counts say, or names a position outside its tensor.
    """
    names = list(shapes)
    pairs = list(zip(names[::2], names[1::2], strict=True))
    reader = _Reader(data)
    counts = reader.take("<u4", len(pairs))
    arrays: dict[str, NDArray[np.float32]] = {}
    for (weight, bias), count in zip(pairs, counts.tolist(), strict=True):
        codebook = reader.take("<f4", _CODEBOOK_ENTRIES)
        biases = reader.take("<f4", shapes[bias][0])
        indices = reader.take("u1", count)
        packed = reader.take("u1", -(-count // 2))
        gaps = np.stack([packed & 15, packed >> 4], axis=1).ravel()[:count]
        positions = np.cumsum(gaps.astype(np.int64) + 1) - 1
        values = np.zeros(math.prod(shapes[weight]), dtype=np.float32)
        if count and positions[-1] >= len(values):
            raise FormatError(
                f"{weight}: position {positions[-1]:,} in a tensor of {len(values):,} weights", offset=reader.offset
            )
        values[positions] = codebook[indices]
        values[positions[indices == 0]] = 0
        arrays[weight], arrays[bias] = values.reshape(shapes[weight]), biases.copy()
    if reader.offset != len(data):
        raise FormatError(f"{len(data) - reader.offset:,} bytes too many", offset=reader.offset, expected="the end")
    return arrays


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.offset = data, 0

    def take(self, dtype: str, count: int) -> NDArray[Any]:
        length = count * np.dtype(dtype).itemsize
        if self.offset + length > len(self.data):
            raise FormatError(
                f"the file ends after {len(self.data):,} bytes", offset=self.offset, expected=f"{length:,} more bytes"
            )
        values = np.frombuffer(self.data, dtype, count, self.offset)
        self.offset += length
        return values
