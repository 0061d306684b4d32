"""The result of a comparison of two models: the content of the JSON file that `compare --json` writes.

Units are in the field names; fractions run from 0 to 1. Raise `COMPARISON_VERSION` when a field is added, is removed or
changes its meaning.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from compress.evaluation.results import Accuracy, GoalRecord, Interval

COMPARISON_VERSION = 2


@dataclass(frozen=True)
class ComparedModel:
    """One of the two models.

    Attributes:
        name: path as given, or `embedded`.
        architecture: name of the network.
        file_bytes: size of the file on disk; for `embedded`, four bytes a weight.
        weights_sha256: hash of the float32 tensors, in file order, little-endian.
        accuracy: None if the photos have no labels.
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
        difference: accuracy of B minus accuracy of A, -1 to 1; bootstrap interval, paired over photos.
        p_value: McNemar's exact test of the two counts.
    """

    correct_only_a: int
    correct_only_b: int
    difference: Interval
    p_value: float


@dataclass(frozen=True)
class Prediction:
    """The class with the highest probability: index, name and probability."""

    index: int
    name: str
    probability: float


@dataclass(frozen=True)
class PhotoPredictions:
    """Predictions of both models for one photo.

    Attributes:
        photo: origin of the photo.
        label: index of its class; None without labels.
        label_name: name of that class; None without labels.
        divergence_nats: Kullback-Leibler divergence of B's softmax from A's.
    """

    photo: str
    label: int | None
    label_name: str | None
    divergence_nats: float
    a: Prediction
    b: Prediction


@dataclass(frozen=True)
class ModelComparison:
    """Differences between two models; A is the reference for B.

    Attributes:
        same_weights: whether the decoded weights are equal bit for bit.
        same_preprocessing: whether both use the same preprocessing; otherwise each uses its own.
        differing_class_names: indices of the classes for which both have names, and different ones.
        data: description of the photos.
        skipped: photos that could not be read, each with the reason.
        top1: None without labels, like `top5`.
        agreement: fraction of photos with the same top-1 class; Wilson interval.
        divergence_nats: mean Kullback-Leibler divergence of B's softmax from A's; normal interval.
        photos: all photos, highest divergence first.
        goals: limits for B and their results.
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
    agreement: Interval
    divergence_nats: Interval
    photos: tuple[PhotoPredictions, ...]
    goals: tuple[GoalRecord, ...]

    @property
    def differing(self) -> tuple[PhotoPredictions, ...]:
        """The photos with different top-1 classes, highest divergence first."""
        return tuple(photo for photo in self.photos if photo.a.index != photo.b.index)

    def to_json(self) -> str:
        """Return all fields as JSON: two spaces of indent, a final newline."""
        return json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False) + "\n"
