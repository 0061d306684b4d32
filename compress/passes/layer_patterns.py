"""Options that differ from layer to layer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TypeVar

from compress.errors import ConfigError, nearest
from compress.model import Model

Options = TypeVar("Options")

_KERNEL = re.compile(r"\d+x\d+")


def options_by_layer(model: Model, default: Options, layers: Mapping[str, Options]) -> dict[str, Options]:
    """Return each weight tensor's options: the last pattern that matches it decides.

    Args:
        model: whose weight tensors they are for.
        default: options where no pattern matches.
        layers: options by pattern; a pattern is a tensor name in which `*` and `?` stand for any text and any
            letter (`features.*.squeeze.weight`), or a kernel's size (`1x1`, `3x3`).
    Raises:
        ConfigError: a pattern matches no weight tensor.
    """
    names = model.weight_names()
    matched = {pattern: [name for name in names if _matches(pattern, name, model)] for pattern in layers}
    for pattern, found in matched.items():
        if not found:
            raise ConfigError(
                f"no weight tensor is named {pattern!r}{nearest(pattern, names)}",
                key=f"layers.{pattern}",
                allowed=f"names with * and ?, or a kernel size: {_some(names)}",
            )
    return {name: next((layers[p] for p in reversed(list(layers)) if name in matched[p]), default) for name in names}


def _matches(pattern: str, name: str, model: Model) -> bool:
    if _KERNEL.fullmatch(pattern):
        return "x".join(str(side) for side in model.tensors[name].shape[2:]) == pattern
    return fnmatchcase(name, pattern)


def _some(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:3]) + (", ..." if len(shown) > 3 else "")
