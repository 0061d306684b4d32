"""Files that the section `model` of a pipeline names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compress.errors import ConfigError, WeightsError
from compress.runtime.file_names import expand_home

Arrays = dict[str, NDArray[np.float32]]
"""The tensors of a network by name."""


def read_class_names(path: str, classes: int) -> tuple[str, ...]:
    """Read the class names in a file of the key `model.labels`, one a line.

    Raises:
        ConfigError: the file does not exist.
        WeightsError: the file is not UTF-8 text, or has another number of names.
    """
    try:
        names = tuple(existing_file(path, "labels").read_text("utf-8-sig").splitlines())
    except UnicodeDecodeError as error:
        raise WeightsError(f"{path}: class names must be UTF-8 text ({error})") from error
    if len(names) != classes:
        raise WeightsError(f"{path}: {len(names):,} class names for {classes:,} classes")
    return names


def existing_file(path: str, key: str = "path") -> Path:
    """Return the path in the key `model.KEY`, with `~` expanded.

    Raises:
        ConfigError: there is no such file.
    """
    file = expand_home(Path(path))
    if not file.is_file():
        problem = f"{path} is a folder; name a file in it" if file.is_dir() else f"no file {path}"
        raise ConfigError(problem, key=f"model.{key}")
    return file
