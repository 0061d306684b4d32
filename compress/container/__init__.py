r"""Tensors <-> the `.sqz` file. Nothing in it is executed, and nothing is believed before it is checked.

Numbers are little-endian; docs/format.md has every field, and is enough to write another reader from.

    bytes       what
    8           magic: 0x89 "SQZ" CR LF 0x1A LF
    1           format version, 1
    1           how the header is compressed: 0 not at all, 1 raw deflate
    4           bytes of the header as stored
    4           bytes of the header when decompressed
    4           CRC-32 of the header as stored
    ...         the header: architecture, preprocessing, a record for each tensor
    ...         class names, compressed, or nothing
    per tensor  payload: values, row exponents, column exponents, coded symbols; then 4 bytes, its CRC-32
    4           CRC-32 of all bytes before

Payloads lie in the order of their records, without a gap, and no offset is stored: sections that overlap, leave
something out or reach beyond the file cannot be expressed. The file's length follows from the header.
"""

from __future__ import annotations

from compress.container.file import decode, encode, layout, read, read_tensor, weights_sha256, write
from compress.container.layout import Layout

__all__ = ["Layout", "decode", "encode", "layout", "read", "read_tensor", "weights_sha256", "write"]
