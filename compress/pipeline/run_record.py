"""From models and measurements to the record of a run."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import math
import os
import platform
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress import container
from compress.container.layout import Layout, TensorLayout
from compress.container.scan_order import bytes_by_codec
from compress.data.photos import Photos
from compress.evaluation.text import as_text
from compress.model import Model
from compress.report.record import DataRecord, FileRecord, Histogram, LayerRecord
from compress.runtime.threads import on_all_cores
from compress.tensors.forms import Dense, Pruned, Shared, Tensor

_BINS = 60
_DECIDING = ("squeeze-compress", "numpy", "numba", "torch", "scikit-learn", "dahuffman", "scipy", "pillow", "ndf")


def options_of(step: Any) -> dict[str, object]:
    """Return all options of a pass as JSON values."""

    def plain(value: object) -> object:
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if isinstance(value, bool | int | float | None):
            return value
        return str(value)

    options = plain(dataclasses.asdict(step))
    assert isinstance(options, dict)
    return options


def is_float(model: Model) -> bool:
    """Return whether nothing of a model is compressed yet: every tensor is plain, in float32."""
    return all(isinstance(tensor, Dense) and tensor.stored_as == "float32" for tensor in model.tensors.values())


def weights_of(model: Model) -> int:
    """Return how many weights there are, biases not counted."""
    return sum(model.tensors[name].to_dense().size for name in model.weight_names())


def sparsity_of(model: Model) -> float:
    """Return the share of zeros among the weights, biases not counted."""
    zeros = sum(int((model.tensors[name].to_dense() == 0).sum()) for name in model.weight_names())
    return zeros / max(weights_of(model), 1)


def distinct_values(tensor: Tensor) -> int:
    """Return how many shared values are in use, zero included; for plain values how many differ."""
    values: NDArray[Any] = tensor.indices if isinstance(tensor, Shared) else tensor.to_dense()
    return len(np.unique(values))


def layer_records(model: Model, reference: Model, layout: Layout) -> tuple[LayerRecord, ...]:
    """Return what is told of each tensor."""
    weights = [math.prod(part.shape) for part in layout.tensors]
    costs = on_all_cores(lambda part: _bytes_by_codec(model.tensors[part.name]), layout.tensors, weights)
    return tuple(
        _layer(part, model.tensors[part.name], reference.tensors[part.name], cost)
        for part, cost in zip(layout.tensors, costs, strict=True)
    )


def _bytes_by_codec(tensor: Tensor) -> Mapping[str, int]:
    match tensor:
        case Shared():
            return bytes_by_codec(tensor.indices)
        case Pruned():
            return bytes_by_codec(tensor.mask.astype(np.uint16))
        case Dense():
            return {}


def _layer(part: TensorLayout, tensor: Tensor, reference: Tensor, codec_bytes: Mapping[str, int]) -> LayerRecord:
    values = tensor.to_dense()
    before = after = None
    if len(part.shape) >= 2:
        # What has scales, or is summed up of coefficients, is shared before that: there is where to look at it.
        float_values, kept = reference.to_dense(), values[values != 0]
        if isinstance(tensor, Shared):
            float_values = tensor.unscaled(float_values).astype(np.float32)
            kept = tensor.codebook[tensor.indices[tensor.indices != 0]]
        edges = np.histogram_bin_edges(float_values, _BINS)
        before, after = _histogram(float_values, edges), _histogram(kept, edges)
    if isinstance(tensor, Shared):
        index_bits = max(int(np.ceil(np.log2(len(tensor.codebook)))), 0)
    else:
        index_bits = 16 if part.stored_as == "float16" else 32
    return LayerRecord(
        name=part.name,
        shape=part.shape,
        weights=values.size,
        kept=values.size if isinstance(tensor, Dense) else int(tensor.mask.sum()),
        index_bits=index_bits,
        distinct_values=distinct_values(tensor),
        codec=part.codec,
        order=part.order,
        codec_bytes=codec_bytes,
        entropy_bytes=part.entropy_bytes,
        index_bytes=part.index_bytes,
        position_bytes=part.position_bytes,
        codebook_bytes=part.codebook_bytes,
        scale_bytes=part.scale_bytes,
        before=before,
        after=after,
        shared_values=tuple(tensor.codebook.tolist()) if isinstance(tensor, Shared) else (),
    )


def _histogram(values: NDArray[np.float32], edges: NDArray[np.float32]) -> Histogram:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return Histogram(tuple(edges.tolist()), tuple(counts.tolist()))


def file_record(path: str, data: bytes, model: Model, layout: Layout) -> FileRecord:
    """Return where the bytes of the file went."""
    weights = [part for part in layout.tensors if len(part.shape) >= 2]
    biases = [part for part in layout.tensors if len(part.shape) < 2]
    return FileRecord(
        path=path,
        file_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        weights_sha256=container.weights_sha256(model),
        header_bytes=layout.header_bytes,
        label_bytes=layout.label_bytes,
        index_bytes=sum(part.index_bytes for part in weights),
        position_bytes=sum(part.position_bytes for part in weights),
        codebook_bytes=sum(part.codebook_bytes for part in weights),
        scale_bytes=sum(part.scale_bytes for part in weights),
        bias_bytes=sum(part.payload_bytes for part in biases),
    )


def data_record(role: str, photos: Photos) -> DataRecord:
    """Return what is told of a set of photos."""
    labelled = photos.labels is not None
    skipped = tuple(map(as_text, photos.skipped))
    return DataRecord(role, as_text(photos.description), len(photos), labelled, skipped, photos.fingerprint)


def versions() -> dict[str, str]:
    """Return the versions of the packages that decide the result, and of Python."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _DECIDING}}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def machine() -> str:
    """Return processor, cores and system in a phrase."""
    return f"{os.cpu_count()} cores of {platform.machine()}, {platform.system()} {platform.release()}"


def as_command(pipeline: str, seed: int | None, overrides: Iterable[str]) -> str:
    """Return the command line that runs a pipeline again."""
    parts = ["squeeze-compress", "run", pipeline]
    for override in overrides:
        parts += ["--set", override]
    if seed is not None:
        parts += ["--seed", str(seed)]
    return as_text(shlex.join(parts))
