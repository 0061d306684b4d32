"""Weights that nobody trained yet: where training from scratch begins."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from torch import nn

from compress.data.imagenet import imagenet_names
from compress.errors import ConfigError, WeightsError
from compress.model import Model
from compress.networks.modules import build, check_input
from compress.networks.preprocessing_options import Named, prepared
from compress.tensors.forms import Dense

_LAST_DEVIATION = 0.01
"""Standard deviation of the classifier's weights, as SqueezeNet's authors begin with: no class is favoured."""

_LAST_BIAS = 1.0
"""What the classifier's biases begin with. Theirs begin with 0, which silences half of the classes by the ReLU behind
it, and for good where the map is one place or a few; on ImageNet's maps of 13 x 13 some place always speaks."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Random:
    """Weights at random, from the run's seed, for a network that a first stage `train` is to train.

    Attributes:
        architecture: the network.
        classes: how many it is to tell apart, 1 to 1,000,000.
        preprocessing: how photos become its input: as `torchvision`'s networks take them, or as `caffe`'s.
        size: rows and columns of its input, 16 to 4,096; the preprocessing's own if not given.
        resize: `squash` resizes the whole photo, `crop` its short side and takes the centre; the preprocessing's own if
            not given.
        labels: a name for each class; ImageNet's where there are 1,000 classes and none is given.
    """

    architecture: Literal["squeezenet1_0", "squeezenet1_1"]
    classes: Annotated[int, Field(ge=1, le=1_000_000)]
    source: Literal["random"] = "random"
    preprocessing: Named = "torchvision"
    size: Annotated[int, Field(ge=16, le=4096)] | None = None
    resize: Literal["squash", "crop"] | None = None
    labels: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _a_name_for_each_class(self) -> Random:
        if self.labels and len(self.labels) != self.classes:
            raise ValueError(f"{len(self.labels)} labels for {self.classes} classes")
        return self

    @property
    def description(self) -> str:
        """Where the weights come from, for the report."""
        return f"{self.architecture} for {self.classes:,} classes, its weights at random"

    def load(self, seed: int = 0) -> Model:
        """Draw the weights.

        Args:
            seed: the same seed gives the same weights.
        Raises:
            ConfigError: photos of this size are too small for the network.
        """
        labels = self.labels or (imagenet_names() if self.classes == 1000 else ())
        tensors = initial_weights(self.architecture, self.classes, seed)
        preprocessing = prepared(self.preprocessing, self.size, self.resize)
        model = Model(self.architecture, self.classes, preprocessing, tensors, labels)
        try:
            check_input(model)
        except WeightsError as error:
            raise ConfigError(str(error), key="model.size") from error
        return model


def initial_weights(architecture: str, classes: int, seed: int) -> dict[str, Dense]:
    """Return the weights that training begins with, in the network's order; biases are zero, but the classifier's.

    Source: He et al. 2015, arXiv:1502.01852, section 2.2, uniform; the last layer as in Iandola et al. 2016,
    arXiv:1602.07360 (`train_val.prototxt`), both as torchvision does it.
    """
    generator = torch.Generator().manual_seed(seed)
    parameters = dict(build(architecture, classes).named_parameters())
    last = [name for name, parameter in parameters.items() if parameter.dim() > 1][-1]
    with torch.no_grad():
        for name, parameter in parameters.items():
            if parameter.dim() == 1:
                nn.init.constant_(parameter, _LAST_BIAS if name == last.replace("weight", "bias") else 0.0)
            elif name == last:
                nn.init.normal_(parameter, std=_LAST_DEVIATION, generator=generator)
            else:
                nn.init.kaiming_uniform_(parameter, generator=generator)
    return {name: Dense(parameter.detach().numpy().astype(np.float32)) for name, parameter in parameters.items()}
