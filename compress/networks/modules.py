"""TODO."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from compress.errors import ConfigError, WeightsError, nearest
from compress.model import Model, Preprocessing
from compress.networks.factory import Factory, is_factory
from compress.networks.squeezenet import squeezenet1_0, squeezenet1_1
from compress.tensors.forms import Dense, Tensor

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


def network_of(model: Model) -> nn.Module:
    """Make a model's network, in evaluation mode, its weights not yet the model's.

    Raises:
        ConfigError: there is no network of that name, or the function that makes it cannot be imported or called.
        WeightsError: it is made by a function that nobody said is trusted.
    """
    if not is_factory(model.architecture):
        return build(model.architecture, model.classes)
    factory = Factory.of(model.architecture)
    if not model.trusted:
        raise WeightsError(
            f"the network is made by the function {factory.function}, and no file chooses what code runs here; "
            f"if you trust it, say so: --factory {factory.function}"
        )
    return factory.build()


def to_module(model: Model) -> nn.Module:
    """Make the torch module of a model, with its weights, in evaluation mode.

    Raises:
        ConfigError: as `network_of`.
        WeightsError: the tensors are not those of the architecture, or as `network_of`.
    """
    module = network_of(model)
    shapes = {name: tensor.shape for name, tensor in model.tensors.items()}
    _check_shapes(shapes, module, _called(model.architecture, model.classes))
    set_weights(module, model.tensors)
    return module


def check_input(model: Model) -> None:
    """Check that the network can take photos as the preprocessing leaves them.

    Raises:
        ConfigError: as `network_of`.
        WeightsError: their channels are not what it expects, or they are too small for it; or as `network_of`.
    """
    pre = model.preprocessing
    network = network_of(model)
    try:
        with torch.inference_mode():
            network(no_photo(pre))
    except RuntimeError as error:
        raise WeightsError(
            f"{model.architecture} cannot take photos of {pre.height} x {pre.width} pixels in {pre.channels}"
        ) from error


def no_photo(preprocessing: Preprocessing) -> torch.Tensor:
    """Return an input of zeros, shape (1, channels, height, width)."""
    return torch.zeros(1, len(preprocessing.channels), preprocessing.height, preprocessing.width)


def stored_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return the parameters and buffers that a model of this network has, by name, in the module's order.

    A tensor of several names has its first alone. How many batches a batch norm has seen says nothing of its outputs,
    and is left out.
    """
    found: dict[int, tuple[str, torch.Tensor]] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if not name.endswith("num_batches_tracked"):
            found.setdefault(id(tensor), (name, tensor))
    return dict(found.values())


def set_weights(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy dense values into a module's parameters and buffers of the same names and shapes; others stay."""
    stored = stored_tensors(module)
    with torch.no_grad():
        for name, tensor in tensors.items():
            stored[name].copy_(torch.from_numpy(np.array(tensor.to_dense())))


def with_weights(model: Model, module: nn.Module) -> Model:
    """Return `model` with every tensor dense and valued as in `module`."""
    values = stored_tensors(module)
    return replace(model, tensors={name: as_dense(values[name]) for name in model.tensors})


def as_dense(tensor: torch.Tensor) -> Dense:
    """Return a torch tensor's values, in float32."""
    return Dense(tensor.detach().cpu().numpy().astype(np.float32))


def check_tensors(shapes: Mapping[str, tuple[int, ...]], architecture: str, classes: int) -> None:
    """Check that tensors are those of a network.

    Raises:
        WeightsError: says which tensors are missing, extra or of another shape.
    """
    _check_shapes(shapes, build(architecture, classes), _called(architecture, classes))


def _called(architecture: str, classes: int) -> str:
    return f"{architecture} with {classes} classes"


def _check_shapes(shapes: Mapping[str, tuple[int, ...]], module: nn.Module, called: str) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in stored_tensors(module).items()}
    faults = [f"missing {name} {shape}" for name, shape in wanted.items() if name not in shapes]
    faults += [f"extra {name} {shape}" for name, shape in shapes.items() if name not in wanted]
    faults += [
        f"{name} is {shapes[name]}, not {shape}"
        for name, shape in wanted.items()
        if name in shapes and shapes[name] != shape
    ]
    if faults:
        shown = "; ".join(faults[:8]) + (f"; and {len(faults) - 8} more" if len(faults) > 8 else "")
        raise WeightsError(f"these are not the weights of {called}: {shown}")
