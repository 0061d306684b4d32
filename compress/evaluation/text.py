"""TODO."""

from __future__ import annotations


def as_text(name: str) -> str:
    """Return a name as Unicode text; the bytes of a file's name that are none are shown as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()
