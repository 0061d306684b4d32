"""The `.sqz` file: tensors of a model <-> bytes.

In comes a `Model` with tensors of any form; out go the bytes of a file, and back. `file` is the entry; `header` and
`tensor_record` have the fields of the header, `payload` the sections of a tensor. A reader executes nothing from a file
and checks every field before use.
"""

from __future__ import annotations

from compress.container.file import decode, encode, layout, read, weights_sha256, with_labels, write
from compress.container.layout import Layout

__all__ = ["Layout", "decode", "encode", "layout", "read", "weights_sha256", "with_labels", "write"]
