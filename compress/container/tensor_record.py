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

MAX_DIMENSIONS = 8
MAX_ENTRIES = 1 << 16

_FORMS: tuple[FormName, ...] = ("dense", "pruned", "shared")
_FORM_MASK = 3
_NO_EXPONENTS = (None, None, None)


class RecordFlag(enum.IntFlag):
    """Flags of a record; they share a number with the form, which has the two lowest bits."""

    FLOAT16 = 4
    ROW_EXPONENTS = 8
    COLUMN_EXPONENTS = 16
    LEVELS = 32
    CODED_VALUES = 64
    SCAN_ORDER = 128
    COEFFICIENT_EXPONENTS = 256


_EXPONENT_FLAGS = (RecordFlag.ROW_EXPONENTS, RecordFlag.COLUMN_EXPONENTS, RecordFlag.COEFFICIENT_EXPONENTS)
_ALLOWED: dict[FormName, RecordFlag] = {
    "dense": RecordFlag.FLOAT16 | RecordFlag.CODED_VALUES,
    "pruned": RecordFlag.CODED_VALUES | RecordFlag.SCAN_ORDER,
    "shared": RecordFlag(sum(RecordFlag)),
}


@dataclass(frozen=True)
class TensorRecord:
    """One tensor's record.

    Attributes:
        name: of the tensor.
        shape: of the tensor.
        form: the form that it decodes to.
        stored_as: precision of the values.
        value_count: numbers stored: all weights, the unpruned ones, or the codebook without its zero.
        codec: codec of the indices (shared) or the mask (pruned); None for a dense tensor.
        scan_order: order in which the symbols are coded.
        symbol_bytes: length of the codec's stream.
        exponent_bytes: of rows, columns and coefficients; None: no such exponents.
        coded_value_bytes: length of the coded values; None: values are stored plainly.
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
    exponent_bytes: tuple[int | None, int | None, int | None] = _NO_EXPONENTS
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

    @property
    def flags(self) -> RecordFlag:
        present = {
            RecordFlag.FLOAT16: self.stored_as == "float16",
            RecordFlag.LEVELS: self.levels,
            RecordFlag.CODED_VALUES: self.coded_value_bytes is not None,
            RecordFlag.SCAN_ORDER: self.scan_order != SCAN_ORDERS[0],
        }
        present |= {flag: part is not None for flag, part in zip(_EXPONENT_FLAGS, self.exponent_bytes, strict=True)}
        return RecordFlag(sum(flag for flag, is_set in present.items() if is_set))

    def write(self, out: FieldWriter) -> None:
        """Write the record.

        Raises:
            SqueezeError: the tensor has too many dimensions.
        """
        out.varint(len(self.shape), MAX_DIMENSIONS, f"dimensions of {self.name}")
        for extent in self.shape:
            out.varint(extent)
        out.varint(_FORMS.index(self.form) + int(self.flags))
        numbers = [*self.exponent_bytes, self.coded_value_bytes]
        if self.codec is not None:
            scan_order = SCAN_ORDERS.index(self.scan_order) or None
            numbers = [self.codec.id, scan_order, self.value_count, self.symbol_bytes, *numbers]
        for number in numbers:
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
        stored_as: FloatName = "float16" if RecordFlag.FLOAT16 in flags else "float32"
        levels = RecordFlag.LEVELS in flags
        value_count, codec, scan_order, symbol_bytes = math.prod(shape), None, SCAN_ORDERS[0], 0
        if form != "dense":
            codec = _read_codec(fields, name)
            if RecordFlag.SCAN_ORDER in flags:
                scan_order = _read_scan_order(fields, name, len(shape))
            value_count = fields.varint(_max_values(form, shape, levels, stored_as), f"tensor {name}: values")
            symbol_bytes = fields.varint()
        rows, columns, coefficients, coded_values = (
            fields.varint() if flag in flags else None for flag in (*_EXPONENT_FLAGS, RecordFlag.CODED_VALUES)
        )
        exponent_bytes = rows, columns, coefficients
        return cls(name, shape, form, stored_as, value_count, codec, scan_order, symbol_bytes, exponent_bytes,
                   coded_values, levels)  # fmt: skip


def _read_shape(fields: FieldReader, name: str, max_weights: int) -> tuple[int, ...]:
    start = fields.at
    dimensions = fields.varint(MAX_DIMENSIONS, f"tensor {name}: dimensions")
    shape = tuple(fields.varint() for _ in range(dimensions))
    if math.prod(max(extent, 1) for extent in shape) > max_weights:  # a zero does not make the other extents free
        raise FormatError(
            f"tensor {name}: shape {shape}",
            offset=start,
            expected=f"at most {max_weights:,} more weights (max_weights; --max-weights)",
        )
    return shape


def _read_form(fields: FieldReader, name: str, shape: tuple[int, ...]) -> tuple[FormName, RecordFlag]:
    start = fields.at
    number = fields.varint()
    index, flags = number & _FORM_MASK, number & ~_FORM_MASK
    is_known = index < len(_FORMS) and flags <= sum(RecordFlag)
    if not is_known or not _are_allowed(RecordFlag(flags), _FORMS[index], shape):
        raise FormatError(f"tensor {name}: form {number} of shape {shape}", offset=start, expected="a known form")
    return _FORMS[index], RecordFlag(flags)


def _are_allowed(flags: RecordFlag, form: FormName, shape: tuple[int, ...]) -> bool:
    if flags not in _ALLOWED[form]:
        return False
    if (RecordFlag.ROW_EXPONENTS in flags and not shape) or (RecordFlag.COLUMN_EXPONENTS in flags and len(shape) < 2):
        return False
    if RecordFlag.COEFFICIENT_EXPONENTS in flags and not has_3x3_kernels(shape):
        return False
    return RecordFlag.LEVELS | RecordFlag.CODED_VALUES not in flags


def _read_codec(fields: FieldReader, name: str) -> Codec:
    start = fields.at
    codec_id = fields.varint()
    if codec_id not in CODECS_BY_ID:
        raise FormatError(
            f"tensor {name}: codec {codec_id} is unknown; a newer squeeze-compress wrote this file",
            offset=start,
            expected=f"one of {sorted(CODECS_BY_ID)}",
        )
    return CODECS_BY_ID[codec_id]


def _read_scan_order(fields: FieldReader, name: str, dimensions: int) -> ScanOrder:
    start = fields.at
    allowed = scan_orders(dimensions)
    index = fields.varint(len(allowed) - 1, f"tensor {name}: scan order of {dimensions} dimensions")
    if index == 0:
        raise FormatError(f"tensor {name}: scan order 0", offset=start, expected="no flag for row-major order")
    return allowed[index]


def _max_values(form: FormName, shape: tuple[int, ...], levels: bool, stored_as: FloatName) -> int:
    if form == "pruned":
        return math.prod(shape)
    return (MAX_FLOAT16_LEVELS if levels and stored_as == "float16" else MAX_ENTRIES) - 1
