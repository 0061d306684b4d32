"""What earlier stages promised, checked after every later one."""

from __future__ import annotations

import numpy as np

from compress.errors import PassError
from compress.model import Model
from compress.tensors.forms import Dense, Pruned, Shared, Tensor


def check(before: Model, after: Model, stage: str, *, zeros: bool = True) -> None:
    """Check that a stage kept what the ones before it had reached.

    Args:
        before: the model that the stage was given.
        after: the model that it gave.
        stage: its name.
        zeros: whether zero weights had to stay zero.

    Raises:
        PassError: names the stage and the tensor that broke a promise.
    """
    if list(before.tensors) != list(after.tensors):
        raise PassError("the tensors of the network changed", stage=stage)
    moved = after.origin if after.origin is not before.origin else None
    for name, tensor in after.tensors.items():
        was = before.tensors[name]
        place = moved.tensors[name] if moved else was  # where its channels are now
        broken = _lost(was, place) or _broken(was, tensor, place if zeros else None)
        if broken:
            raise PassError(broken, stage=stage, tensor=name)


def _lost(before: Tensor, moved: Tensor) -> str | None:
    counts = [int(tensor.mask.sum()) for tensor in (before, moved) if isinstance(tensor, Pruned | Shared)]
    return (
        f"{counts[0]:,} kept weights became {counts[-1]:,} where its channels were moved"
        if len(set(counts)) > 1
        else None
    )


def _broken(before: Tensor, after: Tensor, zeros: Tensor | None) -> str | None:
    if before.shape != after.shape:
        return f"its shape {before.shape} became {after.shape}"
    values = after.to_dense()
    if not np.isfinite(values).all():
        return f"{int((~np.isfinite(values)).sum()):,} weights are not finite"
    of_weights = len(before.shape) > 1  # biases are never pruned: one on level 0 may go to another
    if of_weights and isinstance(zeros, Pruned | Shared) and values[~zeros.mask].any():
        return f"{int(np.count_nonzero(values[~zeros.mask])):,} pruned weights are no longer zero"
    if isinstance(before, Shared):
        if not isinstance(after, Shared):
            return "its weights are no longer shared"
        if len(after.codebook) > len(before.codebook):
            return f"its codebook grew from {len(before.codebook):,} to {len(after.codebook):,} values"
    if isinstance(before, Pruned) and isinstance(after, Dense):
        return "it was pruned, and its form no longer tells which weights are kept"
    if isinstance(before, Dense | Shared) and before.stored_as == "float16" and _precision(after) == "float32":
        return "its precision in the file grew from float16 to float32"
    return None


def _precision(tensor: Tensor) -> str:
    return "float32" if isinstance(tensor, Pruned) else tensor.stored_as
