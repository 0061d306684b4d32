"""The optimal brain surgeon update: unpruned weights compensate for pruned ones."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from compress.calibration.layer_statistics import LayerStatistics
from compress.quantization.regularization import regularized_hessians

_ROWS_TOGETHER = 32


def obs_update(
    weights: NDArray[np.float32],
    mask: NDArray[np.bool_],
    statistics: LayerStatistics,
    samples: int,
    *,
    is_classifier: bool,
) -> NDArray[np.float32]:
    """Return the weights whose unpruned ones compensate for the pruned ones of their row at the lowest cost.

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
    group_of_row, hessians = regularized_hessians(statistics, samples, is_classifier=is_classifier)

    def update_group(group: int, hessian: NDArray[np.float64]) -> None:
        rows = np.flatnonzero(group_of_row == group)
        for batch in np.array_split(rows, -(-len(rows) // _ROWS_TOGETHER)):
            updated[batch] = _solve(before[batch], masks[batch], hessian)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for start, matrices in hessians:
            deque(pool.map(update_group, range(start, start + len(matrices)), matrices), 0)  # raises errors
    return np.where(mask, updated.reshape(weights.shape), 0.0).astype(np.float32)


def _solve(before: NDArray[np.float64], mask: NDArray[np.bool_], hessian: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rows of minimal cost, shape (rows, columns), with zeros where pruned."""
    # Rows have different numbers of unpruned weights; equations x = 0 fill the systems of the shorter rows.
    size = int(mask.sum(1).max(initial=0))
    columns = np.argsort(~mask, axis=1, kind="stable")[:, :size]
    unpruned = np.take_along_axis(mask, columns, axis=1)
    system = np.where(
        unpruned[:, :, None] & unpruned[:, None, :], hessian[columns[:, :, None], columns[:, None, :]], 0.0
    )
    system += ~unpruned[:, :, None] * np.eye(size)
    right_side = np.where(unpruned, np.take_along_axis(before @ hessian, columns, axis=1), 0.0)
    factors = torch.linalg.cholesky(torch.from_numpy(system))
    solution = torch.cholesky_solve(torch.from_numpy(right_side[:, :, None]), factors)[:, :, 0].numpy()
    updated = np.zeros_like(before)
    np.put_along_axis(updated, columns, np.where(unpruned, solution, 0.0), axis=1)
    return updated
