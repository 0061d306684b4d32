"""Options that differ from layer to layer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TypeVar

from compress.errors import ConfigError, nearest
from compress.model import Model

Options = TypeVar("Options")

_KERNEL = re.compile(r"\d+x\d+")


def options_by_layer(model: Model, default: Options, layers: Mapping[str, Options]) -> dict[str, Options]:
    """Return the options of each weight tensor: those of the last pattern that matches its name.

    Args:
        model: has the weight tensors.
        default: options without a matching pattern.
        layers: options by pattern: a kernel size (`1x1`, `3x3`), or a tensor name in which `*` stands for any text and
            `?` for any character (`features.*.squeeze.weight`).
    Raises:
        ConfigError: a pattern matches no weight tensor.
    """
    names = model.weight_names()
    options = dict.fromkeys(names, default)
    for pattern, own in layers.items():
        matched = [name for name in names if _matches(pattern, name, model)]
        if not matched:
            examples = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            raise ConfigError(
                f"no weight tensor is named {pattern!r}{nearest(pattern, names)}",
                key=f"layers.{pattern}",
                allowed=f"names with * and ?, or a kernel size: {examples}",
            )
        options.update(dict.fromkeys(matched, own))
    return options


def _matches(pattern: str, name: str, model: Model) -> bool:
    if _KERNEL.fullmatch(pattern):
        return "x".join(str(side) for side in model.tensors[name].shape[2:]) == pattern
    return fnmatchcase(name, pattern)
