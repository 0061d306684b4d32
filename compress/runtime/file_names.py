"""File names as text."""

from __future__ import annotations

from pathlib import Path


def escape_undecodable(name: str) -> str:
    """Return a file name as valid Unicode: bytes that are no UTF-8 become escapes such as `\\udce9`."""
    return name.encode("utf-8", "backslashreplace").decode()


def expand_home(path: Path) -> Path:
    """Return a path with `~` and `~user` expanded; as in shells, a name stays as it is if there is no such user."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path
