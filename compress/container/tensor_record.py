"""TODO."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from compress.codecs import CODECS_BY_ID
from compress.codecs.base import Codec
from compress.container.field_io import FieldReader, FieldWriter
from compress.container.scan_order import ORDERS, OrderName, orders_of
from compress.errors import FormatError
from compress.tensors.forms import FloatName
from compress.tensors.kernel_transform import has_kernels
from compress.tensors.levels import MOST_FLOAT16_LEVELS

FormName = Literal["dense", "pruned", "shared"]

MOST_DIMENSIONS = 8

MOST_ENTRIES = 1 << 16

_FORMS: tuple[FormName, ...] = ("dense", "pruned", "shared")

_FLOATS: tuple[FloatName, ...] = ("float32", "float16")

_HAS_FLOAT16, _HAS_ROWS, _HAS_COLUMNS, _HAS_LEVELS, _HAS_CODED_VALUES, _HAS_ORDER, _HAS_COEFFICIENTS = (
    1 << bit for bit in range(2, 9)
)

_OF_SHARED = _HAS_FLOAT16 | _HAS_ROWS | _HAS_COLUMNS | _HAS_LEVELS | _HAS_CODED_VALUES | _HAS_ORDER | _HAS_COEFFICIENTS

_ALLOWED = {0: _HAS_FLOAT16 | _HAS_CODED_VALUES, 1: _HAS_CODED_VALUES | _HAS_ORDER, 2: _OF_SHARED}
"""What a form's kind may say beside the form."""


@dataclass(frozen=True)
class TensorHeader:
    """One tensor's record: all that is needed to cut up its payload: values, exponents of three sorts, coded symbols.

    Attributes:
        name: the tensor's name.
        shape: its shape.
        form: the class in `tensors` that it decodes to.
        stored_as: precision of the values.
        values: numbers stored: all of them, those kept, or the codebook without its zero.
        codec: codec of the indices, or of 0 (pruned) and 1 (kept); None for a dense tensor.
        coded_bytes: what that codec wrote.
        row_bytes: coded exponents of the rows; None where there are none.
        column_bytes: coded exponents of the columns; None where there are none.
        coefficient_bytes: coded exponents of the kernels' coefficients; None where symbols are of weights.
        coded_value_bytes: bytes of the values; None where they are stored as they are.
        levels: whether the codebook is that of `levels_codebook`, and nothing of it is stored.
        order: in which the symbols are coded.
    """

    name: str
    shape: tuple[int, ...]
    form: FormName
    stored_as: FloatName
    values: int
    codec: Codec | None = None
    coded_bytes: int = 0
    row_bytes: int | None = None
    column_bytes: int | None = None
    coefficient_bytes: int | None = None
    coded_value_bytes: int | None = None
    levels: bool = False
    order: OrderName = "out-in"

    @property
    def weights(self) -> int:
        return math.prod(self.shape)

    @property
    def value_bytes(self) -> int:
        if self.coded_value_bytes is not None:
            return self.coded_value_bytes
        return 0 if self.levels else self.values * np.dtype(self.stored_as).itemsize

    @property
    def scale_bytes(self) -> int:
        return sum(part or 0 for part in (self.row_bytes, self.column_bytes, self.coefficient_bytes))

    @property
    def payload_bytes(self) -> int:
        return self.value_bytes + self.scale_bytes + self.coded_bytes


def _write_tensor(out: FieldWriter, tensor: TensorHeader) -> None:
    out.count(len(tensor.shape), MOST_DIMENSIONS, f"dimensions of {tensor.name}")
    for extent in tensor.shape:
        out.count(extent)
    kind = _FORMS.index(tensor.form)
    kind |= _HAS_FLOAT16 * _FLOATS.index(tensor.stored_as)
    kind |= _HAS_ROWS * (tensor.row_bytes is not None) | _HAS_COLUMNS * (tensor.column_bytes is not None)
    kind |= _HAS_LEVELS * tensor.levels | _HAS_CODED_VALUES * (tensor.coded_value_bytes is not None)
    kind |= _HAS_COEFFICIENTS * (tensor.coefficient_bytes is not None)
    order = ORDERS.index(tensor.order)
    kind |= _HAS_ORDER * (order > 0)
    out.count(kind)
    numbers = [tensor.row_bytes, tensor.column_bytes, tensor.coefficient_bytes, tensor.coded_value_bytes]
    if tensor.codec is not None:
        numbers = [tensor.codec.id, order or None, tensor.values, tensor.coded_bytes, *numbers]
    for number in numbers:
        if number is not None:
            out.count(number)


