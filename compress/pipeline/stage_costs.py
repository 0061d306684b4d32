"""Cost of a stage as a number of forward passes over single photos: a rough guess for runs without a record.

The factors are from the recorded times of the built-in pipelines on 2 cores, see `docs/results.md`.
"""

from __future__ import annotations

from compress.passes import Distill, Pass, Prune, Share, Train
from compress.passes.rate_distortion_pass import RateDistortionPass

_STATISTICS = 6
"""Statistics of a photo take as long as this many forward passes; each further augmentation takes 1."""

_TRAINING_STEP = 3
"""A training step takes one forward pass, and two for the gradients; `distill` runs the float network too."""


_WEIGHT_SECONDS = 1e-4
"""Time to derive the feedback of a weight, and to assign it some ten times, most of them along a coarse trellis."""


def weight_seconds(pass_: Pass, weights: int) -> float:
    """Return about how long a pass works on the weights of a network, besides photos."""
    return _WEIGHT_SECONDS * weights if isinstance(pass_, RateDistortionPass) and pass_.row_block_bytes else 0.0


def photo_passes(pass_: Pass, photos: int) -> int:
    """Return about how many forward passes over single photos a pass takes with this number of calibration photos."""
    match pass_:
        case Prune(row_block_bytes=None) | Share(row_block_bytes=None):
            return 0
        case Train():
            return _TRAINING_STEP * pass_.epochs * photos
        case Distill():
            return (_TRAINING_STEP + 1) * pass_.steps * pass_.batch
        case Prune():
            return _STATISTICS * min(pass_.statistics_photos or photos, photos)
        case RateDistortionPass():
            used = min(pass_.statistics_photos or photos, photos)
            measured = min(pass_.sensitivity_photos, photos)
            return (_STATISTICS + pass_.augmentations - 1) * used + _STATISTICS * measured
    return 0
