"""SqueezeNet weights: the user's, torchvision's and random ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from torch import nn

from compress.data.imagenet import imagenet_names
from compress.errors import ConfigError, WeightsError
from compress.model import TORCHVISION, Model, Preprocessing
from compress.networks.modules import NETWORKS, builtin_network, check_input, check_shapes, stored_tensors
from compress.networks.preprocessing_options import InputOptions
from compress.networks.squeezenet import SqueezeNetName
from compress.networks.state_dict_file import Arrays, existing_file, read_class_names, read_state_dict
from compress.tensors.forms import Dense

_CLASSIFIER_STD = 0.01
"""Standard deviation of the classifier's weights, as in SqueezeNet's training: no class is favored."""

_CLASSIFIER_BIAS = 1.0
"""Initial biases of the classifier. With 0, as in SqueezeNet's training, the final ReLU zeroes half of the logits. On
ImageNet's maps of 13 x 13, some position always stays positive; on small maps these logits never recover."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class CheckpointWeights(InputOptions):
    """The user's checkpoint with torchvision's tensor names; `labels` is a text file with one class name a line."""

    path: str
    architecture: SqueezeNetName
    labels: str | None = None

    @property
    def description(self) -> str:
        """Origin of the weights, for the report."""
        return f"the checkpoint {Path(self.path).name}"

    def load(self, seed: int = 0) -> Model:
        """Read the checkpoint; see `WeightSource`."""
        arrays = read_state_dict(existing_file(self.path))
        model = squeezenet_model(self.architecture, arrays, self.resolve_preprocessing())
        return replace(model, labels=read_class_names(self.labels, model.classes)) if self.labels else model


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class TorchvisionWeights:
    """Torchvision's published weights, downloaded once to the cache of `torch.hub`."""

    architecture: SqueezeNetName

    # As in torchvision.models.SqueezeNet1_0_Weights and SqueezeNet1_1_Weights. The name ends with a SHA-256 prefix.
    URLS: ClassVar[Mapping[str, str]] = {
        "squeezenet1_0": "https://download.pytorch.org/models/squeezenet1_0-b66bff10.pth",
        "squeezenet1_1": "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
    }

    @property
    def description(self) -> str:
        """Origin of the weights, for the report."""
        return f"torchvision's published {self.architecture} ({self.URLS[self.architecture]})"

    def load(self, seed: int = 0) -> Model:
        """Read the weights from the cache or download them; see `WeightSource`."""
        url = self.URLS[self.architecture]
        try:
            file = _download_once(url)
        except (OSError, HTTPException, RuntimeError) as error:
            raise WeightsError(
                f"cannot download {url} ({error}); download it on a machine with internet access and use "
                "'source: checkpoint', or use 'source: embedded'"
            ) from error
        return squeezenet_model(self.architecture, read_state_dict(file), TORCHVISION)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class RandomWeights(InputOptions):
    """Random weights from the run's seed, for a pipeline that starts with a stage `train`."""

    architecture: SqueezeNetName
    classes: Annotated[int, Field(ge=1, le=1_000_000)]
    labels: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_labels(self) -> RandomWeights:
        if self.labels and len(self.labels) != self.classes:
            raise ValueError(f"{len(self.labels)} labels for {self.classes} classes")
        return self

    @property
    def description(self) -> str:
        """Origin of the weights, for the report."""
        return f"{self.architecture} for {self.classes:,} classes with random weights"

    def load(self, seed: int = 0) -> Model:
        """Return a model with random weights; see `WeightSource`."""
        network = builtin_network(self.architecture, self.classes)
        initialize(network, seed)
        arrays = {name: parameter.detach().numpy() for name, parameter in network.named_parameters()}
        model = squeezenet_model(self.architecture, arrays, self.resolve_preprocessing())
        try:
            check_input(network, model)
        except WeightsError as error:
            raise ConfigError(str(error), key="model.input_size") from error
        return replace(model, labels=self.labels or model.labels)


def squeezenet_model(architecture: str, arrays: Arrays, preprocessing: Preprocessing) -> Model:
    """Return a model with these tensors, and with ImageNet's labels if it has 1,000 classes.

    Raises:
        ConfigError: unknown architecture.
        WeightsError: the tensors are not the network's or not finite.
    """
    classes = len(arrays["classifier.1.bias"]) if "classifier.1.bias" in arrays else 1000
    network, tensors = builtin_network(architecture, classes), {name: Dense(array) for name, array in arrays.items()}
    check_shapes(tensors, network, f"these are not the weights of {architecture} with {classes} classes")
    not_finite = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if not_finite:
        raise WeightsError(f"{', '.join(not_finite)}: holds NaN or infinite weights")
    in_order = {name: tensors[name] for name in stored_tensors(network)}
    return Model(architecture, classes, preprocessing, in_order, default_class_names(architecture, classes))


def default_class_names(architecture: str, classes: int) -> tuple[str, ...]:
    """Return ImageNet's class names for a built-in network of 1,000 classes, else none."""
    return imagenet_names() if architecture in NETWORKS and classes == 1000 else ()


def _download_once(url: str) -> Path:
    """Return the file in torch.hub's cache; download it if it is missing or has another hash."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    hash_prefix = file.stem.rsplit("-", 1)[-1]
    if not file.is_file() or not hashlib.sha256(file.read_bytes()).hexdigest().startswith(hash_prefix):
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), hash_prefix, progress=False)
    return file


def initialize(network: nn.Module, seed: int) -> None:
    """Set the initial weights of a SqueezeNet, as torchvision does; all biases but the classifier's are zero.

    Source: He et al. 2015, arXiv:1502.01852, section 2.2, uniform; the classifier as in Iandola et al. 2016,
    arXiv:1602.07360 (`train_val.prototxt`).
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if name == "classifier.1.weight":
            nn.init.normal_(parameter, std=_CLASSIFIER_STD, generator=generator)
        elif parameter.dim() > 1:
            nn.init.kaiming_uniform_(parameter, generator=generator)
        else:
            nn.init.constant_(parameter, _CLASSIFIER_BIAS if name == "classifier.1.bias" else 0.0)
