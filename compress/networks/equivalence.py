"""Whether two networks compute the same outputs."""

from __future__ import annotations

import torch
from torch import Tensor

TOLERANCE = 1e-4
"""Largest difference of two outputs, relative to the largest output: above the float32 rounding of deep networks."""


def same_outputs(expected: Tensor, actual: Tensor) -> bool:
    """Return whether two tensors of logits are equal within float32 rounding; NaN equals nothing."""
    return expected.shape == actual.shape and relative_difference(expected, actual) <= TOLERANCE


def relative_difference(expected: Tensor, actual: Tensor) -> float:
    """Return the largest difference of two tensors of one shape, relative to the largest value expected."""
    difference = float((actual.double() - expected.double()).abs().max())
    return difference / max(float(expected.abs().max()), torch.finfo(torch.float32).tiny)
