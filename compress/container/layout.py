"""Byte counts of a `.sqz` file, by section and tensor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from compress.codecs import entropy_bytes
from compress.container.payload import decode_symbols, symbol_section, symbols_of
from compress.container.scan_order import ScanOrder
from compress.container.tensor_record import FormName, TensorRecord
from compress.errors import offset_by
from compress.tensors.forms import FloatName, Tensor
from compress.tensors.kernel_transform import KERNEL_SIDE


@dataclass(frozen=True)
class TensorLayout:
    """One tensor of a file. Its checksum and its record count as header.

    Attributes:
        name: as in the record.
        shape: as in the record.
        form: as in the record, or `coefficients` for shared coefficients of kernels.
        nonzero_weights: weights that are not pruned.
        codebook_entries: including zero; 0 without a codebook.
        codec: codec of the symbols; of a dense tensor, `planes` if its values are coded, else `plain`.
        scan_order: as in the record.
        stored_as: as in the record.
        index_bytes: coded indices with their code table; of a dense or pruned tensor, the values.
        position_bytes: coded positions of unpruned weights, if separate from the indices.
        codebook_bytes: the codebook.
        scale_bytes: exponents.
        entropy_bytes: order-0 entropy of the coded symbols, plus the bytes of dense or pruned values.
    """

    name: str
    shape: tuple[int, ...]
    form: FormName | Literal["coefficients"]
    nonzero_weights: int
    codebook_entries: int
    codec: str
    scan_order: ScanOrder
    stored_as: FloatName
    index_bytes: int
    position_bytes: int
    codebook_bytes: int
    scale_bytes: int
    entropy_bytes: float

    @property
    def weights(self) -> int:
        return math.prod(self.shape)

    @property
    def payload_bytes(self) -> int:
        return self.index_bytes + self.position_bytes + self.codebook_bytes + self.scale_bytes

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.payload_bytes / max(self.weights, 1)


@dataclass(frozen=True)
class Layout:
    """Byte counts of a file: header and all checksums, class names, tensors in file order."""

    header_bytes: int
    label_bytes: int
    tensors: tuple[TensorLayout, ...]

    @property
    def file_bytes(self) -> int:
        return self.header_bytes + self.label_bytes + sum(tensor.payload_bytes for tensor in self.tensors)

    @property
    def bytes_by_component(self) -> dict[str, int]:
        """What the bytes are used for; they sum to `file_bytes`. Values are weights without a codebook."""
        weights = [tensor for tensor in self.tensors if len(tensor.shape) >= 2]
        return {
            "indices": sum(tensor.index_bytes for tensor in weights if tensor.form in {"shared", "coefficients"}),
            "values": sum(tensor.index_bytes for tensor in weights if tensor.form in {"dense", "pruned"}),
            "positions": sum(tensor.position_bytes for tensor in weights),
            "codebooks": sum(tensor.codebook_bytes for tensor in weights),
            "scales": sum(tensor.scale_bytes for tensor in weights),
            "biases": sum(tensor.payload_bytes for tensor in self.tensors if len(tensor.shape) < 2),
            "class names": self.label_bytes,
            "header": self.header_bytes,
        }


def tensor_layout(record: TensorRecord, payload: bytes, tensor: Tensor | None) -> TensorLayout:
    """Return the layout of a payload.

    Args:
        record: of the tensor.
        payload: of the tensor.
        tensor: the decoded payload; None: its symbols are decoded here.
    Raises:
        FormatError: its symbols cannot be decoded; the offset counts from `payload[0]`.
    """
    codec_name = "plain" if record.coded_value_bytes is None else "planes"
    position_bytes, entropy, nonzero_weights = 0, 0.0, record.weights
    has_coefficients = record.exponent_bytes[2] is not None
    if record.codec is not None:
        codec_name, stream = record.codec.name, symbol_section(record, payload)
        with offset_by(len(payload) - record.symbol_bytes, codec_name):
            symbols = decode_symbols(record, payload) if tensor is None else symbols_of(tensor)
            entropy = entropy_bytes(record.codec.coded_symbols(stream, symbols))
            position_bytes = len(stream) if record.form == "pruned" else record.codec.position_bytes(stream)
        nonzero = symbols.any((2, 3)).repeat(KERNEL_SIDE**2) if has_coefficients else symbols
        nonzero_weights = int(np.count_nonzero(nonzero))
    codebook_bytes = record.value_bytes if record.form == "shared" else 0
    return TensorLayout(
        name=record.name,
        shape=record.shape,
        form="coefficients" if has_coefficients else record.form,
        nonzero_weights=nonzero_weights,
        codebook_entries=record.value_count + 1 if record.form == "shared" else 0,
        codec=codec_name,
        scan_order=record.scan_order,
        stored_as=record.stored_as,
        index_bytes=record.payload_bytes - position_bytes - codebook_bytes - record.scale_bytes,
        position_bytes=position_bytes,
        codebook_bytes=codebook_bytes,
        scale_bytes=record.scale_bytes,
        entropy_bytes=entropy + record.value_bytes - codebook_bytes,
    )
