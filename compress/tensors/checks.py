"""TODO."""

from __future__ import annotations

import numpy as np

from compress.errors import PassError


def finite(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]], tensor: str) -> None:
    """Check that no weight is NaN or infinite.

    Raises:
        PassError: one is.
    """
    if not np.isfinite(values).all():
        raise PassError(f"{int((~np.isfinite(values)).sum())} weights are not finite", tensor=tensor)
