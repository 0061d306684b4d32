"""Paths of keys into nested mappings and lists, and their dotted form: `stages.share.bits`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Key = str | int
"""Key of a mapping, or index into a list."""


def split_key(dotted: str) -> list[str]:
    """Return the parts of a dotted key. A quoted part may contain dots."""
    parts = re.findall(r"""(?:^|\.)("[^"]*"|'[^']*'|[^.]*)""", dotted)
    return [part.strip("\"'") for part in parts]


def join_keys(keys: Iterable[Key]) -> str:
    """Return the dotted form of a path."""
    return ".".join(str(key) for key in keys)


def resolve_key(root: Any, dotted: str) -> list[Key]:
    """Return the path of a dotted key in a document.

    In a list, a part is an index or the name of a stage. In a mapping, a key of the document that contains dots
    (`classifier.1.weight`) needs no quotes. Parts that the document does not have stay as they are.
    """
    node, parts = root, split_key(dotted)
    keys: list[Key] = []
    while parts:
        count, key = _first_key(node, parts)
        keys.append(key)
        node = value_at(node, [key])
        parts = parts[count:]
    return keys


def _first_key(node: Any, parts: Sequence[str]) -> tuple[int, Key]:
    """Return how many parts the first key takes, and the key."""
    if isinstance(node, list):
        names = [stage_name(item) for item in node]
        if parts[0] in names:
            return 1, names.index(parts[0])
        return 1, int(parts[0]) if parts[0].isdecimal() else parts[0]
    if isinstance(node, Mapping):
        for count in range(len(parts), 1, -1):
            if (key := ".".join(parts[:count])) in node:
                return count, key
    return 1, parts[0]


def has_key(node: Any, key: Key) -> bool:
    """Return whether a mapping has the key, or a list the index."""
    if isinstance(node, Mapping):
        return key in node
    return isinstance(node, list) and isinstance(key, int) and 0 <= key < len(node)


def value_at(node: Any, keys: Iterable[Key]) -> Any:
    """Return the value at a path; None where the path does not exist."""
    for key in keys:
        node = node[key] if has_key(node, key) else None
    return node


def stage_name(stage: object) -> object:
    """Return the key `name` of a stage, else its key `pass`, whatever their type; None: it has neither."""
    if not isinstance(stage, Mapping):
        return None
    return stage["name"] if "name" in stage else stage.get("pass")
