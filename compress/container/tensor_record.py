"""The record of one tensor in the header <-> bytes: everything needed to split its payload into sections."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from compress.codecs import CODECS_BY_ID
from compress.codecs.protocol import Codec
from compress.container.field_io import FieldReader, FieldWriter
from compress.container.scan_order import SCAN_ORDERS, ScanOrder, scan_orders
from compress.errors import FormatError
from compress.tensors.forms import FloatName
from compress.tensors.kernel_transform import has_3x3_kernels
from compress.tensors.levels import MAX_FLOAT16_LEVELS

FormName = Literal["dense", "pruned", "shared"]

_MAX_DIMENSIONS = 8
_MAX_ENTRIES = 1 << 16

_FORMS: tuple[FormName, ...] = ("dense", "pruned", "shared")
_FORM_MASK = 3


class _Flag(enum.IntFlag):
    """Flags of a record; they share a number with the form, which has the two lowest bits."""

    FLOAT16 = 4
    ROW_EXPONENTS = 8
    COLUMN_EXPONENTS = 16
    LEVELS = 32
    CODED_VALUES = 64
    SCAN_ORDER = 128
    COEFFICIENT_EXPONENTS = 256


_LENGTH_FLAGS = (_Flag.ROW_EXPONENTS, _Flag.COLUMN_EXPONENTS, _Flag.COEFFICIENT_EXPONENTS, _Flag.CODED_VALUES)
_ALLOWED: dict[FormName, _Flag] = {
    "dense": _Flag.FLOAT16 | _Flag.CODED_VALUES,
    "pruned": _Flag.CODED_VALUES | _Flag.SCAN_ORDER,
    "shared": _Flag(sum(_Flag)),
}


@dataclass(frozen=True)
class TensorRecord:
    """One tensor's record.

    Attributes:
        name: unique in the file.
        shape: in PyTorch's order.
        form: of the decoded tensor.
        stored_as: precision of the values.
        value_count: all weights, the unpruned ones, or the codebook without its zero.
        codec: of the indices or the mask; None for a dense tensor.
        scan_order: of the symbols.
        symbol_bytes: length of the codec's stream.
        exponent_bytes: of rows, columns and coefficients; None: no such exponents.
        coded_value_bytes: None: values are stored plainly.
        levels: whether the codebook is `levels_codebook`, which stores no values.
    """

    name: str
    shape: tuple[int, ...]
    form: FormName
    stored_as: FloatName
    value_count: int
    codec: Codec | None = None
    scan_order: ScanOrder = "out-in"
    symbol_bytes: int = 0
    exponent_bytes: tuple[int | None, ...] = (None, None, None)
    coded_value_bytes: int | None = None
    levels: bool = False

    @property
    def weights(self) -> int:
        return math.prod(self.shape)

    @property
    def value_bytes(self) -> int:
        if self.coded_value_bytes is not None:
            return self.coded_value_bytes
        return 0 if self.levels else self.value_count * np.dtype(self.stored_as).itemsize

    @property
    def scale_bytes(self) -> int:
        return sum(length or 0 for length in self.exponent_bytes)

    @property
    def payload_bytes(self) -> int:
        return self.value_bytes + self.scale_bytes + self.symbol_bytes

    def write(self, out: FieldWriter) -> None:
        """Write the record.

        Raises:
            SqueezeError: the tensor has too many dimensions.
        """
        out.varint(len(self.shape), _MAX_DIMENSIONS, f"dimensions of {self.name}")
        optional = [*self.exponent_bytes, self.coded_value_bytes]
        flags = sum(int(flag) for flag, number in zip(_LENGTH_FLAGS, optional, strict=True) if number is not None)
        flags += _Flag.FLOAT16 * (self.stored_as == "float16") + _Flag.LEVELS * self.levels
        if self.codec is not None:
            scan_order = SCAN_ORDERS.index(self.scan_order) or None
            flags += _Flag.SCAN_ORDER * (scan_order is not None)
            optional = [self.codec.id, scan_order, self.value_count, self.symbol_bytes, *optional]
        for number in (*self.shape, _FORMS.index(self.form) + flags, *optional):
            if number is not None:
                out.varint(number)

    @classmethod
    def read(cls, fields: FieldReader, name: str, max_weights: int) -> TensorRecord:
        """Return the record that starts at `fields`, of a tensor of up to `max_weights` weights.

        Raises:
            FormatError: a field is out of range.
        """
        shape = _read_shape(fields, name, max_weights)
        form, flags = _read_form(fields, name, shape)
        stored_as: FloatName = "float16" if _Flag.FLOAT16 in flags else "float32"
        levels = _Flag.LEVELS in flags
        value_count, codec, scan_order, symbol_bytes = math.prod(shape), None, SCAN_ORDERS[0], 0
        if form != "dense":
            codec = _read_codec(fields, name)
            if _Flag.SCAN_ORDER in flags:
                scan_order = _read_scan_order(fields, name, len(shape))
            max_entries = MAX_FLOAT16_LEVELS if levels and stored_as == "float16" else _MAX_ENTRIES
            max_values = value_count if form == "pruned" else max_entries - 1
            value_count = fields.varint(max_values, f"tensor {name}: values")
            symbol_bytes = fields.varint()
        *exponent_bytes, coded_value_bytes = (fields.varint() if flag in flags else None for flag in _LENGTH_FLAGS)
        return cls(name, shape, form, stored_as, value_count, codec, scan_order, symbol_bytes, tuple(exponent_bytes),
                   coded_value_bytes, levels)  # fmt: skip


def _read_shape(fields: FieldReader, name: str, max_weights: int) -> tuple[int, ...]:
    start = fields.at
    dimensions = fields.varint(_MAX_DIMENSIONS, f"tensor {name}: dimensions")
    shape = tuple(fields.varint() for _ in range(dimensions))
    if math.prod(max(extent, 1) for extent in shape) > max_weights:  # a zero does not make the other extents free
        limit = f"at most {max_weights:,} more weights (max_weights; --max-weights)"
        raise FormatError(f"tensor {name}: shape {shape}", offset=start, expected=limit)
    return shape


def _read_form(fields: FieldReader, name: str, shape: tuple[int, ...]) -> tuple[FormName, _Flag]:
    start = fields.at
    number = fields.varint()
    index, flags = number & _FORM_MASK, number & ~_FORM_MASK
    is_known = index < len(_FORMS) and flags <= sum(_Flag)
    if not is_known or not _are_allowed(_Flag(flags), _FORMS[index], shape):
        raise FormatError(f"tensor {name}: form {number} of shape {shape}", offset=start, expected="a known form")
    return _FORMS[index], _Flag(flags)


def _are_allowed(flags: _Flag, form: FormName, shape: tuple[int, ...]) -> bool:
    return (
        flags in _ALLOWED[form]
        and (_Flag.ROW_EXPONENTS not in flags or len(shape) > 0)
        and (_Flag.COLUMN_EXPONENTS not in flags or len(shape) > 1)
        and (_Flag.COEFFICIENT_EXPONENTS not in flags or has_3x3_kernels(shape))
        and _Flag.LEVELS | _Flag.CODED_VALUES not in flags
    )


def _read_codec(fields: FieldReader, name: str) -> Codec:
    start = fields.at
    codec_id = fields.varint()
    if codec_id not in CODECS_BY_ID:
        problem = f"tensor {name}: codec {codec_id} is unknown; a newer squeeze-compress wrote this file"
        raise FormatError(problem, offset=start, expected=f"one of {sorted(CODECS_BY_ID)}")
    return CODECS_BY_ID[codec_id]


def _read_scan_order(fields: FieldReader, name: str, dimensions: int) -> ScanOrder:
    start, allowed = fields.at, scan_orders(dimensions)
    index = fields.varint(len(allowed) - 1, f"tensor {name}: scan order of {dimensions} dimensions")
    if index == 0:
        raise FormatError(f"tensor {name}: scan order 0", offset=start, expected="no flag for row-major order")
    return allowed[index]
