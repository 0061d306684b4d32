"""Networks that the user's code makes: their checkpoints, and the models of them."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from compress.errors import ConfigError, WeightsError
from compress.model import Model, Preprocessing, bias_name
from compress.networks.compared_output import LOGITS, ComparedOutput, OutputOptions, output_error, probe_output
from compress.networks.factory import NetworkFactory, wrapped_parts
from compress.networks.float_values import to_float32
from compress.networks.folding import fold_batch_norms
from compress.networks.layer_calls import COMPRESSIBLE, reached, record_calls, weight_matrices
from compress.networks.modules import check_shapes, returning, set_weights, stored_tensors, tied_names, zero_input
from compress.networks.output_checks import check_outputs
from compress.networks.program import network_program
from compress.tensors.forms import Dense
from compress.weights.checkpoint_file import Checkpoint
from compress.weights.state_dict_search import expected_tensors, find_state_dict

_MIN_CLASSES = 2
_OBSERVER = re.compile(r"activation_post_process|fake_quant|\b(min|max)_val$")
"""Part of the name of an observer's buffer, which is infinite before the first photo."""

_MAX_MESSAGE = 400
"""Characters that are shown of an error of the network's code, or of its arguments."""

_OTHER_PRECISION = re.compile("dtype|half|double|bfloat16", re.IGNORECASE)
"""Words in torch's message where tensors of two precisions meet."""


def load_checkpoint(
    network: nn.Module, checkpoint: Checkpoint, function: str, key: str | None = None, strict: bool = True
) -> tuple[str, ...]:
    """Set all tensors of the network that a function made; return notes for the report.

    Raises:
        ConfigError, WeightsError: as `find_state_dict`; WeightsError also if shapes differ, integers become others, or
            `strict` and a module has another extra state in the checkpoint.
    """
    if strict:
        _check_extra_states(network, checkpoint)
    state = find_state_dict(checkpoint, expected_tensors(network), key, strict)
    tensors = {name: Dense(array) for name, array in state.arrays.items()}
    check_shapes(tensors, network, f"{checkpoint.path}: not the weights of the network of {function}")
    set_weights(network, tensors)
    for name, tensor in stored_tensors(network).items():
        if problem := _infinite_problem(name, state.arrays[name], tensor):
            raise WeightsError(f"{checkpoint.path}: {problem}")
        if not tensor.is_floating_point() and not np.array_equal(tensor.float().numpy(), state.arrays[name]):
            raise WeightsError(f"{checkpoint.path}: {name} holds values that are not {tensor.dtype}, as in the network")
    return state.notes


def _check_extra_states(network: nn.Module, checkpoint: Checkpoint) -> None:
    """Check that the network has the extra states of the checkpoint: files hold tensors only."""
    for name, own in network.state_dict().items():
        found = [state for key, state in checkpoint.extra_states.items() if f".{key}".endswith(f".{name}")]
        if found and not isinstance(own, torch.Tensor) and repr(own) not in map(repr, found):
            raise WeightsError(
                f"{checkpoint.path}: the extra state {name} is {shorten(repr(found[0]), 80)}, that of the network "
                f"{shorten(repr(own), 80)}; files hold tensors only: let the function set it, or keep it in a buffer; "
                "in a pipeline, strict: false ignores it"
            )


def model_of(
    network: nn.Module, factory: NetworkFactory, preprocessing: Preprocessing, outputs: OutputOptions | None = None
) -> Model:
    """Return the model of a network that `factory.call` made, its batch norms folded if the factory says so.

    Args:
        network: is changed: it returns only the tensor that is compared.
        factory: made it.
        preprocessing: of its input.
        outputs: the part of its outputs to compare; None: the factory's.
    Raises:
        ConfigError: the network does not map photos of this preprocessing to logits, or to the outputs.
        WeightsError: batch norms cannot be folded, or a tensor cannot be stored as float32.
    """
    if factory.fold_batch_norm:
        fold_batch_norms(network)
    tensors = {name: _to_dense(name, tensor) for name, tensor in stored_tensors(network).items()}
    # The forward pass may change tensors, so their values are read before the probe, and set again after it.
    output, classes, weights = _probe(network, preprocessing, outputs or factory.outputs)
    set_weights(network, tensors)
    biases = {bias_name(name) for name in weights}
    uncompressed = frozenset(tensors.keys() - weights - biases)
    model = Model(
        replace(factory, tied=tied_names(network), wrapped=wrapped_parts(network), outputs=output).architecture,
        classes,
        preprocessing,
        tensors,
        program=network_program(network, preprocessing, output),
        uncompressed=uncompressed,
        trusted=True,
    )
    notes = check_outputs(returning(network, output), model, output.kind)
    return replace(model, notes=notes)


