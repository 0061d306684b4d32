"""Conversion between models and torch modules."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from compress.data.transforms import to_input
from compress.errors import ConfigError, WeightsError, nearest
from compress.model import Model, Preprocessing
from compress.networks.compared_output import LOGITS, ComparedOutput, compared_tensor
from compress.networks.equivalence import relative_difference
from compress.networks.factory import NetworkFactory, is_factory, needs_trust, output_of
from compress.networks.squeezenet import squeezenet1_0, squeezenet1_1
from compress.networks.tensor_ownership import EXTRA_STATE
from compress.tensors.forms import Dense, Tensor

NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "squeezenet1_0": squeezenet1_0,
    "squeezenet1_1": squeezenet1_1,
}
"""Built-in networks: functions of the number of classes."""

_FORMAT_TOLERANCE = 0.01
"""Largest difference of outputs in another memory format, relative to the largest: above the rounding of bfloat16."""

_MAX_FAULTS = 8
"""Wrong tensors that an error lists."""

_REPARAMETRIZED = re.compile(r"parametrizations\.|\.original\d*$|_(?:orig|mask|g|v)$")
"""Parts of the names of tensors from which torch computes a weight, by a mask or a norm. Its own name lacks them."""


def builtin_network(architecture: str, classes: int) -> nn.Module:
    """Return a network of `NETWORKS` with arbitrary weights, in evaluation mode.

    Raises:
        ConfigError: unknown architecture.
    """
    if architecture not in NETWORKS:
        raise ConfigError(f"no network {architecture!r}{nearest(architecture, NETWORKS)}", allowed=", ".join(NETWORKS))
    with torch.random.fork_rng(devices=[]):  # keep the state of the user's generator
        return NETWORKS[architecture](classes).eval()


def to_module(model: Model, device: torch.device | None = None, seed: int = 0) -> nn.Module:
    """Return a model's network, which returns only the tensor that is compared; see `to_native_module`.

    Code of the user may change its input in place; it gets a copy. Gradients of embedding layers are dense tensors.
    """
    network = to_native_module(model, device, seed)
    if is_factory(model.architecture):
        for part in network.modules():
            if isinstance(part, nn.Embedding | nn.EmbeddingBag):
                part.sparse = False
        returning(network, output_of(model))
        network.register_forward_pre_hook(lambda _, inputs: tuple(each.clone() for each in inputs))
    return network


def returning(network: nn.Module, output: ComparedOutput) -> nn.Module:
    """Let a network return only the tensor that is compared, in float32 and in the shape of `compared_tensor`.

    It is a copy: a network may return a buffer of its own, which its next call overwrites.
    """

    def compared(_: nn.Module, __: object, outputs: Any) -> Any:
        if output != LOGITS:
            return compared_tensor(outputs, output).to(torch.float32, copy=True)
        # In training mode, it may be a tuple.
        return outputs.to(torch.float32, copy=True) if isinstance(outputs, torch.Tensor) else outputs

    network.register_forward_hook(compared)
    return network


def to_native_module(model: Model, device: torch.device | None = None, seed: int = 0) -> nn.Module:
    """Return a model's network with its weights, in evaluation mode.

    Args:
        model: weights and architecture.
        device: of the network, in the format "channels last" if its code supports that; None: the CPU, in torch's
            default format.
        seed: of what the user's function draws, besides the weights.
    Raises:
        ConfigError: unknown architecture, or its function cannot be imported or called.
        WeightsError: the function is not trusted, or the tensors do not fit the network.
    """
    module = _make_network(model, seed)
    problem = f"these are not the weights of {model.architecture} with {model.classes} classes"
    check_shapes(model.tensors, module, problem)
    set_weights(module, model.tensors)
    if device is None:
        return module
    if _supports_channels_last(model):
        return module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
    module.register_forward_pre_hook(lambda _, inputs: tuple(map(as_contiguous, inputs)))
    return module.to(device)


def as_contiguous(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor in torch's default format; unlike `contiguous`, also where a dimension of 1 leaves a choice."""
    return tensor.clone(memory_format=torch.contiguous_format)


