"""Files that the section `model` of a pipeline names, and how a checkpoint is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from compress.errors import ConfigError, WeightsError
from compress.networks.preprocessing_options import InputOptions
from compress.runtime.file_names import expand_home
from compress.runtime.option_types import OPTIONS, KeyText, PathText
from compress.weights.foreign_files import folder_problem

Arrays = dict[str, NDArray[np.float32]]
"""The tensors of a network by name."""


@dataclass(frozen=True, kw_only=True, config=OPTIONS)
class CheckpointOptions(InputOptions):
    """Options of a network that is read from a checkpoint.

    Attributes:
        checkpoint_key: keys on the way to the network's tensors, joined by dots; None: the only part that fits.
        strict: tensors that the network lacks are an error.
        labels: text file with one class name a line; None: ImageNet's names for a network of this package with 1,000
            classes.
    """

    checkpoint_key: KeyText | None = None
    strict: bool = True
    labels: PathText | None = None

    @property
    def is_trained(self) -> bool:
        return True

    def described(self, path: str) -> str:
        """Return the name of a checkpoint and the key of the tensors in it, for the report."""
        return Path(path).name + (f" under {self.checkpoint_key}" if self.checkpoint_key else "")

    def class_names(self, classes: int, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return the class names in the file `labels`, or `default` without one; empty lines at its end do not count.

        Raises:
            ConfigError: the file does not exist.
            WeightsError: the file is not UTF-8 text, or has another number of names.
        """
        if self.labels is None:
            return default
        try:
            names = tuple(existing_file(self.labels, "labels").read_text("utf-8-sig").rstrip().splitlines())
        except UnicodeDecodeError as error:
            raise WeightsError(f"{self.labels}: class names must be UTF-8 text ({error})") from error
        if len(names) != classes:
            raise WeightsError(f"{self.labels}: {len(names):,} class names for {classes:,} classes")
        return names


def existing_file(path: str, key: str = "path") -> Path:
    """Return the path in the key `model.KEY`, with `~` expanded.

    Raises:
        ConfigError: there is no such file.
    """
    file = expand_home(Path(path))
    if not file.is_file():
        absent = f"no file {path}" + "; download it first, and name the file" * ("://" in path)
        problem = f"{path} {folder_problem(file)}" if file.is_dir() else absent
        raise ConfigError(problem, key=f"model.{key}")
    return file
