"""Outputs of networks on photos: accuracy on labeled ones, and fidelity to the float network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.calibration.output_error import output_variance
from compress.calibration.photo_batches import network_inputs
from compress.data.photos import Photos
from compress.errors import DataError
from compress.evaluation.intervals import normal_interval, paired_counts, wilson_interval
from compress.evaluation.results import Accuracy, Fidelity, Interval, PhotoOutcomes, Prediction, significant
from compress.model import Preprocessing
from compress.networks.compared_output import OutputKind
from compress.networks.output_checks import infinite_problem
from compress.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from compress.runtime.progress import Progress

_BATCH_SIZE = 10
"""Photos that the network sees together. The activations of more leave the cache of a processor."""

_BEST_CLASSES = 5


@dataclass(frozen=True, eq=False)
class Outputs:
    """Outputs of a network on photos.

    Attributes:
        logits: float32, shape (photos, classes), of maps (photos, classes, positions); or values in the same shapes.
        labels: int64, shape (photos,), or None.
        kind: what `logits` are.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    kind: OutputKind = "distribution"

    @property
    def is_classes(self) -> bool:
        """Whether there is one distribution for each photo."""
        return self.kind == "distribution" and self.logits.ndim == 2

    def correct(self, k: int) -> NDArray[np.bool_]:
        """Return for each photo whether its label is among the `k` largest logits; ties go to the first class."""
        return self.label_ranks(k) > 0

    def label_ranks(self, k: int) -> NDArray[np.int64]:
        """Return for each photo the place of its label among the `k` largest logits, from 1; 0: it is not there."""
        assert self.labels is not None
        best = np.argsort(-self.logits, axis=1, kind="stable")[:, :k]
        found = best == self.labels[:, None]
        return np.where(found.any(axis=1), found.argmax(axis=1) + 1, 0)


def run(
    network: nn.Module,
    photos: Photos,
    preprocessing: Preprocessing,
    progress: Progress,
    processes: ProcessGroup = SINGLE_PROCESS,
    kind: OutputKind = "distribution",
) -> Outputs:
    """Return a network's outputs of this kind on photos. Each process runs its shard and gets the outputs of all.

    Raises:
        DataError: there are no photos, the network fails on some, or an output is not finite.
    """
    if not len(photos):
        raise DataError("validation needs at least one photo")
    device = next(network.parameters()).device
    outputs = []
    with torch.no_grad(), progress("validating", len(photos)) as advance:
        for start in range(processes.rank * _BATCH_SIZE, len(photos), processes.world_size * _BATCH_SIZE):
            pixels = photos.at(slice(start, start + _BATCH_SIZE))
            inputs = network_inputs(pixels, preprocessing, device)
            outputs.append(_outputs(network, inputs, photos.names[start : start + 1]).float().cpu().numpy())
            advance(len(pixels))
    logits = np.concatenate(processes.gather_interleaved(outputs))
    if not np.isfinite(logits).all():
        raise DataError(f"the network's output is not finite: {infinite_problem(torch.from_numpy(logits))}")
    return Outputs(logits, photos.labels, kind)


def _outputs(network: nn.Module, inputs: Tensor, first: Sequence[str]) -> Tensor:
    try:
        outputs: Tensor = network(inputs)
    except Exception as error:  # the network may be the user's code
        where = f"{len(inputs)} photos" + "".join(f", the first of them {name}" for name in first)
        raise DataError(f"the network fails on {where}: {type(error).__name__}: {error}") from error
    return outputs


def accuracy(outputs: Outputs) -> Accuracy | None:
    """Return top-1 and top-5 with Wilson intervals; None without labels."""
    if outputs.labels is None:
        return None
    return Accuracy(len(outputs.logits), wilson_interval(outputs.correct(1)), wilson_interval(outputs.correct(5)))


def fidelity(outputs: Outputs, reference: Outputs) -> Fidelity:
    """Return how well a network's outputs agree with the reference's, on the same photos."""
    error = normal_interval(errors(outputs, reference))
    error = replace(error, low=max(error.low, 0.0))  # the normal distribution has no such limit
    photos = len(outputs.logits)
    if outputs.kind == "values":
        return Fidelity(photos, None, None, None, None, relative_mse=error)
    agree = outputs.logits.argmax(1) == reference.logits.argmax(1)
    if not outputs.is_classes:
        return Fidelity(photos, _fraction_interval(agree.mean(1)), error, None, None)
    before = after = None
    if outputs.labels is not None:
        before, after = paired_counts(outputs.correct(1), reference.correct(1))
    return Fidelity(photos, wilson_interval(agree), error, before, after)


def _fraction_interval(fractions: NDArray[np.float64]) -> Interval:
    """Return the mean of fractions, one for each photo, with its normal interval."""
    interval = normal_interval(fractions)
    return replace(interval, low=max(interval.low, 0.0), high=min(interval.high, 1.0))


def photo_outcomes(outputs: Outputs, reference: Outputs) -> PhotoOutcomes | None:
    """Return a classifier's result on each photo; `reference` are the float network's outputs."""
    if not outputs.is_classes:
        return None
    return PhotoOutcomes(
        top1_classes=tuple(outputs.logits.argmax(1).tolist()),
        label_ranks=None if outputs.labels is None else tuple(outputs.label_ranks(_BEST_CLASSES).tolist()),
        divergences_nats=tuple(map(significant, divergences(outputs, reference).tolist())),
    )


def errors(outputs: Outputs, reference: Outputs) -> NDArray[np.float64]:
    """Return each photo's error, shape (photos,): its divergence, or the squared error of its values.

    Raises:
        DataError: the reference's values are the same for all photos.
    """
    if outputs.kind == "distribution":
        return divergences(outputs, reference)
    squares = [np.square(a - b, dtype=np.float64).mean() for a, b in zip(outputs.logits, reference.logits, strict=True)]
    return np.array(squares) / output_variance(reference.logits)


def divergences(outputs: Outputs, reference: Outputs) -> NDArray[np.float64]:
    """Return each photo's Kullback-Leibler divergence of the softmax from the reference's, nats, shape (photos,).

    It is the mean over the positions of a map.
    """
    if outputs.logits.ndim == 3:
        maps = zip(outputs.logits, reference.logits, strict=True)
        return np.array([_divergences(actual.T, expected.T).mean() for actual, expected in maps])
    return _divergences(outputs.logits, reference.logits)


def _divergences(logits: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.float64]:
    from scipy.special import log_softmax  # noqa: PLC0415  slow to import

    expected = log_softmax(reference.astype(np.float64), axis=1)
    actual = log_softmax(logits.astype(np.float64), axis=1)
    divergence: NDArray[np.float64] = np.maximum((np.exp(expected) * (expected - actual)).sum(axis=1), 0.0)
    return divergence


def probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the softmax over the last axis, the classes."""
    softmax: NDArray[np.float64] = torch.from_numpy(logits.astype(np.float64)).softmax(-1).numpy()
    return softmax


def predictions(logits: NDArray[np.float32], names: Sequence[str], k: int) -> tuple[Prediction, ...]:
    """Return the `k` most probable classes of one photo, best first; of equal ones, the first class first.

    Args:
        logits: shape (classes,).
        names: of the classes.
        k: number of classes.
    """
    of_classes = probabilities(logits)
    best = np.argsort(-logits, kind="stable")[:k].tolist()
    return tuple(Prediction(index, names[index], float(of_classes[index])) for index in best)
