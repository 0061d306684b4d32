"""The error of a network's outputs, as losses and statistics measure it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from compress.calibration.layer_sensitivity import divergence
from compress.errors import DataError


@dataclass(frozen=True)
class OutputError:
    """How far outputs are from the float network's, in shape (photos, channels) or (photos, channels, positions).

    Attributes:
        variance: of the float network's outputs, which are values, see `output_variance`; None: they are logits.
    """

    variance: float | None = None

    def __call__(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """Return the mean error over a batch: the divergence, or the squared error of values over their variance."""
        if self.variance is not None:
            return (outputs - reference).square().mean() / self.variance
        return divergence(outputs, reference)

    def directions(self, outputs: Tensor, noise: Tensor) -> Tensor:
        """Return random directions of the outputs, whose covariance is the Hessian of the error of one photo.

        Of logits it is the Fisher information of the softmax, diag(p) - p p^T, independent at each position; of values
        twice the identity matrix over variance and number of values: Gauss-Newton.

        Args:
            outputs: of the float network.
            noise: standard normal numbers in their shape.
        """
        noise, values = noise.to(outputs), outputs[0].numel()
        if self.variance is not None:
            return noise * math.sqrt(2 / (self.variance * values))
        probabilities = outputs.detach().softmax(1)
        drawn = noise * probabilities.sqrt()
        return (drawn - probabilities * drawn.sum(1, keepdim=True)) / math.sqrt(values / outputs.shape[1])


def output_variance(outputs: NDArray[np.float32]) -> float:
    """Return the variance of each channel of a network's outputs over photos and positions, the mean over channels.

    Args:
        outputs: shape (photos, channels) or (photos, channels, positions).
    Raises:
        DataError: the outputs are the same everywhere.
    """
    variance = float(np.mean([outputs[:, channel].var(dtype=np.float64) for channel in range(outputs.shape[1])]))
    if not variance > 0:
        raise DataError(
            f"the compared values are the same for all of {len(outputs):,} photos, so that an error relative to their "
            "variance is unknown; give more photos, or name another output (`model.outputs`)"
        )
    return variance
