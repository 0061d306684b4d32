"""Models of SqueezeNets from arrays, and their random initial weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from compress.errors import WeightsError
from compress.model import Model, Preprocessing
from compress.networks.modules import builtin_network, check_shapes, stored_tensors
from compress.networks.network_class_names import default_class_names
from compress.tensors.forms import Dense
from compress.weights.checkpoint_file import Checkpoint
from compress.weights.source_files import Arrays
from compress.weights.state_dict_search import ExpectedTensors, expected_tensors, find_state_dict

_CLASSIFIER_STD = 0.01
"""Standard deviation of the classifier's weights, as in SqueezeNet's training: no class is favored."""

_CLASSIFIER_BIAS = 1.0
"""Initial biases of the classifier. With 0, as in SqueezeNet's training, the final ReLU zeroes half of the logits. On
ImageNet's maps of 13 x 13, some position always stays positive; on small maps these logits never recover."""


def load_squeezenet(
    architecture: str, checkpoint: Checkpoint, preprocessing: Preprocessing, key: str | None = None, strict: bool = True
) -> Model:
    """Return the SqueezeNet in a checkpoint; errors as in `find_state_dict` and `squeezenet_model`."""
    state = find_state_dict(checkpoint, _expected_tensors(architecture), key, strict)
    try:
        model = squeezenet_model(architecture, state.arrays, preprocessing)
    except WeightsError as error:
        raise WeightsError(f"{checkpoint.path}: {error}") from error
    return replace(model, source_notes=state.notes)


def _expected_tensors(architecture: str) -> ExpectedTensors:
    """Return the tensors of a SqueezeNet for any number of classes."""
    expected = expected_tensors(builtin_network(architecture, 1))
    classifier = {name: (None, *expected.shapes[name][1:]) for name in ("classifier.1.weight", "classifier.1.bias")}
    return replace(expected, shapes={**expected.shapes, **classifier})


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
