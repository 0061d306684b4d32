"""What a comparison of two models tells: the content of the JSON file that `compare --json` writes.

Units are in the names; fractions run from 0 to 1. A field that is added, changes its meaning, or goes, raises
`SCHEMA_VERSION`.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from compress.evaluation.results import Accuracy, GoalRecord, Interval

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Side:
    """One of the two models.

    Attributes:
        name: its path as it was given, or `embedded`.
        architecture: its network.
        file_bytes: of the file on disk; of `embedded`, four for each weight.
        weights_sha256: of its float32 tensors, in order, little-endian.
        accuracy: None where the photos have no labels.
    """

    name: str
    architecture: str
    file_bytes: int
    weights_sha256: str
    accuracy: Accuracy | None


@dataclass(frozen=True)
class PairedHits:
    """Who is right where, of the first class or of the first five.

    Attributes:
        right_only_a: photos that only A gets right.
        right_only_b: photos that only B gets right.
        difference: B's share of right photos less A's, -1 to 1; bootstrap interval, paired over photos.
        chance: McNemar's exact test of the two counts, p.
    """

    right_only_a: int
    right_only_b: int
    difference: Interval
    chance: float


@dataclass(frozen=True)
class Answer:
    """The likeliest class of a photo: its index, its name and its probability."""

    index: int
    name: str
    probability: float


@dataclass(frozen=True)
class PhotoAnswers:
    """What the two say of a photo.

    Attributes:
        photo: where it came from.
        label: index of its class; None where it has none.
        label_name: name of that class; None where it has none.
        divergence_nats: Kullback-Leibler divergence of B's softmax from A's.
    """

    photo: str
    label: int | None
    label_name: str | None
    divergence_nats: float
    a: Answer
    b: Answer


@dataclass(frozen=True)
class Comparison:
    """What tells two models apart. A is what B is measured against.

    Attributes:
        same_weights: whether they decode to the same weights, bit for bit.
        same_preprocessing: whether photos are prepared for both alike; else each sees them in its own way.
        class_names_apart: indices of the classes that both name, and otherwise.
        data: what the photos are, in a sentence.
        skipped: photos that could not be read, with the reason.
        top1: None without labels, as `top5` is.
        agreement: share of photos with the same first class; Wilson interval.
        divergence_nats: mean Kullback-Leibler divergence of B's softmax from A's; normal interval.
        photos: every photo, the most divergent first.
        goals: what was demanded of B beside A, and whether it was met.
    """

    schema_version: int
    a: Side
    b: Side
    same_weights: bool
    same_preprocessing: bool
    class_names_apart: tuple[int, ...]
    data: str
    skipped: tuple[str, ...]
    top1: PairedHits | None
    top5: PairedHits | None
    agreement: Interval
    divergence_nats: Interval
    photos: tuple[PhotoAnswers, ...]
    goals: tuple[GoalRecord, ...]

    @property
    def differing(self) -> tuple[PhotoAnswers, ...]:
        """The photos of which the two say different classes, the most divergent first."""
        return tuple(photo for photo in self.photos if photo.a.index != photo.b.index)

    @property
    def goal_met(self) -> bool:
        """Whether all that was demanded of B was met."""
        return all(goal.met for goal in self.goals)

    def to_json(self) -> str:
        """Return all of it for programs: the fields as they are here, two spaces of indent, a final newline."""
        return json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False) + "\n"
