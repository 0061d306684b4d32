"""Activations as ONNX operations of operator set 13, which has no Gelu, HardSwish, Mish and Swish."""

from __future__ import annotations

import math
from typing import Any

from compress.networks.activations import Activation

Step = tuple[str, list[Any], dict[str, Any]]
"""An operation, its inputs ("x", the number of an earlier step, or a float for a constant), and its attributes."""

_HARD_SIGMOID: Step = ("HardSigmoid", ["x"], {"alpha": 1 / 6, "beta": 0.5})
"""relu6(x + 3) / 6."""


def activation_steps(activation: Activation) -> list[Step]:
    """Return the operations of an activation; the last one gives its result."""
    steps: list[Step] = [] if activation.factor_before == 1 else [("Mul", ["x", activation.factor_before], {})]
    first = len(steps)

    def moved(each: object) -> object:
        if isinstance(each, int):
            return each + first
        return 0 if each == "x" and first else each

    steps += [(operation, list(map(moved, inputs)), options) for operation, inputs, options in _steps_of(activation)]
    if activation.factor_after != 1:
        steps.append(("Mul", [len(steps) - 1, activation.factor_after], {}))
    return steps


def _steps_of(activation: Activation) -> list[Step]:
    match activation.name:
        case "Clip":
            return [("Clip", ["x", *activation.numbers], {})]
        case "LeakyRelu" | "Elu":
            return [(activation.name, ["x"], {"alpha": activation.numbers[0]})]
        case "HardSigmoid":
            return [_HARD_SIGMOID]
        case "HardSwish":
            return [_HARD_SIGMOID, ("Mul", ["x", 0], {})]
        case "Swish":
            return [("Sigmoid", ["x"], {}), ("Mul", ["x", 0], {})]
        case "Gelu":  # x / 2 (1 + erf(x / sqrt(2)))
            half: Step = ("Mul", ["x", 0.5], {})
            return [
                ("Mul", ["x", math.sqrt(0.5)], {}), ("Erf", [0], {}), ("Add", [1, 1.0], {}), half, ("Mul", [2, 3], {}),
            ]  # fmt: skip
        case "GeluTanh":  # x sigmoid(sqrt(8 / pi) x (1 + 0.044715 x^2))
            return [
                ("Mul", ["x", "x"], {}), ("Mul", [0, 0.044715], {}), ("Add", [1, 1.0], {}), ("Mul", [2, "x"], {}),
                ("Mul", [3, math.sqrt(8 / math.pi)], {}), ("Sigmoid", [4], {}), ("Mul", ["x", 5], {}),
            ]  # fmt: skip
        case "Mish":
            return [("Softplus", ["x"], {}), ("Tanh", [0], {}), ("Mul", ["x", 1], {})]
    return [(activation.name, ["x"], {})]
