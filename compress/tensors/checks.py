"""Checks of weights that passes share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.errors import PassError


def check_finite(values: NDArray[np.float32], tensor: str) -> None:
    """Raise a PassError where a weight of the named tensor is NaN or infinite."""
    if bad := np.count_nonzero(~np.isfinite(values)):
        raise PassError(f"{bad:,} weights are not finite (NaN or infinity)", tensor=tensor)
