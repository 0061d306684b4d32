"""Published and measured files of SqueezeNet, to be drawn beside runs. `docs/results.md` has their origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compress.report.comparison.paired_runs import validation_fingerprint
from compress.report.record import RunRecord


@dataclass(frozen=True)
class PeerPoint:
    """A file of another coder.

    Attributes:
        top1_change: accuracy minus that of the float network, -1 to 1.
        divergence_nats: from the float network.
    """

    name: str
    file_bytes: int
    top1_change: float
    divergence_nats: float


@dataclass(frozen=True)
class PublishedSize:
    """A size that a paper gives, with the accuracy of the float network."""

    name: str
    file_bytes: int

    @property
    def amount(self) -> str:
        """The size as its paper gives it: `0.47 MB`."""
        return f"{self.file_bytes / 1e6:g} MB"


NNCODEC = (
    PeerPoint("qp \u221232", 733_320, 0.0, 0.02323),
    PeerPoint("qp \u221230", 645_100, -0.016, 0.06854),
    PeerPoint("qp \u221228", 585_052, -0.015, 0.1057),
    PeerPoint("qp \u221226", 503_426, -0.048, 0.2486),
)
"""NNCodec (ISO/IEC 15938-17) on SqueezeNet v1.1, as in `reports/rate-accuracy`, the largest file first."""

NNCODEC_PHOTOS = "0b9dd0056d216651e683e0c25a649ea09588072ab369e9e1ba887937e0967ffa"
"""Fingerprint of the 1,000 photos of ImageNet on which NNCodec was measured."""

DEEP_COMPRESSION = (
    PublishedSize("Deep Compression, 0.66 MB", 660_000),
    PublishedSize("Deep Compression, 0.47 MB", 470_000),
)
"""SqueezeNet v1.0 as its paper compressed it, to 8 and to 6 bits (arXiv:1602.07360, table 2)."""


@dataclass(frozen=True)
class Peers:
    """The peers of some runs.

    Attributes:
        points: of NNCodec; empty if no run compressed SqueezeNet v1.1 for ImageNet.
        same_photos: all runs were validated on the photos of `points`.
        sizes: of Deep Compression; empty if no run compressed a SqueezeNet for ImageNet.
    """

    points: tuple[PeerPoint, ...]
    same_photos: bool
    sizes: tuple[PublishedSize, ...]


def peers_of(records: Sequence[RunRecord]) -> Peers:
    """Return the peers of the networks that runs compressed."""
    networks = {record.network for record in records if record.is_imagenet_classifier}
    return Peers(
        points=NNCODEC if "squeezenet1_1" in networks else (),
        same_photos=all(validation_fingerprint(record) == NNCODEC_PHOTOS for record in records),
        sizes=DEEP_COMPRESSION if networks & {"squeezenet1_0", "squeezenet1_1"} else (),
    )