def _read_tensor(read: FieldReader, name: str, max_weights: int) -> TensorHeader:
    shape = _read_shape(read, name, max_weights)
    at = read.at
    kind = read.count()
    form = kind & 3
    allowed = _ALLOWED.get(form, 0)
    axes = 2 if kind & _HAS_COLUMNS else 1 if kind & _HAS_ROWS else 0
    both = kind & _HAS_LEVELS and kind & _HAS_CODED_VALUES
    no_kernels = kind & _HAS_COEFFICIENTS and not has_kernels(shape)
    if form not in _ALLOWED or (kind & ~3) & ~allowed or axes > len(shape) or both or no_kernels:
        raise FormatError(f"tensor {name}: form {kind} of shape {shape}", offset=at, expected="a known form")
    stored_as = _FLOATS[bool(kind & _HAS_FLOAT16)]
    has_coded_values = bool(kind & _HAS_CODED_VALUES)
    if form == 0:
        coded_value_bytes = read.count() if has_coded_values else None
        return TensorHeader(name, shape, "dense", stored_as, math.prod(shape), coded_value_bytes=coded_value_bytes)
    codec = _read_codec(read, name)
    order = _read_order(read, name, len(shape)) if kind & _HAS_ORDER else ORDERS[0]
    levels = bool(kind & _HAS_LEVELS)
    most = MOST_ENTRIES - 1 if form == 2 else math.prod(shape)
    if levels and stored_as == "float16":
        most = MOST_FLOAT16_LEVELS - 1
    values, coded_bytes = read.count(most, f"tensor {name}: values"), read.count()
    row_bytes = read.count() if kind & _HAS_ROWS else None
    column_bytes = read.count() if kind & _HAS_COLUMNS else None
    coefficient_bytes = read.count() if kind & _HAS_COEFFICIENTS else None
    coded_value_bytes = read.count() if has_coded_values else None
    return TensorHeader(
        name,
        shape,
        _FORMS[form],
        stored_as,
        values,
        codec,
        coded_bytes,
        row_bytes,
        column_bytes,
        coefficient_bytes,
        coded_value_bytes,
        levels,
        order,
    )


def _read_shape(read: FieldReader, name: str, max_weights: int) -> tuple[int, ...]:
    at = read.at
    dimensions = read.count(MOST_DIMENSIONS, f"tensor {name}: dimensions")
    shape = tuple(read.count() for _ in range(dimensions))
    if math.prod(max(extent, 1) for extent in shape) > max_weights:  # numpy multiplies so too, zeros left out
        raise FormatError(
            f"tensor {name}: shape {shape}",
            offset=at,
            expected=f"at most {max_weights:,} more weights (max_weights; --max-weights)",
        )
    return shape


def _read_codec(read: FieldReader, name: str) -> Codec:
    at = read.at
    codec = CODECS_BY_ID.get(number := read.count())
    if codec is None:
        raise FormatError(
            f"tensor {name}: codec {number} is unknown; a newer squeeze-compress wrote this file",
            offset=at,
            expected=f"one of {sorted(CODECS_BY_ID)}",
        )
    return codec


def _read_order(read: FieldReader, name: str, dimensions: int) -> OrderName:
    at = read.at
    others = orders_of(dimensions)[1:]
    number = read.count(len(others), f"tensor {name}: order of {dimensions} dimensions")
    if number == 0:
        raise FormatError(f"tensor {name}: order 0", offset=at, expected="nothing where symbols lie as weights do")
    return others[number - 1]
