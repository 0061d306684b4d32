"""A warning about labels whose classes may be in another order than the network's outputs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from compress.evaluation import metrics
from compress.evaluation.metrics import Outputs
from compress.evaluation.results import Interval

_MIN_CONFIDENCE = 0.5
"""Mean probability of the top-1 class from which a network is sure of its predictions."""

_MARGIN = 0.05
"""Top-1 accuracies up to this far above chance are near it."""


def warn_of_other_order(outputs: Outputs) -> None:
    """Log a warning if a network is sure of its predictions, but not with these labels.

    Top-1 accuracy is then near chance, or much lower than with another usual order of the classes.
    """
    accuracy = metrics.accuracy(outputs)
    if accuracy is None:
        return
    confidence = float(metrics.probabilities(outputs.logits).max(axis=1).mean())
    if confidence <= max(accuracy.top1.high, _MIN_CONFIDENCE):
        return
    chance = 1 / outputs.logits.shape[1]
    near_chance = f", near chance ({chance:.1%})" if accuracy.top1.value <= chance + _MARGIN else ""
    better = _better_order(outputs, accuracy.top1)
    if near_chance or better:
        logging.getLogger(__name__).warning(
            "top-1 is %.1f%%%s, but the network gives its predictions %.0f%% on average: the labels may be in another "
            "order than the network's classes, or the preprocessing may be wrong%s",
            accuracy.top1.value * 100,
            near_chance,
            confidence * 100,
            better,
        )


def _better_order(outputs: Outputs, top1: Interval) -> str:
    """Return the usual order with the highest accuracy, if its interval is above that of these labels."""
    assert outputs.labels is not None  # there is an accuracy
    values = []
    for reason, labels in _usual_orders(outputs.labels, outputs.logits.shape[1]):
        other = metrics.accuracy(replace(outputs, labels=labels))
        if other and other.top1.low > top1.high:
            values.append((other.top1.value, reason))
    return "; top-1 would be {:.1%} if {}".format(*max(values)) if values else ""


def _usual_orders(labels: NDArray[np.int64], classes: int) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield usual orders of the classes: the mistake in words, and the labels in this order."""
    from_0, from_1 = (np.array(sorted(range(first, first + classes), key=str)) - first for first in (0, 1))
    as_text = "the numbers of the classes were sorted as text (0, 1, 10, 2), as torchvision does: take `labels: order`"
    as_numbers = "the names of the classes were sorted as numbers (1, 2, 10): name each class by its index, from 0"
    yield as_text, np.argsort(from_0)[labels]
    yield as_numbers, from_0[labels]
    yield as_numbers, from_1[labels]
    if labels.min() > 0:
        yield "classes were counted from 0: subtract 1 from each label", labels - 1
    if labels.max() < classes - 1:
        yield "class 0 of the network is an additional one: add 1 to each label", labels + 1
