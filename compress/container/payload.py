"""One tensor <-> its payload in a `.sqz` file: values, exponents of rows, columns and coefficients, coded symbols."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from compress.codecs import CODECS
from compress.codecs.base import Codec
from compress.codecs.primitives import zigzag
from compress.codecs.primitives.error_offsets import offset_by
from compress.codecs.primitives.histogram import counted
from compress.container.float_planes import decode_coded, decode_plain, encode_values
from compress.container.scan_order import out_of_order, shape_in_order, smallest
from compress.container.smallest import fewest
from compress.container.tensor_record import TensorHeader
from compress.errors import FormatError, PassError
from compress.tensors.forms import Dense, Pruned, Shared, Tensor
from compress.tensors.kernel_transform import LARGEST_GAIN, SIDE
from compress.tensors.levels import levels_codebook
from compress.tensors.scales import scale_of

_EXPONENT_CODECS = (CODECS["huffman"], CODECS["raw"])
_CONTEXT = CODECS["context"]


def encode_tensor(name: str, tensor: Tensor, codecs: Sequence[Codec]) -> tuple[TensorHeader, bytes]:
    """Return the tensor's record in the header, and its payload.

    Raises:
        PassError: a value is not finite, or will not be when scaled, or a weight that is pruned is minus zero.
    """
    match tensor:
        case Dense():
            values = tensor.values.reshape(-1)
            stored, coded = encode_values(name, values, tensor.stored_as, coded=_may_code_values(codecs))
            coded_bytes = len(stored) if coded else None
            record = TensorHeader(
                name, tensor.shape, "dense", tensor.stored_as, values.size, coded_value_bytes=coded_bytes
            )
            return record, stored
        case Pruned():
            _refuse_minus_zero(name, tensor.values[~tensor.mask])
            mask = tensor.values[tensor.mask]
            stored, coded = encode_values(name, mask, "float32", coded=_may_code_values(codecs))
            codec, order, positions = smallest(tensor.mask.astype(np.uint16), codecs)
            coded_bytes = len(stored) if coded else None
            record = TensorHeader(
                name,
                tensor.shape,
                "pruned",
                "float32",
                mask.size,
                codec,
                len(positions),
                coded_value_bytes=coded_bytes,
                order=order,
            )
            return record, stored + positions
        case Shared():
            return _encode_shared(name, tensor, codecs)
        case _:
            assert_never(tensor)


def _encode_shared(name: str, tensor: Shared, codecs: Sequence[Codec]) -> tuple[TensorHeader, bytes]:
    _refuse_minus_zero(name, tensor.codebook[:1])
    levels = tensor.has_levels
    values = tensor.codebook[:0] if levels else tensor.codebook[1:]
    stored, coded_values = encode_values(name, values, tensor.stored_as, coded=_may_code_values(codecs))
    if _overflows(tensor.codebook, *tensor.exponents):
        raise PassError("the largest value times its scale is beyond float32", tensor=name)
    codec, order, coded = smallest(tensor.indices, codecs)
    scales = [None if part is None else _encode_exponents(part.reshape(-1), codec) for part in tensor.exponents]
    row_bytes, column_bytes, coefficient_bytes = (None if part is None else len(part) for part in scales)
    record = TensorHeader(
        name,
        tensor.shape,
        "shared",
        tensor.stored_as,
        values=len(tensor.codebook) - 1,
        codec=codec,
        order=order,
        coded_bytes=len(coded),
        row_bytes=row_bytes,
        column_bytes=column_bytes,
        coefficient_bytes=coefficient_bytes,
        coded_value_bytes=len(stored) if coded_values else None,
        levels=levels,
    )
    return record, b"".join([stored, *(part or b"" for part in scales), coded])


def decode_tensor(record: TensorHeader, payload: bytes) -> Tensor:
    """Return the tensor that `encode_tensor` was given.

    Raises:
        FormatError: the payload is not what the format says; its offset counts from `payload[0]`.
    """
    section = payload[: record.value_bytes]
    if record.codec is None:
        return Dense(_decode_values(record, section).reshape(record.shape), record.stored_as)
    with offset_by(len(payload) - record.coded_bytes, record.codec.name):
        indices = decode_symbols(record, payload)
    if record.form == "pruned":
        return _pruned(indices, _decode_values(record, section))
    if record.levels:  # a part of one array, so that it takes nothing here, however long a file says that it is
        codebook = levels_codebook(record.values + 1)
    else:
        codebook = np.concatenate([np.zeros(1, np.float32), _decode_values(record, section)])
    exponents = _exponents(record, payload)
    if not record.levels and _overflows(codebook, *exponents):
        raise FormatError("the largest value times its scale is beyond float32", offset=0)
    return Shared(codebook, indices, record.stored_as, *exponents)


def coded_section(record: TensorHeader, payload: bytes) -> bytes:
    """Return the bytes that the tensor's codec wrote: the last of the payload."""
    return payload[len(payload) - record.coded_bytes :]


def decode_symbols(record: TensorHeader, payload: bytes) -> NDArray[np.uint16]:
    """Return the indices, or the 0 (pruned) and 1 (kept), each checked to be in its range.

    Raises:
        FormatError: as `decode_tensor`; its offset counts from the coded section.
    """
    assert record.codec is not None
    symbols = record.codec.decode(coded_section(record, payload), shape_in_order(record.shape, record.order))
    most = 1 if record.form == "pruned" else record.values
    if symbols.max(initial=0) > most:
        raise FormatError(f"symbol {symbols.max()}", offset=0, expected=f"at most {most:,}")
    if record.form == "pruned" and np.count_nonzero(symbols) != record.values:
        raise FormatError(f"{np.count_nonzero(symbols):,} weights kept", offset=0, expected=f"{record.values:,}")
    return out_of_order(symbols, record.order, record.shape)


