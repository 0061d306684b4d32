"""Checks of a network's outputs on random photos: they are comparable, and the same whenever the network runs."""

from __future__ import annotations

import pickle
import random
import re
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor, nn

from compress.errors import ConfigError, first_names
from compress.model import Model
from compress.networks.compared_output import OutputKind
from compress.networks.equivalence import relative_difference, same_outputs
from compress.networks.modules import random_input, set_weights, stored_tensors, to_module

_RUNS, _RUNS_WITH_DRAWS = 2, 64
"""Runs of the network; more if it draws random numbers, which may seldom change an output (stochastic depth)."""

_OTHER_SEED = 0x5EED
"""Seed of the second build: what a function draws and does not register is another number then."""

_PHOTOS = 2
_BATCH_TOLERANCE = 0.01
"""Largest difference of a photo's outputs alone and in a batch, relative to the largest output: above the rounding of
bfloat16, whose sums may have another order in a batch."""

_SHAPE_CHANGES = re.compile("View|Reshape|Squeeze|Clone|Copy")
"""Names of operations in torch's graph that keep the values."""

_SUM_TOLERANCE = 1e-3
"""Largest difference of a sum of probabilities from 1, above the rounding of float16."""

_DRAWN = "its forward pass draws random numbers, for example in F.dropout without training=self.training"
_REMEMBERS = "it keeps a state of the photos before, which is no buffer; begin each forward pass without it"
_BUILT = (
    "built again with the same parameters and buffers, it is another network; register what its function draws, or "
    "what it keeps of the first photos, as a buffer"
)
_HIDDEN = (
    "built again with the same parameters and buffers, it is another network: {} in a plain list, tuple or dictionary "
    "are no part of it, so their weights are in no checkpoint and are not trained; use nn.ModuleList, nn.ModuleDict or "
    "nn.ParameterList, and train the network again"
)
_DEPENDENT = (
    "the outputs for a photo depend on the other photos of its batch, by {:.1%} of the largest: accuracy holds for "
    "these batches, not for single photos. Batch norms with running statistics, and no means over a batch, help"
)

_SQUASHED = (
    "the network ends in a sigmoid, and the softmax of values between 0 and 1 hardly tells classes apart: the "
    "divergence is near 0 whatever the passes do. Return the logits, or compare the values, `outputs: {kind: values}`"
)


def check_outputs(network: nn.Module, model: Model, kind: OutputKind) -> tuple[str, ...]:
    """Check that a network, and one built again with the same tensors, give the same outputs each time; return notes.

    Args:
        network: as its function made it, on the CPU; its tensors are set to those of the model before each run.
        model: the network's tensors.
        kind: of the outputs; of a distribution, they must be logits.
    Returns:
        notes for the report, if the outputs for a photo depend on the other photos of its batch, or are those of a
        sigmoid.
    Raises:
        ConfigError: the outputs differ, are not finite, or are probabilities; the network accepts no batches, or its
            evaluation mode or its code for loading changes its tensors.
    """
    _check_loading(network, model)
    _check_mode(network, model)
    with torch.random.fork_rng(devices=[]):
        photos = random_input(model.preprocessing, _PHOTOS)
        before = _random_states()
        expected = _run_first(network, model, photos[:1])
        if not expected.isfinite().all():
            raise _error(
                f"outputs of the network are not finite for a photo of random pixels: {infinite_problem(expected)}"
            )
        runs, cause = (_RUNS_WITH_DRAWS, _DRAWN) if _random_states() != before else (_RUNS, _REMEMBERS)
        for _ in range(runs - 1):
            _check_same(expected, _run(network, model, photos[:1]), cause)
        hidden = first_names(_hidden_parts(network))
        cause = _HIDDEN.format(hidden) if hidden else _BUILT
        _check_same(expected, _run(to_module(model, seed=_OTHER_SEED), model, photos[:1]), cause)
        outputs = _run_batch(network, model, photos)
        if kind == "distribution":
            _check_logits(outputs)
        difference = relative_difference(expected, outputs[:1])
        notes = (
            _DEPENDENT.format(difference) if difference > _BATCH_TOLERANCE else "",
            _SQUASHED if kind == "distribution" and _ends_in_sigmoid(network, photos) else "",
        )
        return tuple(filter(None, notes))


def infinite_problem(outputs: Tensor) -> str:
    """Return what outputs that are not finite hint at, and the remedy."""
    if bool((outputs.isfinite() | outputs.isneginf()).all()):
        return "a logit of -inf, as masks of classes have it, cannot be compared; use a number such as -100"
    return (
        "its weights are damaged, it divides by weights that are zero, or its code computes in a precision with a "
        "smaller range, such as float16"
    )


