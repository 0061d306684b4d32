"""Random weights for training from scratch."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from torch import nn

from compress.data.imagenet import imagenet_names
from compress.errors import ConfigError, WeightsError
from compress.model import Model
from compress.networks.modules import as_dense, builtin_network, check_input, to_module
from compress.networks.preprocessing_options import InputSize, PreprocessingName, Resize, resolve_preprocessing
from compress.networks.squeezenet import SqueezeNetName
from compress.tensors.forms import Dense

_CLASSIFIER_STD = 0.01
"""Standard deviation of the classifier's weights, as in SqueezeNet's training: no class is favored."""

_CLASSIFIER_BIAS = 1.0
"""Initial biases of the classifier. SqueezeNet's training uses 0. Then the final ReLU zeroes half of the logits, and on
small feature maps they never recover. On ImageNet's maps of 13 x 13, some position always stays positive."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class RandomWeights:
    """Random weights from the run's seed, for a pipeline that starts with a stage `train`.

    Attributes:
        architecture: the network.
        classes: number of classes, 1 to 1,000,000.
        preprocessing: `torchvision` or `caffe`.
        input_size: rows and columns of the input, 16 to 4,096; default: the preprocessing's.
        resize: `squash` resizes the whole photo, `crop` its short side and takes the center; default: the
            preprocessing's.
        labels: class names; default: ImageNet's for 1,000 classes, else none.
    """

    architecture: SqueezeNetName
    classes: Annotated[int, Field(ge=1, le=1_000_000)]
    source: Literal["random"] = "random"
    preprocessing: PreprocessingName = "torchvision"
    input_size: InputSize | None = None
    resize: Resize | None = None
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
        """Return a model with random weights.

        Args:
            seed: determines the weights.
        Raises:
            ConfigError: the input is too small for the network.
        """
        labels = self.labels or (imagenet_names() if self.classes == 1000 else ())
        tensors = initial_weights(self.architecture, self.classes, seed)
        preprocessing = resolve_preprocessing(self.preprocessing, self.input_size, self.resize)
        model = Model(self.architecture, self.classes, preprocessing, tensors, labels)
        try:
            check_input(to_module(model), model)
        except WeightsError as error:
            raise ConfigError(str(error), key="model.input_size") from error
        return model


def initial_weights(architecture: str, classes: int, seed: int) -> dict[str, Dense]:
    """Return initial weights by name, in the network's order. All biases but the classifier's are zero.

    Source: He et al. 2015, arXiv:1502.01852, section 2.2, uniform; the classifier as in Iandola et al. 2016,
    arXiv:1602.07360 (`train_val.prototxt`). Torchvision does the same.
    """
    generator = torch.Generator().manual_seed(seed)
    parameters = dict(builtin_network(architecture, classes).named_parameters())
    classifier = [name for name, parameter in parameters.items() if parameter.dim() > 1][-1]
    for name, parameter in parameters.items():
        if parameter.dim() == 1:
            nn.init.constant_(parameter, _CLASSIFIER_BIAS if name == classifier.replace("weight", "bias") else 0.0)
        elif name == classifier:
            nn.init.normal_(parameter, std=_CLASSIFIER_STD, generator=generator)
        else:
            nn.init.kaiming_uniform_(parameter, generator=generator)
    return {name: as_dense(parameter) for name, parameter in parameters.items()}