def _supports_channels_last(model: Model) -> bool:
    """Return whether the network runs in the format "channels last", with the same outputs.

    `x.view(len(x), -1)` and `Conv3d` do not run, and `x.as_strided(...)` reads other values.
    """
    if not needs_trust(model.architecture):
        return True
    network, photo = returning(_make_network(model), output_of(model)), random_input(model.preprocessing, 1)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            expected = network(photo.clone())
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            actual = network(photo.clone(memory_format=torch.channels_last))
        except Exception:  # the network is the user's code
            return False
    return relative_difference(expected, actual) <= _FORMAT_TOLERANCE


def _make_network(model: Model, seed: int = 0) -> nn.Module:
    if not is_factory(model.architecture):
        return builtin_network(model.architecture, model.classes)
    factory = NetworkFactory.parse(model.architecture)
    if not model.trusted and needs_trust(model.architecture):
        raise WeightsError(
            f"the function {factory.function} makes this network, and a file must not choose which code runs; "
            f"if you trust the function, add --factory {factory.function}"
        )
    return factory.build(seed)


def check_input(network: nn.Module, model: Model) -> None:
    """Check that a model's network accepts input of the model's preprocessing.

    Raises:
        WeightsError: the input has the wrong channels or is too small.
    """
    pre = model.preprocessing
    try:
        with torch.no_grad():
            network(zero_input(pre).to(next((each.device for each in network.parameters()), None)))
    except RuntimeError as error:
        raise WeightsError(
            f"{model.architecture} does not accept photos of {pre.height} x {pre.width} pixels in {pre.channels}"
        ) from error


def zero_input(preprocessing: Preprocessing) -> torch.Tensor:
    """Return an input of zeros, shape (1, channels, height, width)."""
    return torch.zeros(1, len(preprocessing.channels), preprocessing.height, preprocessing.width)


