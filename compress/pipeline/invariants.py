"""Invariants between stages: pruned weights stay zero, codebooks do not grow, precision does not rise."""

from __future__ import annotations

import numpy as np

from compress.errors import PassError
from compress.model import Model
from compress.tensors.forms import Dense, Pruned, Shared, Tensor


def check_invariants(before: Model, after: Model, stage: str) -> None:
    """Check that a stage keeps the results of earlier stages.

    Raises:
        PassError: it does not; names the stage and the tensor.
    """
    if list(before.tensors) != list(after.tensors):
        raise PassError("the tensors of the network changed", stage=stage)
    # If the stage permuted channels, masks are compared in the new order.
    permuted = after.reference if after.reference is not before.reference else None
    for name, tensor in after.tensors.items():
        was = before.tensors[name]
        moved = permuted.tensors[name] if permuted else was
        violation = _mask_violation(was, moved) or _violation(was, tensor, moved)
        if violation:
            raise PassError(violation, stage=stage, tensor=name)


def _mask_violation(before: Tensor, moved: Tensor) -> str | None:
    counts = [int(tensor.mask.sum()) for tensor in (before, moved) if isinstance(tensor, Pruned | Shared)]
    if len(set(counts)) > 1:
        return f"{counts[0]:,} unpruned weights became {counts[-1]:,} when channels were permuted"
    return None


def _violation(before: Tensor, after: Tensor, moved: Tensor) -> str | None:
    if before.shape != after.shape:
        return f"its shape {before.shape} became {after.shape}"
    values = after.to_dense()
    if not np.isfinite(values).all():
        return f"{int((~np.isfinite(values)).sum()):,} weights are not finite"
    is_weight = len(before.shape) > 1  # biases are never pruned: a bias on level 0 may change
    if is_weight and values[~moved.mask].any():
        return f"{int(np.count_nonzero(values[~moved.mask])):,} pruned weights are no longer zero"
    if isinstance(before, Shared):
        if not isinstance(after, Shared):
            return "its weights are no longer shared"
        if len(after.codebook) > len(before.codebook):
            return f"its codebook grew from {len(before.codebook):,} to {len(after.codebook):,} values"
    if isinstance(before, Pruned) and isinstance(after, Dense):
        return "it lost the mask of its pruned weights"
    is_float32 = isinstance(after, Pruned) or after.stored_as == "float32"
    if isinstance(before, Dense | Shared) and before.stored_as == "float16" and is_float32:
        return "its precision in the file rose from float16 to float32"
    return None
