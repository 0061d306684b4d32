"""Export: a model comes in, files for other programs go out.

`write_weights` writes state dictionaries, or an ONNX model of the whole network (`onnx_network`). `c_project` writes a
project in C, `web` a page for browsers, and `hub` a folder for the Hugging Face Hub with a `model_card`.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors.numpy import save

from compress.errors import ConfigError
from compress.model import Model
from compress.networks.description_text import METADATA_KEY, description_text
from compress.networks.factory import names_in_network
from compress.runtime.atomic_files import write_atomically

WeightFormat = Literal["float32", "codebook"]
_SUFFIXES = (".safetensors", ".pth", ".pt", ".onnx")


def write_weights(model: Model, path: Path, weight_format: WeightFormat = "float32") -> None:
    """Write a model's weights, or for `.onnx` its whole network.

    Args:
        model: the model.
        path: `.safetensors`, `.pth`, `.pt` or `.onnx`.
        weight_format: `codebook` stores small integers, in `.onnx` files only.
    Raises:
        ConfigError: wrong suffix or weight format, or the package onnx is missing.
        WeightsError: `.onnx` only: tensors or preprocessing do not fit the network.
        OSError: the file cannot be written; an old file is unchanged.
    """
    if path.suffix not in _SUFFIXES:
        raise ConfigError(f"unknown format {path.suffix!r}", file=path, allowed=", ".join(_SUFFIXES))
    if weight_format == "codebook" and path.suffix != ".onnx":
        raise ConfigError(f"{path.suffix!r} files have no codebooks; leave out --weights codebook", file=path)
    if path.suffix == ".onnx":
        data = _to_onnx(model, path, weight_format)
    else:
        dense = {name: np.require(tensor.to_dense(), requirements="C") for name, tensor in model.tensors.items()}
        arrays = {name: dense[first] for name, first in names_in_network(model.architecture, dense.keys()).items()}
        metadata = {METADATA_KEY: description_text(model)}
        data = save(arrays, metadata) if path.suffix == ".safetensors" else _to_torch(arrays, metadata)
    write_atomically(path, data)


def _to_torch(arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    import torch  # noqa: PLC0415

    weights = OrderedDict((name, torch.from_numpy(array.copy())) for name, array in arrays.items())
    vars(weights).update(metadata)  # torch also keeps the metadata of a state dictionary in an attribute
    stream = io.BytesIO()
    torch.save(weights, stream)
    return stream.getvalue()


def _to_onnx(model: Model, path: Path, weight_format: WeightFormat) -> bytes:
    try:
        from compress.export.onnx_network import to_onnx  # noqa: PLC0415
        from compress.export.onnx_weights import as_float32, as_smallest  # noqa: PLC0415
    except ImportError as error:
        if error.name == "torch":
            raise
        advice = "in a clone of squeeze-compress: pip install '.[onnx]'"
        raise ConfigError(f"cannot import the package onnx ({error}); {advice}", file=path) from error
    network = to_onnx(model, as_smallest if weight_format == "codebook" else as_float32)
    data: bytes = network.SerializeToString(deterministic=True)
    return data
