"""Files of tensors and of class names that users have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from compress.errors import ConfigError, WeightsError

Arrays = dict[str, NDArray[np.float32]]


def read_checkpoint(path: Path) -> Arrays:
    """Read a dictionary of float tensors from `.safetensors`, `.pth` or `.pt`; no code in it is run.

    Raises:
        WeightsError: it is not such a file.
    """
    if path.suffix not in {".safetensors", ".pth", ".pt"}:
        raise WeightsError(f"{path}: cannot tell the format by {path.suffix!r}; allowed: .safetensors, .pth, .pt")
    try:
        if path.suffix == ".safetensors":
            state: object = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # torch lets all kinds of errors out when a file is broken
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(f"{path}: not a readable checkpoint of plain tensors: {first_line}") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    return _as_arrays(state, str(path))


def _as_arrays(state: object, place: str) -> Arrays:
    if not isinstance(state, dict) or not state:
        raise WeightsError(f"{place}: holds {type(state).__name__}, not a dictionary of tensors by name")
    arrays: Arrays = {}
    for name, value in state.items():
        if not isinstance(value, torch.Tensor) or not _is_plain(value):
            raise WeightsError(f"{place}: {name} is a {type(value).__name__}, not a plain tensor of numbers")
        arrays[str(name).removeprefix("module.")] = np.ascontiguousarray(value.detach().float().numpy())
    return arrays


def _is_plain(tensor: torch.Tensor) -> bool:
    return tensor.layout == torch.strided and not (tensor.is_complex() or tensor.is_quantized or tensor.is_meta)


def read_labels(path: Path) -> tuple[str, ...]:
    """Read class names, one a line.

    Raises:
        WeightsError: the file is not UTF-8 text.
    """
    try:
        return tuple(path.read_text("utf-8").splitlines())
    except UnicodeDecodeError as error:
        raise WeightsError(f"{path}: class names must be UTF-8 text ({error})") from error


def existing(path: str, key: str = "path") -> Path:
    """Return the path of a file that the key `model.KEY` names.

    Raises:
        ConfigError: there is none.
    """
    found = Path(path).expanduser()
    if not found.is_file():
        raise ConfigError(f"no file {path}", key=f"model.{key}")
    return found
