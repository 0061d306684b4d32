"""From a model to weights that other programs read."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from compress.errors import ConfigError
from compress.files import write_atomically
from compress.model import Model


def write_weights(model: Model, path: Path) -> None:
    """Write float32 weights under torchvision's tensor names.

    Args:
        model: what to write.
        path: `.safetensors`, or `.pth` / `.pt` for `torch.load`.
    Raises:
        ConfigError: the ending is none of these.
        OSError: the file cannot be written; an old one is untouched.
    """
    arrays = {name: np.ascontiguousarray(tensor.to_dense()) for name, tensor in model.tensors.items()}
    if path.suffix == ".safetensors":
        from safetensors.numpy import save  # noqa: PLC0415

        write_atomically(path, save(arrays))
    elif path.suffix in {".pth", ".pt"}:
        import torch  # noqa: PLC0415

        stream = io.BytesIO()
        torch.save({name: torch.from_numpy(array.copy()) for name, array in arrays.items()}, stream)
        write_atomically(path, stream.getvalue())
    else:
        raise ConfigError(f"cannot tell the format by {path.suffix!r}", file=path, allowed=".safetensors, .pth, .pt")
