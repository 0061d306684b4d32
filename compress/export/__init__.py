"""From a model to weights that other programs read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np

from compress.errors import ConfigError
from compress.model import Model
from compress.runtime.atomic_files import write_atomically

WeightsForm = Literal["float32", "codebook"]
_SUFFIXES = (".safetensors", ".pth", ".pt", ".onnx")


def write_weights(model: Model, path: Path, form: WeightsForm = "float32") -> None:
    """Write a model for other programs: its weights, or as ONNX the whole network.

    Args:
        model: what to write.
        path: `.safetensors`, `.pth` / `.pt` for `torch.load`, each with float32 weights under torchvision's tensor
            names, or `.onnx`.
        form: of the weights; `codebook`, for `.onnx` alone, keeps indices and codebooks.
    Raises:
        ConfigError: the ending is none of these, the form is not for it, or the package onnx is missing.
        WeightsError: the network does not fit its tensors or its preprocessing; for `.onnx` alone.
        OSError: the file cannot be written; an old one is untouched.
    """
    if path.suffix not in _SUFFIXES:
        raise ConfigError(f"cannot tell the format by {path.suffix!r}", file=path, allowed=", ".join(_SUFFIXES))
    if form == "codebook" and path.suffix != ".onnx":
        raise ConfigError(f"no codebooks in a {path.suffix!r} file; leave out --weights codebook", file=path)
    if path.suffix == ".safetensors":
        from safetensors.numpy import save  # noqa: PLC0415

        write_atomically(path, save(_arrays(model)))
    elif path.suffix in {".pth", ".pt"}:
        import torch  # noqa: PLC0415

        stream = io.BytesIO()
        torch.save({name: torch.from_numpy(array.copy()) for name, array in _arrays(model).items()}, stream)
        write_atomically(path, stream.getvalue())
    else:
        write_atomically(path, _onnx(model, path, form))


def _arrays(model: Model) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(tensor.to_dense()) for name, tensor in model.tensors.items()}


def _onnx(model: Model, path: Path, form: WeightsForm) -> bytes:
    try:
        import onnx  # noqa: F401, PLC0415
    except ImportError as error:
        cure = "pip install 'squeeze-compress[onnx]'"
        raise ConfigError(f"the package onnx cannot be imported ({error}); {cure}", file=path) from error
    from compress.export.onnx_network import to_onnx  # noqa: PLC0415
    from compress.export.onnx_weights import as_float32, as_smallest  # noqa: PLC0415

    made = to_onnx(model, as_smallest if form == "codebook" else as_float32)
    data: bytes = made.SerializeToString(deterministic=True)
    return data
