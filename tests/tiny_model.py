"""Names and values of the weights of `tiny`, for tests of passes."""

from __future__ import annotations

import numpy as np

from compress.model import Model

WEIGHTS = ("0.weight", "2.weight", "4.weight")


def values(model: Model, name: str) -> np.ndarray:
    return model.tensors[name].to_dense()