def _check_mode(network: nn.Module, model: Model) -> None:
    """Check that evaluation mode leaves the tensors as they are: a file holds one state, not one of each mode."""
    set_weights(network, model.tensors)
    if changed := _changed(network, model):
        raise _error(
            f"its eval() changes {first_names(changed)}, as adapters do that merge themselves into the "
            "weights; switch that off in your function (loralib: merge_weights=False), or merge them before you save "
            "the weights, and make the network without adapters"
        )


def _check_loading(network: nn.Module, model: Model) -> None:
    """Check that the network's own code leaves tensors as they are where it loads them: files hold one state."""
    with suppress(Exception):  # a network for inference only may refuse it
        network.train()  # `eval()` may change tensors, too
    set_weights(network, model.tensors)
    changed = _changed(network, model)
    network.eval()
    if changed:
        raise _error(
            f"its code changes {first_names(changed)} where it loads a state dictionary (load_state_dict, "
            "_load_from_state_dict, or a hook); load your checkpoint with this code, save the network's state_dict(), "
            "and remove the code from the network of the function"
        )


def _changed(network: nn.Module, model: Model) -> list[str]:
    """Return the names of the network's tensors that are not those of the model."""
    return [
        name
        for name, tensor in stored_tensors(network).items()
        if name in model.tensors
        and not torch.equal(tensor.cpu().float(), torch.from_numpy(np.array(model.tensors[name].to_dense())))
    ]


def _run_first(network: nn.Module, model: Model, photos: Tensor) -> Tensor:
    try:
        return _run(network, model, photos)
    except Exception as error:  # the network is the user's code, which ran with gradients on a photo of zeros
        raise _error(
            "the network fails for a photo of random pixels, or where no gradients are computed: "
            f"{type(error).__name__}: {error}; hooks and retain_grad need `if x.requires_grad`, and "
            "torch.autograd.grad needs torch.enable_grad"
        ) from error


def _run_batch(network: nn.Module, model: Model, photos: Tensor) -> Tensor:
    try:
        outputs = _run(network, model, photos)
    except Exception as error:  # the network is the user's code
        raise _error(f"the network accepts one photo, but not a batch of them: {error}") from error
    if len(outputs) != len(photos):
        raise _error(f"the network returns {len(outputs)} rows of outputs for a batch of {len(photos)} photos")
    return outputs


def _check_logits(outputs: Tensor) -> None:
    sums = outputs.double().sum(1)
    if bool((outputs >= 0).all() and ((sums - 1).abs() <= _SUM_TOLERANCE).all()):
        raise _error(
            "the network returns probabilities, whose sum is 1, not logits; their softmax would be nearly the same for "
            "all classes: remove the softmax at its end, or return the logarithm, F.log_softmax"
        )


def _ends_in_sigmoid(network: nn.Module, photos: Tensor) -> bool:
    """Return whether the last operation of a network is a sigmoid; others only change the shape of its result."""
    with torch.enable_grad():
        node = network(photos.clone()).grad_fn
    while node is not None and _SHAPE_CHANGES.search(node.name()):
        node = node.next_functions[0][0]
    return node is not None and node.name().lower().startswith(("sigmoid", "hardsigmoid"))


def _hidden_parts(network: nn.Module) -> list[str]:
    """Return the names of layers and parameters that a network has in collections of Python alone."""
    known, found = set(map(id, network.parameters())), []
    for prefix, module in network.named_modules():
        for name, value in vars(module).items():
            if name.startswith("_") or not isinstance(value, list | tuple | dict):
                continue
            for key, part in value.items() if isinstance(value, dict) else enumerate(value):
                parameters = part.parameters() if isinstance(part, nn.Module) else [part]
                if any(isinstance(each, nn.Parameter) and id(each) not in known for each in parameters):
                    found.append(f"{prefix}.{name}[{key!r}]".lstrip("."))
    return found


def _run(network: nn.Module, model: Model, photos: Tensor) -> Tensor:
    set_weights(network, model.tensors)  # the forward pass may update buffers
    with torch.no_grad():
        logits: Tensor = network(photos.clone())
    return logits


def _check_same(expected: Tensor, actual: Tensor, cause: str) -> None:
    if not same_outputs(expected, actual):
        raise _error(
            "the network does not give the same outputs twice for one photo: they differ by "
            f"{relative_difference(expected, actual):.2%} of the largest; {cause}"
        )


def _error(problem: str) -> ConfigError:
    return ConfigError(problem, key="model")


def _random_states() -> tuple[object, ...]:
    numpy_state = pickle.dumps(np.random.get_state())  # noqa: NPY002  the generator that user code draws from
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), numpy_state
