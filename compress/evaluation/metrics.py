"""What a network is worth: accuracy where photos have labels, closeness to the float network always."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from scipy.stats import binomtest, bootstrap, norm
from torch import nn

from compress.data.batches import batches
from compress.data.photos import Photos
from compress.errors import DataError
from compress.evaluation.results import Accuracy, Fidelity, Interval
from compress.model import Preprocessing
from compress.runtime.distributed import ALONE, Ranks
from compress.runtime.progress import Progress

RESAMPLES = 9_999
"""Samples of a bootstrap interval."""

_BATCH = 50
_CONFIDENCE = 0.95
_RESAMPLED_AT_ONCE = 500


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a network said of the validation photos.

    Attributes:
        logits: float32, shape (photos, classes).
        labels: int64, shape (photos,), or None.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int64] | None

    def hits(self, first: int) -> NDArray[np.bool_]:
        """Return for each photo whether its label is among the `first` largest logits; of equal ones the first."""
        assert self.labels is not None
        best = np.argsort(-self.logits, axis=1, kind="stable")[:, :first]
        hits: NDArray[np.bool_] = (best == self.labels[:, None]).any(axis=1)
        return hits


def run(
    network: nn.Module, photos: Photos, preprocessing: Preprocessing, progress: Progress, ranks: Ranks = ALONE
) -> Outputs:
    """Run a network on photos.

    Args:
        network: in evaluation mode.
        photos: what to run it on, already at its size.
        preprocessing: the network's.
        progress: shows how far it is.
        ranks: processes that each run some of the photos; all return what all found.
    Raises:
        DataError: there are no photos, or an output is not finite.
    """
    if not len(photos):
        raise DataError("validation needs at least one photo")
    device = next(network.parameters()).device
    outputs = []
    with torch.inference_mode(), progress("validating", len(photos)) as advance:
        for pixels in batches(photos, preprocessing, _BATCH, ranks.number, ranks.count):
            inputs = torch.from_numpy(pixels).to(device, memory_format=torch.channels_last)
            outputs.append(network(inputs).float().cpu().numpy())
            advance(len(pixels))
    logits = np.concatenate(ranks.in_turn(outputs))
    if not np.isfinite(logits).all():
        raise DataError("the network's output is not finite; its weights are damaged")
    return Outputs(logits, photos.labels)


def accuracy(outputs: Outputs) -> Accuracy | None:
    """Return top-1 and top-5 with Wilson intervals, or None where there are no labels."""
    if outputs.labels is None:
        return None
    return Accuracy(len(outputs.logits), proportion(outputs.hits(1)), proportion(outputs.hits(5)))


def fidelity(outputs: Outputs, reference: Outputs) -> Fidelity:
    """Compare a network's outputs with the float network's, photo by photo."""
    agree = outputs.logits.argmax(1) == reference.logits.argmax(1)
    before = after = None
    if outputs.labels is not None:
        before, after = paired_counts(outputs.hits(1), reference.hits(1))
    divergence = mean(divergences(outputs, reference))
    return Fidelity(len(agree), proportion(agree), divergence, before, after)


def divergences(outputs: Outputs, reference: Outputs) -> NDArray[np.float64]:
    """Return each photo's Kullback-Leibler divergence of the softmax from the reference's, nats, shape (photos,)."""
    wanted = log_softmax(reference.logits.astype(np.float64), axis=1)
    got = log_softmax(outputs.logits.astype(np.float64), axis=1)
    divergence: NDArray[np.float64] = np.maximum((np.exp(wanted) * (wanted - got)).sum(axis=1), 0.0)
    return divergence


def proportion(hits: NDArray[np.bool_]) -> Interval:
    """Return a share with its 95% Wilson interval."""
    interval = binomtest(int(hits.sum()), len(hits)).proportion_ci(_CONFIDENCE, "wilson")
    return Interval(float(hits.mean()), float(interval.low), float(interval.high))


def mean(values: NDArray[np.float64]) -> Interval:
    """Return a mean with its 95% normal interval; of a single value, the value alone."""
    centre = float(values.mean())
    spread = float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    half = float(norm.ppf((1 + _CONFIDENCE) / 2)) * spread
    return Interval(centre, centre - half, centre + half)


def paired_counts(hits: NDArray[np.bool_], hits_before: NDArray[np.bool_]) -> tuple[int, int]:
    """Return how many photos are right only before, and how many only after; `hits` are those of the same photos."""
    return int((hits_before & ~hits).sum()), int((hits & ~hits_before).sum())


def bootstrap_interval(values: NDArray[np.float64], seed: int = 0) -> Interval:
    """Return a mean over photos with its 95% bootstrap interval; the mean alone where all are equal.

    Of the differences between two networks, photo by photo, it is the interval of the paired difference.

    Args:
        values: one for each photo, shape (photos,).
        seed: the same seed gives the same interval.
    Source: Efron 1987, "Better bootstrap confidence intervals" (BCa), as in scipy.
    """
    centre = float(values.mean())
    if np.ptp(values) == 0:
        return Interval(centre, centre, centre)
    interval = bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=_RESAMPLED_AT_ONCE,
        confidence_level=_CONFIDENCE,
        method="BCa",
        random_state=np.random.default_rng(seed),  # scipy 1.13 knows it by this name alone
    ).confidence_interval
    return Interval(centre, float(interval.low), float(interval.high))