def _exponents(record: TensorHeader, payload: bytes) -> list[NDArray[np.int8] | None]:
    """Return the exponents of rows, of columns and of coefficients, None where there are none."""
    assert record.codec is not None
    at = record.value_bytes
    exponents: list[NDArray[np.int8] | None] = []
    for what, shape, section_bytes in (
        ("rows", record.shape[:1], record.row_bytes),
        ("columns", record.shape[1:2], record.column_bytes),
        ("coefficients", (SIDE, SIDE), record.coefficient_bytes),
    ):
        if section_bytes is None:
            exponents.append(None)
            continue
        with offset_by(at, f"exponents of {what}"):
            decoded = _decode_exponents(payload[at : at + section_bytes], math.prod(shape), record.codec)
        exponents.append(decoded.reshape(shape))
        at += section_bytes
    return exponents


def _overflows(
    codebook: NDArray[np.float32],
    rows: NDArray[np.int8] | None,
    columns: NDArray[np.int8] | None,
    coefficients: NDArray[np.int8] | None,
) -> bool:
    """Return whether a weight may be beyond float32. Levels cannot be: all scales take them to 2 ** 115 at most."""
    most = sum(int(part.max(initial=-128)) for part in (rows, columns, coefficients) if part is not None)
    gain = np.float32(1 if coefficients is None else LARGEST_GAIN)
    with np.errstate(over="ignore"):  # the very multiplication that gives the weight, or the coefficient
        return not np.isfinite(np.abs(codebook).max(initial=0) * scale_of(np.array(most)) * gain)


def _pruned(indices: NDArray[np.uint16], kept_values: NDArray[np.float32]) -> Pruned:
    mask = indices.astype(np.bool_)
    values = np.zeros(indices.shape, dtype=np.float32)
    values[mask] = kept_values
    return Pruned(values, mask)


def _may_code_values(codecs: Sequence[Codec]) -> bool:
    """Whether values may be coded: what they are coded with has to be among the codecs allowed."""
    return _CONTEXT in codecs


def _decode_values(record: TensorHeader, section: bytes) -> NDArray[np.float32]:
    if record.coded_value_bytes is None:
        return decode_plain(section, record.stored_as)
    return decode_coded(section, record.stored_as, record.values)


def _refuse_minus_zero(name: str, zeros: NDArray[np.float32]) -> None:
    if np.signbit(zeros).any():  # the file holds no sign of a pruned weight, so it would come back as another number
        raise PassError("a pruned weight is -0.0; write +0.0, by np.where instead of a product", tensor=name)


def _encode_exponents(exponents: NDArray[np.int8], codec: Codec) -> bytes:
    """Return the fewest bytes among: from a base or as differences, with each codec that may code exponents.

    Layout: one byte, the codec's id, plus 128 for differences. From a base: one byte, the base as int8; the codec then
    codes how much each exponent differs from it, in zigzag with `context`; with others the base is the least, and none
    is below it. Differences from the one before, the first from 0: always in zigzag, so that 0, -1, 1, -2... become
    0, 1, 2, 3...

    Args:
        exponents: shape (n,).
        codec: of the tensor's symbols.
    """
    wide = exponents.astype(np.int64)
    least, middle = (int(wide.min()), int(np.median(wide))) if wide.size else (0, 0)
    steps = zigzag.to_symbols(np.diff(wide, prepend=0))
    told = []
    for each in _exponent_codecs(codec):
        base = middle if each is _CONTEXT else least
        from_base = zigzag.to_symbols(wide - base) if each is _CONTEXT else (wide - base).astype(np.uint16)
        told += [(each, bytes([each.id, base & 0xFF]), from_base), (each, bytes([each.id | 0x80]), steps)]
    return fewest(
        (
            (len(head) + each.least_bytes(symbols, counted(symbols)), partial(_after, head, each, symbols))
            for each, head, symbols in told
        ),
        size_of=len,
    )


def _exponent_codecs(codec: Codec) -> tuple[Codec, ...]:
    """Return the codecs that may code exponents: who reads the symbols can read all of them."""
    return (*_EXPONENT_CODECS, _CONTEXT) if codec is _CONTEXT else _EXPONENT_CODECS


def _after(head: bytes, codec: Codec, symbols: NDArray[np.uint16]) -> bytes:
    return head + codec.encode(symbols)


def _decode_exponents(data: bytes, count: int, codec: Codec) -> NDArray[np.int8]:
    allowed = {each.id: each for each in _exponent_codecs(codec)}
    differences = bool(data and data[0] & 0x80)
    start = 1 if differences else 2
    if len(data) < start or data[0] & 0x7F not in allowed:
        raise FormatError("no exponents", offset=0, expected=f"codec {sorted(allowed)}, and the least")
    found = allowed[data[0] & 0x7F]
    with offset_by(start):
        coded = found.decode(data[start:], (count,))
    if differences:
        exponents = np.cumsum(zigzag.from_symbols(coded))
    else:
        above = zigzag.from_symbols(coded) if found is _CONTEXT else coded.astype(np.int64)
        exponents = above + int.from_bytes(data[1:2], "little", signed=True)
    if exponents.size and not -128 <= exponents.min() <= exponents.max() <= 127:
        raise FormatError("an exponent is out of range", offset=0, expected="-128 to 127")
    return exponents.astype(np.int8)
