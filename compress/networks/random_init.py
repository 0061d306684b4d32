"""Random weights for training from scratch."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from torch import nn

from compress.errors import ConfigError, WeightsError
from compress.model import Model
from compress.networks.modules import builtin_network, check_input
from compress.networks.preprocessing_options import InputOptions
from compress.networks.squeezenet import SqueezeNetName
from compress.networks.squeezenet_weights import squeezenet_model

_CLASSIFIER_STD = 0.01
"""Standard deviation of the classifier's weights, as in SqueezeNet's training: no class is favored."""

_CLASSIFIER_BIAS = 1.0
"""Initial biases of the classifier. With 0, as in SqueezeNet's training, the final ReLU zeroes half of the logits. On
ImageNet's maps of 13 x 13, some position always stays positive; on small maps these logits never recover."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class RandomWeights(InputOptions):
    """Random weights from the run's seed, for a pipeline that starts with a stage `train`.

    `labels` are class names; the default is ImageNet's for 1,000 classes.
    """

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


def initialize(network: nn.Module, seed: int) -> None:
    """Set the initial weights of a SqueezeNet. All biases but the classifier's are zero.

    Source: He et al. 2015, arXiv:1502.01852, section 2.2, uniform; the classifier as in Iandola et al. 2016,
    arXiv:1602.07360 (`train_val.prototxt`). Torchvision does the same.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if name == "classifier.1.weight":
            nn.init.normal_(parameter, std=_CLASSIFIER_STD, generator=generator)
        elif parameter.dim() > 1:
            nn.init.kaiming_uniform_(parameter, generator=generator)
        else:
            nn.init.constant_(parameter, _CLASSIFIER_BIAS if name == "classifier.1.bias" else 0.0)
