"""The JSON that `compare --json` prints.

Fractions run from 0 to 1. Raise `COMPARISON_VERSION` when a field is added, is removed or changes its meaning.
"""

from __future__ import annotations

from dataclasses import dataclass

from compress.evaluation.results import Accuracy, GoalRecord, Interval, Prediction

COMPARISON_VERSION = 3


@dataclass(frozen=True)
class ComparedModel:
    """One of the two models.

    Attributes:
        name: path as given, or `embedded`.
        file_bytes: size on disk; for `embedded`, four bytes a weight.
        weights_sha256: hash of the float32 tensors, in file order, little-endian.
        accuracy: None without labels.
    """

    name: str
    architecture: str
    file_bytes: int
    weights_sha256: str
    accuracy: Accuracy | None


@dataclass(frozen=True)
class PairedAccuracy:
    """Top-1 or top-5 of both models on the same photos.

    Attributes:
        correct_only_a: photos that only A classifies correctly.
        correct_only_b: photos that only B classifies correctly.
        difference: accuracy of B minus A, -1 to 1; paired bootstrap interval.
        p_value: McNemar's exact test of the two counts.
    """

    correct_only_a: int
    correct_only_b: int
    difference: Interval
    p_value: float


@dataclass(frozen=True)
class PhotoPredictions:
    """Outputs of both models for one photo.

    Attributes:
        photo: origin of the photo.
        label: class index; None without labels.
        divergence_nats: Kullback-Leibler divergence of B's softmax from A's; None for values.
        a: prediction of A; None if the models are no classifiers.
        b: prediction of B, like `a`.
        relative_mse: squared error of B's values over the variance of A's on all photos; None for distributions.
    """

    photo: str
    label: int | None
    label_name: str | None
    divergence_nats: float | None
    a: Prediction | None
    b: Prediction | None
    relative_mse: float | None = None


@dataclass(frozen=True)
class ModelComparison:
    """Differences between two models; A is the reference for B.

    Attributes:
        same_weights: the decoded weights are equal bit for bit.
        same_preprocessing: if False, each model uses its own.
        differing_class_names: indices of classes that have two different names.
        data: description of the photos.
        skipped: unreadable photos, each with the reason.
        top1: None without labels, like `top5`.
        agreement: fraction of photos with the same top-1 class, Wilson interval; of maps, the mean fraction of
            positions, normal interval. None for values.
        divergence_nats: mean over the photos, of B from A; normal interval. None for values.
        photos: highest divergence or error first.
        goals: limits for B and their results.
        compared: the compared part of the outputs, in words; empty: the logits of classifiers.
        relative_mse: mean over the photos of the squared error of B's values, relative to the variance of A's; normal
            interval. None for distributions.
    """

    schema_version: int
    a: ComparedModel
    b: ComparedModel
    same_weights: bool
    same_preprocessing: bool
    differing_class_names: tuple[int, ...]
    data: str
    skipped: tuple[str, ...]
    top1: PairedAccuracy | None
    top5: PairedAccuracy | None
    agreement: Interval | None
    divergence_nats: Interval | None
    photos: tuple[PhotoPredictions, ...]
    goals: tuple[GoalRecord, ...]
    compared: str = ""
    relative_mse: Interval | None = None

    @property
    def differing(self) -> tuple[PhotoPredictions, ...]:
        """The photos with different top-1 classes."""
        return tuple(photo for photo in self.photos if photo.a and photo.b and photo.a.index != photo.b.index)
