"""One tensor <-> its record and its payload: values, exponents of rows, columns and coefficients, coded symbols."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from compress.codecs import CODECS
from compress.codecs.protocol import Codec
from compress.container.codec_choice import smallest_coding
from compress.container.exponents import decode_exponents, encode_exponents
from compress.container.float_planes import decode_values, encode_values
from compress.container.scan_order import from_scan_order, scanned_shape
from compress.container.tensor_record import TensorRecord
from compress.errors import FormatError, PassError, offset_by
from compress.tensors.forms import Dense, Pruned, Shared, Tensor
from compress.tensors.kernel_transform import KERNEL_SIDE, MAX_KERNEL_GAIN
from compress.tensors.levels import levels_codebook
from compress.tensors.scales import scale_of

_Exponents = Sequence[NDArray[np.int8] | None]


def encode_tensor(name: str, tensor: Tensor, codecs: Sequence[Codec]) -> tuple[TensorRecord, bytes]:
    """Return the tensor's record and its payload.

    Raises:
        PassError: a value is not finite, or its product with a scale is not, or a pruned weight is minus zero.
    """
    match tensor:
        case Dense():
            record = TensorRecord(name, tensor.shape, "dense", tensor.stored_as, tensor.values.size)
            return _with_values(record, tensor.values.reshape(-1), codecs, [])
        case Pruned():
            _check_no_minus_zero(name, tensor.values[~tensor.mask])
            values = tensor.values[tensor.mask]
            codec, order, stream = smallest_coding(tensor.mask.astype(np.uint16), codecs)
            record = TensorRecord(name, tensor.shape, "pruned", "float32", values.size, codec, order, len(stream))
            return _with_values(record, values, codecs, [stream])
        case Shared():
            return _encode_shared(name, tensor, codecs)
        case _:
            assert_never(tensor)


def decode_tensor(record: TensorRecord, payload: bytes) -> Tensor:
    """Return the tensor that `encode_tensor` was given.

    Raises:
        FormatError: the payload breaks the format; the offset counts from `payload[0]`.
    """
    if record.codec is None:
        return Dense(_decode_values(record, payload).reshape(record.shape), record.stored_as)
    with offset_by(len(payload) - record.symbol_bytes, record.codec.name):
        symbols = decode_symbols(record, payload)
    if record.form == "pruned":
        mask = symbols.astype(np.bool_)
        values = np.zeros(record.shape, dtype=np.float32)
        values[mask] = _decode_values(record, payload)
        return Pruned(values, mask)
    if record.levels:  # a view of one array: a long codebook in a hostile file allocates nothing
        codebook = levels_codebook(record.value_count + 1)
    else:
        codebook = np.concatenate([np.zeros(1, np.float32), _decode_values(record, payload)])
    exponents = list(_decode_all_exponents(record, record.codec, payload))
    if not record.levels and _overflows(codebook, exponents):  # levels times scales are at most 2 ** 115
        raise FormatError("the largest value times its scale is beyond float32", offset=0)
    return Shared(codebook, symbols, record.stored_as, *exponents)


def symbol_section(record: TensorRecord, payload: bytes) -> bytes:
    """Return the codec's stream: the last section of the payload."""
    return payload[len(payload) - record.symbol_bytes :]


def decode_symbols(record: TensorRecord, payload: bytes) -> NDArray[np.uint16]:
    """Return the indices of a shared tensor, or the mask of a pruned one, in the tensor's shape.

    Raises:
        FormatError: as `decode_tensor`; the offset counts from the start of the section.
    """
    assert record.codec is not None
    symbols = record.codec.decode(symbol_section(record, payload), scanned_shape(record.shape, record.scan_order))
    max_symbol = 1 if record.form == "pruned" else record.value_count
    if symbols.max(initial=0) > max_symbol:
        raise FormatError(f"symbol {symbols.max()}", offset=0, expected=f"at most {max_symbol:,}")
    if record.form == "pruned" and (unpruned := np.count_nonzero(symbols)) != record.value_count:
        raise FormatError(f"{unpruned:,} unpruned weights", offset=0, expected=f"{record.value_count:,}")
    return from_scan_order(symbols, record.scan_order, record.shape)


def symbols_of(tensor: Tensor) -> NDArray[np.uint16]:
    """Return what `decode_symbols` returned of a decoded tensor that has symbols."""
    assert not isinstance(tensor, Dense)
    return tensor.indices if isinstance(tensor, Shared) else tensor.mask.astype(np.uint16)


def _encode_shared(name: str, tensor: Shared, codecs: Sequence[Codec]) -> tuple[TensorRecord, bytes]:
    _check_no_minus_zero(name, tensor.codebook[:1])
    codec, order, stream = smallest_coding(tensor.indices, codecs)
    exponents = [None if part is None else encode_exponents(part, codec) for part in tensor.exponents]
    lengths = tuple(None if section is None else len(section) for section in exponents)
    levels = tensor.has_levels
    record = TensorRecord(name, tensor.shape, "shared", tensor.stored_as, len(tensor.codebook) - 1, codec, order,
                          len(stream), lengths, levels=levels)  # fmt: skip
    stored_values = tensor.codebook[:0] if levels else tensor.codebook[1:]
    encoded = _with_values(record, stored_values, codecs, [*filter(None, exponents), stream])
    if _overflows(tensor.codebook, tensor.exponents):
        raise PassError("the largest value times its scale is beyond float32", tensor=name)
    return encoded


def _with_values(
    record: TensorRecord, values: NDArray[np.float32], codecs: Sequence[Codec], sections: Sequence[bytes]
) -> tuple[TensorRecord, bytes]:
    codec = next((CODECS[name] for name in ("context", "huffman") if CODECS[name] in codecs), None)
    if record.form != "shared" and codec is CODECS["huffman"]:
        codec = None  # plain weights are read from the file in place
    section, coded = encode_values(record.name, values, record.stored_as, codec)
    return replace(record, coded_value_bytes=len(section) if coded else None), b"".join([section, *sections])


def _decode_values(record: TensorRecord, payload: bytes) -> NDArray[np.float32]:
    coded = record.coded_value_bytes is not None
    return decode_values(payload[: record.value_bytes], record.stored_as, record.value_count, coded=coded)


def _decode_all_exponents(record: TensorRecord, codec: Codec, payload: bytes) -> Iterator[NDArray[np.int8] | None]:
    start = record.value_bytes
    shapes = record.shape[:1], record.shape[1:2], (KERNEL_SIDE, KERNEL_SIDE)
    for kind, shape, length in zip(("rows", "columns", "coefficients"), shapes, record.exponent_bytes, strict=True):
        exponents = None
        if length is not None:
            with offset_by(start, f"exponents of {kind}"):
                exponents = decode_exponents(payload[start : start + length], math.prod(shape), codec).reshape(shape)
            start += length
        yield exponents


def _overflows(codebook: NDArray[np.float32], exponents: _Exponents) -> bool:
    """Return whether a weight may exceed float32: the largest value times the largest scale, used or not."""
    largest = sum(int(part.max(initial=-128)) for part in exponents if part is not None)
    gain = np.float32(1 if exponents[2] is None else MAX_KERNEL_GAIN)
    with np.errstate(over="ignore"):
        return not np.isfinite(np.abs(codebook).max(initial=0) * scale_of(np.array(largest)) * gain)


def _check_no_minus_zero(name: str, zeros: NDArray[np.float32]) -> None:
    if np.signbit(zeros).any():  # the file has no sign for a pruned weight
        raise PassError("a pruned weight is -0.0; write +0.0, by np.where instead of a product", tensor=name)
