"""The file of the Deep Compression authors: `compressed_SqueezeNet.net`, 675,763 bytes.

Little-endian, without Huffman codes. First the number of entries of each weight tensor, uint32. Then for each tensor:

- a codebook of 256 float32; entry 0 is the pruned value, zero;
- the biases, float32;
- a codebook index of one byte for each entry; an entry with index 0 continues a gap that is too long for 4 bits;
- a gap of 4 bits for each entry, the low half of a byte first: the number of positions to skip.

Source: Han et al. 2016, arXiv:1510.00149, figure 2; Iandola et al. 2016, arXiv:1602.07360.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from compress.errors import FormatError, format_errors_of
from compress.model import CAFFE, Model
from compress.runtime.option_types import OPTIONS, PathText
from compress.weights.source_files import Arrays, existing_file

_ARCHITECTURE = "squeezenet1_0"
_CODEBOOK_ENTRIES = 256


@dataclass(frozen=True, config=OPTIONS)
class DeepCompressionWeights:
    """SqueezeNet v1.0 from the file that the Deep Compression authors released, `compressed_SqueezeNet.net`."""

    path: PathText
    is_trained: ClassVar[bool] = True

    @property
    def description(self) -> str:
        return f"SqueezeNet v1.0 as the Deep Compression authors released it ({Path(self.path).name})"

    def load(self, seed: int = 0) -> Model:
        """Read the file; see `WeightSource`."""
        from compress.networks.modules import builtin_network  # noqa: PLC0415
        from compress.weights.squeezenet_model import squeezenet_model  # noqa: PLC0415

        shapes = {name: tuple(p.shape) for name, p in builtin_network(_ARCHITECTURE, 1000).named_parameters()}
        path = existing_file(self.path)
        with format_errors_of(path):
            arrays = read_deep_compression(path.read_bytes(), shapes)
        return squeezenet_model(_ARCHITECTURE, arrays, CAFFE)


def read_deep_compression(data: bytes, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """Decode the released file.

    Args:
        data: the whole file.
        shapes: of the network's tensors in order, each weight followed by its bias.
    Raises:
        FormatError: the file is too short or too long, or a position is outside its tensor.
    """
    names = list(shapes)
    pairs = list(zip(names[::2], names[1::2], strict=True))
    reader = _Reader(data)
    counts = reader.take("<u4", len(pairs)).tolist()
    arrays: Arrays = {}
    for (weight, bias), count in zip(pairs, counts, strict=True):
        codebook = reader.take("<f4", _CODEBOOK_ENTRIES)
        biases = reader.take("<f4", shapes[bias][0])
        indices, packed = reader.take("u1", count), reader.take("u1", -(-count // 2))
        gaps = np.stack([packed & 15, packed >> 4], axis=1).ravel()[:count]
        positions = np.cumsum(gaps.astype(np.int64) + 1) - 1
        values = np.zeros(math.prod(shapes[weight]), dtype=np.float32)
        if count and positions[-1] >= len(values):
            problem = f"{weight}: position {positions[-1]:,} in a tensor of {len(values):,} weights"
            raise FormatError(problem, offset=reader.offset)
        values[positions] = np.where(indices == 0, 0, codebook[indices])
        arrays |= {weight: values.reshape(shapes[weight]), bias: biases.copy()}
    if reader.offset != len(data):
        raise FormatError(f"{len(data) - reader.offset:,} bytes too many", offset=reader.offset, expected="the end")
    return arrays


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.offset = data, 0

    def take(self, dtype: str, count: int) -> NDArray[Any]:
        length = count * np.dtype(dtype).itemsize
        if self.offset + length > len(self.data):
            problem = f"the file ends after {len(self.data):,} bytes"
            raise FormatError(problem, offset=self.offset, expected=f"{length:,} more bytes")
        values = np.frombuffer(self.data, dtype, count, self.offset)
        self.offset += length
        return values