def random_input(preprocessing: Preprocessing, photos: int) -> torch.Tensor:
    """Return photos of random pixels, the same in each call; shape (photos, channels, height, width)."""
    shape = photos, preprocessing.height, preprocessing.width, len(preprocessing.channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return torch.from_numpy(to_input(pixels, preprocessing))


def stored_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return the parameters and buffers of a model by name, in module order; a shared tensor has its first name.

    `num_batches_tracked` of torch's norms is left out: no output depends on it. That of a norm of the user's own may
    correct its mean.
    """
    counters = {id(each.num_batches_tracked) for each in module.modules() if isinstance(each, _NormBase)}
    first_names: dict[int, tuple[str, torch.Tensor]] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if isinstance(tensor, torch.Tensor) and id(tensor) not in counters:  # else an extra state
            first_names.setdefault(id(tensor), (name, tensor))
    return dict(first_names.values())


def tied_names(module: nn.Module) -> dict[str, str]:
    """Return the further names of tensors that have several, with the name that `stored_tensors` gives."""
    first_names = {id(tensor): name for name, tensor in stored_tensors(module).items()}
    named = ((name, first_names.get(id(tensor))) for name, tensor in module.state_dict(keep_vars=True).items())
    return {name: first for name, first in named if first not in {None, name}}


def set_weights(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy dense values into the parameters and buffers with the same names.

    A network in evaluation mode enters it again, and its own code for loading a state dictionary runs: both may compute
    values from the weights.

    Raises:
        ConfigError: its own `load_state_dict` or `set_extra_state` fails.
    """
    stored, was_training = stored_tensors(module), module.training
    modes = [(part, part.training) for part in module.modules()]
    is_for_inference = not _enter_training_mode(module)
    with torch.no_grad():
        for name, tensor in tensors.items():
            target = stored[name]
            if torch._debug_has_internal_overlap(target):  # expanded: many elements in one place
                target.data = target.data.clone()
            if target.shape != tensor.shape:  # the forward pass gave a buffer another size
                target.data = target.new_empty(tensor.shape)
            target.copy_(torch.from_numpy(np.array(tensor.to_dense())))
    _set_extra_states(module, {name: stored[name] for name in tensors if name.endswith(EXTRA_STATE)})
    _run_loading_code(module)
    module.train(was_training)  # also after a part of it refused
    for part, mode in modes if is_for_inference else ():
        part.training = mode


def _enter_training_mode(module: nn.Module) -> bool:
    """Enter training mode; return whether the code of the network allows it.

    If it refuses, only the flags of the modules are set: evaluation mode is entered again, and code that looks for a
    change of the mode runs.
    """
    try:
        module.train()
    except MemoryError:
        raise
    except Exception:  # the network is the user's code
        for part in module.modules():
            part.training = True
        return False
    return True


def _set_extra_states(module: nn.Module, states: Mapping[str, torch.Tensor]) -> None:
    """Give modules their extra states that are tensors: in a state dictionary, they may be copies.

    Raises:
        ConfigError: the user's code fails.
    """
    for name, state in states.items():
        try:
            module.get_submodule(name.removesuffix(EXTRA_STATE).removesuffix(".")).set_extra_state(state)
        except MemoryError:
            raise
        except Exception as error:  # the network is the user's code
            problem = f"set_extra_state fails for {name}, the network's own: {type(error).__name__}: {error}"
            raise ConfigError(problem, key="model") from error


def _run_loading_code(module: nn.Module) -> None:
    """Load the tensors that a network has, if code of the user runs there.

    Raises:
        ConfigError: the code fails.
    """
    arguments: tuple[Any, ...] = module.state_dict(), False
    if type(module).load_state_dict is not nn.Module.load_state_dict:
        arguments = _own_arguments(module)
    elif not any(map(_has_loading_code, module.modules())):
        return
    try:
        module.load_state_dict(*arguments)
    except MemoryError:
        raise
    except Exception as error:  # the network is the user's code
        raise ConfigError(
            "the network's own code for loading (load_state_dict, _load_from_state_dict, or a hook) fails for its own "
            f"state dictionary: {type(error).__name__}: {error}; what it computes from the weights would be missing. "
            "Let load_state_dict take the arguments of torch, (state_dict, strict=True), and give a method that reads "
            "a file another name",
            key="model",
        ) from error


def _own_arguments(module: nn.Module) -> tuple[Any, ...]:
    """Return the arguments of a network's own `load_state_dict`, which may take no `strict`, or need it."""
    state = module.state_dict()
    try:
        inspect.signature(module.load_state_dict).bind(state)
    except TypeError:
        return state, True
    return (state,)


def _has_loading_code(part: nn.Module) -> bool:
    """Return whether code of the user runs where a state dictionary is loaded into a part of a network."""
    if isinstance(part, torch.jit.ScriptModule):
        return False
    is_own = type(part)._load_from_state_dict.__module__.partition(".")[0] != "torch"
    return is_own or bool(part._load_state_dict_pre_hooks or part._load_state_dict_post_hooks)


def as_dense(tensor: torch.Tensor) -> Dense:
    """Return a torch tensor's values in float32."""
    return Dense(tensor.detach().cpu().numpy().astype(np.float32))


def check_shapes(tensors: Mapping[str, Tensor], module: nn.Module, problem: str) -> None:
    """Check names and shapes of tensors against a network.

    Raises:
        WeightsError: `problem`, with the missing, unexpected and misshapen tensors.
    """
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    expected = {name: tuple(tensor.shape) for name, tensor in stored_tensors(module).items()}
    faults = [f"missing {name} {shape}" for name, shape in expected.items() if name not in shapes]
    faults += [f"unexpected {name} {shape}" for name, shape in shapes.items() if name not in expected]
    faults += [
        f"{name} is {shapes[name]}, not {shape}" for name, shape in expected.items() if shapes.get(name, shape) != shape
    ]
    more = f"; and {len(faults) - _MAX_FAULTS} more" if len(faults) > _MAX_FAULTS else ""
    parts = {_REPARAMETRIZED.sub("", name) for name in shapes.keys() - expected.keys()}
    if parts & (expected.keys() - shapes.keys()):
        more += (
            ". Masks and norms of layers must be removed before the weights are saved, by torch.nn.utils.prune.remove, "
            "remove_weight_norm or parametrize.remove_parametrizations"
        )
    if faults:
        raise WeightsError(f"{problem}: {'; '.join(faults[:_MAX_FAULTS])}{more}")