def _probe(
    network: nn.Module, preprocessing: Preprocessing, options: OutputOptions
) -> tuple[ComparedOutput, int, set[str]]:
    """Run the network on zeros; return its compared output, the number of classes, and the weights that it used."""
    pre = preprocessing
    try:
        with record_calls(network) as calls:
            outputs: Any = network(zero_input(pre))
    except Exception as error:  # the network is the user's code
        problem = f"the network does not accept photos of {pre.height} x {pre.width} pixels in {pre.channels}"
        raise ConfigError(f"{problem}: {_cause(network, error)}", key="model") from error
    output, logits = (LOGITS, _checked_logits(outputs)) if options == LOGITS else probe_output(outputs, options)
    called = {call.weight: call.layer.weight for call in calls}
    try:
        used = called.keys() if options == LOGITS else reached(called, logits)  # others may have their own weights
        weights = used | reached(weight_matrices(network), logits)
    except Exception:  # an operation without gradients, or a value that it needs was changed in place
        weights = set(called)
    if not weights:
        left = ", ".join(name for name, parameter in network.named_parameters() if parameter.dim() >= 2) or "none"
        raise ConfigError(
            f"no pass can compress a weight of this network; its matrices: {left}", key="model", allowed=COMPRESSIBLE
        )
    return output, logits.shape[1], weights


def _cause(network: nn.Module, error: Exception) -> str:
    """Return why a network fails on photos, with the remedy."""
    message = shorten(f"{type(error).__name__}: {error}", _MAX_MESSAGE)
    try:
        signature = inspect.signature(network.forward)
    except (TypeError, ValueError):  # not a function of Python
        return message
    arguments = (
        f"its forward takes {shorten(str(signature), _MAX_MESSAGE)}, and is called with the photos alone, by position; "
        "let your function return a module whose forward(self, photos) passes them on as the network needs them"
    )
    try:
        signature.bind(None)
    except TypeError:
        return arguments
    first = next(iter(signature.parameters.values()))
    if first.default is None and len(signature.parameters) > 1:  # as of a network for text or photos
        return f"{message}; {arguments}"
    if _OTHER_PRECISION.search(message):
        return f"{message}; its weights are float32 here, so its code must not convert to another precision"
    return message


def _checked_logits(outputs: Any) -> torch.Tensor:
    """Return the outputs of a network if they are logits for one photo."""
    if not isinstance(outputs, torch.Tensor) or outputs.dim() != 2 or len(outputs) != 1:
        result = f"a tensor of {tuple(outputs.shape)}" if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        raise output_error(f"the network returns {result} for one photo, expected logits (1, classes)", outputs)
    if not outputs.is_floating_point() or outputs.layout != torch.strided:
        kind = outputs.dtype if outputs.layout == torch.strided else outputs.layout
        raise output_error(f"the network returns a tensor of {kind}, expected logits: floating-point numbers", outputs)
    if outputs.shape[1] < _MIN_CLASSES:
        raise ConfigError(
            f"the network returns {outputs.shape[1]} logits for one photo, expected at least {_MIN_CLASSES}: the "
            "softmax of one logit is always 1, so no error in it can be measured; for a binary classifier, return two "
            "logits: torch.cat([torch.zeros_like(logit), logit], 1); for a regression: `outputs: {kind: values}`",
            key="model",
        )
    return outputs


def _to_dense(name: str, tensor: torch.Tensor) -> Dense:
    values = to_float32(name, tensor.detach().clone())  # an array of its own; the network may change its values or size
    if problem := _infinite_problem(name, values, tensor):
        raise WeightsError(problem)
    return Dense(values)


def _infinite_problem(name: str, values: NDArray[np.float32], tensor: torch.Tensor) -> str:
    """Return what is wrong with values of a tensor that are not finite, with the remedy; empty: all are finite."""
    infinite = values[~np.isfinite(values)]
    if not infinite.size:
        return ""
    is_mask = not isinstance(tensor, nn.Parameter) and bool(np.isneginf(infinite).all())
    remedy = "; register a mask of -inf with persistent=False, so that the function makes it" if is_mask else ""
    if _OBSERVER.search(name):
        remedy = "; return the float network, without the observers of torch.ao.quantization (prepare_qat, prepare_fx)"
    count = f"{infinite.size:,} of {values.size:,} are NaN or infinite"
    return f"{name}: values must be finite real numbers, and {count}{remedy}"
