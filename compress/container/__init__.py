"""The `.sqz` file: tensors of a model <-> bytes.

In comes a `Model` with tensors of any form; out go the bytes of a file, and back. `file` is the entry and shows the
layout; `header` and `tensor_record` hold the fields of the header, `payload` the sections of a tensor, `codec_choice`
the search for the smallest codec and scan order. A reader executes nothing from a file and checks every field before
use. docs/format.md specifies each byte.
"""

from __future__ import annotations

from compress.container.file import decode, encode, layout, read, weights_sha256, write
from compress.container.layout import Layout

__all__ = ["Layout", "decode", "encode", "layout", "read", "weights_sha256", "write"]
