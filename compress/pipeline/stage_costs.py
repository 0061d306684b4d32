"""What a stage costs, as a number of forward passes over single photos: a rough guess for runs without a record.

The factors are from the recorded times of the built-in pipelines on 2 cores, see `docs/results.md`.
"""

from __future__ import annotations

from compress.passes import Distill, Pass, Prune, Share, Train
from compress.passes.rate_distortion_pass import RateDistortionPass

_STATISTICS = 6
"""Statistics of a photo take as long as this many forward passes; those of each further augmentation, as 1."""

_TRAINING_STEP = 3
"""A training step takes one forward pass, and two for the gradients; `distill` runs the float network too."""


def photo_passes(pass_: Pass, photos: int) -> int:
    """Return about how many forward passes over single photos a pass takes.

    Args:
        pass_: with its options.
        photos: number of calibration photos.
    """
    match pass_:
        case Train():
            return _TRAINING_STEP * pass_.epochs * photos
        case Distill():
            return (_TRAINING_STEP + 1) * pass_.steps * pass_.batch
        case Prune():
            gathers = pass_.obs_update or pass_.criterion == "fisher"
            return _STATISTICS * min(pass_.statistics_photos or photos, photos) if gathers else 0
        case Share(lambda_=None, bytes=None, importance="none"):
            return 0
        case RateDistortionPass():
            used = min(pass_.statistics_photos or photos, photos)
            measured = min(pass_.sensitivity_photos, photos)
            return (_STATISTICS + pass_.augmentations - 1) * used + _STATISTICS * measured
    return 0
