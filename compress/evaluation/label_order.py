"""A warning about labels that may be of other classes than the network's outputs."""

from __future__ import annotations

import logging

from compress.evaluation import metrics
from compress.evaluation.metrics import Outputs

_MIN_CONFIDENCE = 0.5
"""Mean probability of the top-1 class from which a network is sure of its predictions."""

_MARGIN = 0.05
"""Top-1 accuracies up to this far above chance are near it."""


def warn_of_other_order(outputs: Outputs) -> None:
    """Log a warning if top-1 accuracy is near chance although the network is sure of its predictions."""
    accuracy = metrics.accuracy(outputs)
    if accuracy is None:
        return
    chance = 1 / outputs.logits.shape[1]
    confidence = float(metrics.probabilities(outputs.logits).max(axis=1).mean())
    if accuracy.top1.value <= chance + _MARGIN and confidence > max(accuracy.top1.high, _MIN_CONFIDENCE):
        logging.getLogger(__name__).warning(
            "top-1 is %.1f%%, near chance (%.1f%%), but the network gives its predictions %.0f%% on average: the "
            "labels may be in another order than the network's classes, or the preprocessing may be wrong",
            accuracy.top1.value * 100,
            chance * 100,
            confidence * 100,
        )
