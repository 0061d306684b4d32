"""How the learning rate runs over a training."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["cosine", "polynomial", "constant"]


def rate_at(step: int, steps: int, schedule: Schedule, *, warmup: float, power: float) -> float:
    """Return the learning rate of a step in parts of the highest.

    Args:
        step: from 0.
        steps: of the whole training.
        schedule: how it falls to zero after the warm-up, if it does.
        warmup: steps over which it first rises in a straight line.
        power: of what is left of the training, for `polynomial`; 1 is a straight line.
    Source: Loshchilov & Hutter 2017, arXiv:1608.03983 (cosine); Iandola et al. 2016, arXiv:1602.07360, whose solver
    falls in a straight line; Goyal et al. 2017, arXiv:1706.02677, section 2.2 (warm-up).
    """
    if step < warmup:
        return (step + 1) / (math.floor(warmup) + 1)
    done = (step - warmup) / max(steps - warmup, 1)
    match schedule:
        case "cosine":
            return (1 + math.cos(math.pi * done)) / 2
        case "polynomial":
            return float((1 - done) ** power)
        case "constant":
            return 1.0
