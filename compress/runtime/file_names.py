"""File names as text."""

from __future__ import annotations


def escape_undecodable(name: str) -> str:
    """Return a file name as valid Unicode: bytes that are no UTF-8 become escapes such as `\\udce9`."""
    return name.encode("utf-8", "backslashreplace").decode()
