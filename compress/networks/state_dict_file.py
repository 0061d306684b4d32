"""Readers of the user's files: state dictionaries and class names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from compress.errors import ConfigError, WeightsError

Arrays = dict[str, NDArray[np.float32]]

STATE_DICT_SUFFIXES = (".safetensors", ".pth", ".pt")


def read_state_dict(path: Path) -> Arrays:
    """Read float tensors by name from a `.safetensors`, `.pth` or `.pt` file, without running code in it.

    Tensors may be under the key `state_dict`; the prefix `module.` is removed.

    Raises:
        WeightsError: the file cannot be read, or holds anything but dense tensors of numbers.
    """
    if path.suffix not in STATE_DICT_SUFFIXES:
        allowed = ", ".join(STATE_DICT_SUFFIXES)
        raise WeightsError(f"{path}: unknown format {path.suffix!r} (allowed: {allowed})")
    try:
        safetensors = path.suffix == ".safetensors"
        state: object = load_file(path) if safetensors else torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # torch raises errors of many kinds for a damaged file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{path}: not a readable state dictionary of tensors: {reason}") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not state:
        raise WeightsError(f"{path}: holds {type(state).__name__}, not a dictionary of tensors by name")
    return {str(name).removeprefix("module."): _as_array(path, name, value) for name, value in state.items()}


def _as_array(path: Path, name: object, value: object) -> NDArray[np.float32]:
    if (
        not isinstance(value, torch.Tensor) or value.layout != torch.strided
        or value.is_complex() or value.is_quantized or value.is_meta
    ):  # fmt: skip
        raise WeightsError(f"{path}: {name} is a {type(value).__name__}, not a dense tensor of numbers")
    return np.ascontiguousarray(value.detach().float().numpy())


def read_class_names(path: str, classes: int) -> tuple[str, ...]:
    """Read the class names in a file of the key `model.labels`, one a line.

    Raises:
        ConfigError: the file does not exist.
        WeightsError: the file is not UTF-8 text, or has another number of names.
    """
    try:
        names = tuple(existing_file(path, "labels").read_text("utf-8").splitlines())
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
    file = Path(path).expanduser()
    if not file.is_file():
        raise ConfigError(f"no file {path}", key=f"model.{key}")
    return file
