"""Activations with options, in torch's layers and functions, for conversion to other forms."""

from __future__ import annotations

import builtins
import operator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import fx, nn

from compress.networks.operations import ACTIVATIONS, with_numbers

_CLAMPS = {"clamp", "clamp_", "clip", "clip_", torch.clamp, torch.clip}
_ABSOLUTES = {"abs", "abs_", torch.abs, operator.abs, builtins.abs}
_SELU_ALPHA, _SELU_FACTOR = 1.6732632423543772, 1.0507009873554805
"""Klambauer et al. 2017, arXiv:1706.02515, equation 14."""

ActivationName = Literal[
    "Relu", "Clip", "HardSwish", "HardSigmoid", "Sigmoid", "Swish", "Tanh", "LeakyRelu", "Elu", "Gelu", "GeluTanh",
    "Mish",
]  # fmt: skip


@dataclass(frozen=True)
class Activation:
    """An activation: factor_after * name(factor_before * x).

    Attributes:
        name: of the function.
        numbers: the slope below zero of `LeakyRelu`, alpha of `Elu`, the limits of `Clip`.
        factor_before: of its argument.
        factor_after: of its result.
    """

    name: ActivationName
    numbers: tuple[float, ...] = ()
    factor_before: float = 1.0
    factor_after: float = 1.0


def activation_of(node: fx.Node, module: nn.Module | None) -> Activation | None:
    """Return the activation that a node computes; None: it is another operation.

    Args:
        node: of a traced network.
        module: that it calls, or that computes the same as its function; None: there is none.
    """
    name: Any = ACTIVATIONS.get(node.target if module is None else type(module))
    if name == "Clip":
        return Activation("Clip", (0.0, 6.0))
    if name:
        return Activation(name)
    if module is None:
        return Activation("LeakyRelu", (-1.0,)) if node.target in _ABSOLUTES else _clamp_of(node)
    return _activation_of_module(module)


def _activation_of_module(module: nn.Module) -> Activation | None:
    match module:
        case nn.LeakyReLU():
            return Activation("LeakyRelu", (module.negative_slope,))
        case nn.RReLU(training=False):
            return Activation("LeakyRelu", ((module.lower + module.upper) / 2,))
        case nn.Hardtanh():
            return _clip(module.min_val, module.max_val)
        case nn.ELU():
            return Activation("Elu", (module.alpha,))
        case nn.SELU():
            return Activation("Elu", (_SELU_ALPHA,), 1.0, _SELU_FACTOR)
        case nn.CELU():
            return Activation("Elu", (1.0,), 1 / module.alpha, module.alpha)
        case nn.GELU(approximate="none"):
            return Activation("Gelu")
        case nn.GELU(approximate="tanh"):
            return Activation("GeluTanh")
        case nn.Mish():
            return Activation("Mish")
    return None


def _clamp_of(node: fx.Node) -> Activation | None:
    """Return the activation of a clamp to numbers."""
    if node.target not in _CLAMPS:
        return None
    limits: dict[str, Any] = dict(zip(("min", "max"), node.args[1:], strict=False)) | dict(node.kwargs)
    numbers = [with_numbers(limits.get(name)) for name in ("min", "max")]
    if any(isinstance(number, fx.Node | torch.Tensor) for number in numbers):
        return None
    return _clip(*numbers)


def _clip(minimum: float | None, maximum: float | None) -> Activation | None:
    if minimum == 0 and maximum in {None, float("inf")}:
        return Activation("Relu")
    largest = float(torch.finfo(torch.float32).max)
    lower, upper = -largest if minimum is None else float(minimum), largest if maximum is None else float(maximum)
    return Activation("Clip", (max(lower, -largest), min(upper, largest))) if lower <= upper else None
