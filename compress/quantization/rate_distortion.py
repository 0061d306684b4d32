"""The trade between file size and divergence: a choice minimizes divergence + lambda * bits."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

Lambda = Annotated[float, Field(ge=0, le=1)]
"""Lagrange multiplier, nats of divergence that one bit is worth: the larger, the smaller the file."""


def rate_costs(counts: NDArray[np.floating[Any]], lambda_: float) -> NDArray[np.float64]:
    """Return lambda times the ideal code length of each symbol, nats, for frequencies along the last dimension.

    All counts are above zero.
    """
    cost: NDArray[np.float64] = -lambda_ * np.log2(counts / counts.sum(-1, keepdims=True))
    return cost
