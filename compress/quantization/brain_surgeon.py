"""The optimal brain surgeon update: unpruned weights compensate for pruned ones."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from compress.calibration.layer_statistics import LayerStatistics
from compress.quantization.regularization import row_weight_and_damping


def obs_update(
    weights: NDArray[np.float32],
    mask: NDArray[np.bool_],
    statistics: LayerStatistics,
    samples: int,
    *,
    is_classifier: bool,
) -> NDArray[np.float32]:
    """Return weights in which the unpruned ones of each row compensate for its pruned ones at the lowest cost.

    Args:
        weights: shape (rows, ...).
        mask: the same shape; False for pruned weights.
        statistics: of the layer.
        samples: number of photos, times augmentations, of the statistics.
        is_classifier: the layer is the last one.
    Returns:
        the same shape, 0 where pruned.
    Source: Hassibi & Stork 1992, "Second order derivatives for network pruning: optimal brain surgeon", here for all
    weights of a row together.
    """
    before, masks = weights.reshape(len(weights), -1).astype(np.float64), mask.reshape(len(mask), -1)
    updated = np.zeros_like(before)
    row_weight, damping = row_weight_and_damping(statistics, samples, is_classifier=is_classifier)
    group_of_row = statistics.group_of_row(row_weight)

    def update_group(group: int, hessian: NDArray[np.float64]) -> None:
        rows = group_of_row == group
        updated[rows] = _solve(before[rows], masks[rows], hessian)

    statistics.for_each_row_hessian(update_group, row_weight, damping)
    return np.where(mask, updated.reshape(weights.shape), 0.0).astype(np.float32)


def _solve(before: NDArray[np.float64], mask: NDArray[np.bool_], hessian: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rows of minimal cost, shape (rows, columns), with zeros where pruned."""
    updated, right_side = np.zeros_like(before), before @ hessian
    for row in range(len(before)):  # each has equations of its own
        unpruned = np.flatnonzero(mask[row])
        factor = torch.linalg.cholesky(torch.from_numpy(hessian[np.ix_(unpruned, unpruned)]))
        right = torch.from_numpy(right_side[row, unpruned, None])
        updated[row, unpruned] = torch.cholesky_solve(right, factor)[:, 0].numpy()
    return updated
