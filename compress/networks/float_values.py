"""Conversion of a tensor's values to float32, which a file stores."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from compress.errors import WeightsError

_MAX_EXACT_FLOAT64 = 1 << 53
"""Float64 represents all integers up to this one."""

_EXPECTED = "not a dense tensor of real numbers"

_OTHER_KINDS: Mapping[str, tuple[Callable[[torch.Tensor], bool], str]] = {
    "nested": (lambda tensor: tensor.is_nested, ""),
    "sparse": (lambda tensor: tensor.layout != torch.strided, "; convert it with to_dense()"),
    "complex": (
        lambda tensor: tensor.is_complex(),
        "; keep its parts, torch.view_as_real(tensor), and combine them in the forward pass",
    ),
    "quantized": (lambda tensor: tensor.is_quantized, "; convert it with dequantize()"),
    "meta": (lambda tensor: tensor.is_meta, "; it has no values: make it on the CPU"),
    "distributed": (lambda tensor: hasattr(tensor, "full_tensor"), "; save whole tensors, full_tensor()"),
}
"""Tensors that are not read: what tells them, and what to do."""


def to_float32(name: str, tensor: torch.Tensor) -> NDArray[np.float32]:
    """Return a tensor's values in float32, in row-major order. Whole numbers are exact, others rounded.

    Args:
        name: of the tensor, for errors.
        tensor: of any precision and memory layout.
    Raises:
        WeightsError: the values are not dense real numbers, or are whole numbers that float32 does not represent.
    """
    for kind, (applies, remedy) in _OTHER_KINDS.items():
        if applies(tensor):
            raise WeightsError(f"{name}: a {kind} tensor, {_EXPECTED}{remedy}")
    try:
        values = tensor.detach().cpu().resolve_neg().float()
    except RuntimeError as error:  # packed types, such as torch.int4, have no values
        raise WeightsError(f"{name}: a {tensor.dtype} tensor, {_EXPECTED}") from error
    check_whole_numbers(name, tensor)
    if tensor.dtype == torch.float64 and not torch.equal(values.isinf().cpu(), tensor.detach().cpu().isinf()):
        raise WeightsError(f"{name}: the value {float(tensor.abs().max()):.3g} is too large for float32")
    return values.contiguous().numpy()


def check_whole_numbers(name: str, tensor: torch.Tensor) -> None:
    """Check that float32 represents the whole numbers in a tensor of real numbers.

    Raises:
        WeightsError: it does not.
    """
    if tensor.dtype == torch.bool or (tensor.is_floating_point() and tensor.dtype != torch.float64):
        return
    values = tensor.detach().double()
    beyond = values.abs() >= _MAX_EXACT_FLOAT64
    whole = (values == values.round()) & ~beyond
    inexact = whole & (values.float().double() != values)
    if not tensor.is_floating_point():
        inexact |= beyond
    if inexact.any():
        value = int(values[inexact][0])
        raise WeightsError(f"{name}: the whole number {value:,} is not exact in float32, the precision of a file")
