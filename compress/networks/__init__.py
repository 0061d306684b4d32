"""Networks by name, and the way between a `Model` and a torch module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from compress.errors import ConfigError, WeightsError, nearest
from compress.model import Model
from compress.networks.squeezenet import squeezenet1_0, squeezenet1_1
from compress.tensors import Dense, Tensor

NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "squeezenet1_0": squeezenet1_0,
    "squeezenet1_1": squeezenet1_1,
}


def build(architecture: str, classes: int) -> nn.Module:
    """Make a network, its weights random, in evaluation mode.

    Args:
        architecture: a key of `NETWORKS`.
        classes: how many the network tells apart, 1 or more.
    Raises:
        ConfigError: there is no network of that name.
    """
    if architecture not in NETWORKS:
        raise ConfigError(f"no network {architecture!r}{nearest(architecture, NETWORKS)}", allowed=", ".join(NETWORKS))
    with torch.random.fork_rng(devices=[]):  # torch draws weights that nobody will use; the user's generator stays
        return NETWORKS[architecture](classes).eval()


def to_module(model: Model) -> nn.Module:
    """Make the torch module of a model, with its weights, in evaluation mode.

    Raises:
        WeightsError: the tensors are not those of the architecture.
    """
    module = build(model.architecture, model.classes)
    check_tensors({name: tensor.shape for name, tensor in model.tensors.items()}, model.architecture, model.classes)
    set_weights(module, model.tensors)
    return module


def check_input(model: Model) -> None:
    """Check that the network can take photos as the preprocessing leaves them.

    Raises:
        WeightsError: their channels are not what it expects, or they are too small for it.
    """
    pre = model.preprocessing
    channels = 1 if pre.channels == "L" else 3
    try:
        with torch.inference_mode():
            build(model.architecture, model.classes)(torch.zeros(1, channels, pre.height, pre.width))
    except RuntimeError as error:
        raise WeightsError(
            f"{model.architecture} cannot take photos of {pre.height} x {pre.width} pixels in {pre.channels}"
        ) from error


def set_weights(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy dense values into a module's parameters of the same names and shapes; others stay."""
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for name, tensor in tensors.items():
            parameters[name].copy_(torch.from_numpy(np.array(tensor.to_dense())))


def with_weights(model: Model, module: nn.Module) -> Model:
    """Return `model` with every tensor dense and valued as in `module`."""
    values = {name: parameter.detach().cpu().numpy().copy() for name, parameter in module.named_parameters()}
    return replace(model, tensors={name: Dense(values[name].astype(np.float32)) for name in model.tensors})


def check_tensors(shapes: dict[str, tuple[int, ...]], architecture: str, classes: int) -> None:
    """Check that tensors are those of a network.

    Raises:
        WeightsError: says which tensors are missing, extra or of another shape.
    """
    wanted = {name: tuple(parameter.shape) for name, parameter in build(architecture, classes).named_parameters()}
    faults = [f"missing {name} {shape}" for name, shape in wanted.items() if name not in shapes]
    faults += [f"extra {name} {shape}" for name, shape in shapes.items() if name not in wanted]
    faults += [
        f"{name} is {shapes[name]}, not {shape}"
        for name, shape in wanted.items()
        if name in shapes and shapes[name] != shape
    ]
    if faults:
        shown = "; ".join(faults[:8]) + (f"; and {len(faults) - 8} more" if len(faults) > 8 else "")
        raise WeightsError(f"these are not the weights of {architecture} with {classes} classes: {shown}")
