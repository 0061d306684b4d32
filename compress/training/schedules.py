"""Learning rate schedules."""

from __future__ import annotations

import math


def cosine_schedule(step: int, steps: int, warmup_steps: float = 0.0) -> float:
    """Return the learning rate as a fraction of the maximum: a linear warmup, then a cosine down to zero.

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983 (cosine); Goyal et al. 2017, arXiv:1706.02677, section 2.2
    (warmup).
    """
    if step < warmup_steps:
        return (step + 1) / (math.floor(warmup_steps) + 1)
    progress = (step - warmup_steps) / max(steps - warmup_steps, 1)
    return (1 + math.cos(math.pi * progress)) / 2
