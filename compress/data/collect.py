"""Photos of a source: listed, decoded and fingerprinted."""

from __future__ import annotations

import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compress.data.decoded_cache import cached_pixels
from compress.data.decoding import DecodedPhotos, PhotoEntry, decode, pixel_shape
from compress.data.photos import Photos, Role
from compress.errors import DataError
from compress.model import Preprocessing
from compress.runtime.progress import Progress, no_progress

_MAX_NAMED = 5
"""Unreadable photos that an error names."""


class PhotoList(NamedTuple):
    """Photos to decode.

    Attributes:
        entries: at least one.
        kind: what the photos are; the description is the count and this text.
        max_unreadable: fraction of the photos that may be unreadable; they are skipped.
    """

    entries: Sequence[PhotoEntry]
    kind: str
    max_unreadable: float = 0.0


class PhotoSource(ABC):
    """Base of the sources of photos. A source is a frozen dataclass of its options in the pipeline file."""

    @abstractmethod
    def list_photos(self, role: Role, classes: int) -> PhotoList:
        """Return the photos for a role, with labels from 0 to `classes` - 1 or without labels.

        Raises:
            ConfigError: an option is wrong for this role, or names a file that does not exist.
            DataError: there are no photos, or their labels do not fit the network.
        """

    def load(
        self,
        preprocessing: Preprocessing,
        role: Role,
        *,
        classes: int,
        cache: Path | None = None,
        progress: Progress = no_progress,
    ) -> Photos:
        """Load the photos for a network.

        Args:
            preprocessing: the network's.
            role: use of the photos.
            classes: number of classes of the network.
            cache: folder of decoded photos, which are read as a memory map; None: decode into memory.
            progress: counts decoded photos; not called if the cache has them.
        Raises:
            ConfigError: as `list_photos`.
            DataError: as `list_photos`; or too many photos cannot be read, or the cache cannot be written.
        """
        return collect(self.list_photos(role, classes), preprocessing, cache, progress)


def collect(listed: PhotoList, preprocessing: Preprocessing, cache: Path | None, progress: Progress) -> Photos:
    """Decode listed photos and keep their order. Arguments and errors as `PhotoSource.load`."""
    entries = listed.entries
    decoded = _decode_all(entries, preprocessing, cache, progress)
    skipped = tuple(f"{entries[index].name}: {reason}" for index, reason in decoded.skipped.items())
    _check_unreadable(skipped, len(entries), listed.max_unreadable)
    readable = [entry for index, entry in enumerate(entries) if index not in decoded.skipped]
    labels, weights = _labels(readable), _sample_weights(readable)
    return Photos(
        pixels=decoded.pixels,
        labels=labels,
        names=tuple(entry.name for entry in readable),
        description=f"{len(readable):,} {listed.kind}",
        fingerprint=_fingerprint(decoded.sha256, labels, weights),
        skipped=skipped,
        sample_weights=weights,
    )


def _decode_all(
    entries: Sequence[PhotoEntry], preprocessing: Preprocessing, cache: Path | None, progress: Progress
) -> DecodedPhotos:
    if cache is not None:
        return cached_pixels(cache, entries, preprocessing, progress)
    stream = io.BytesIO()
    sha256, skipped = decode(entries, preprocessing, stream, progress)
    pixels = np.frombuffer(stream.getbuffer(), np.uint8).reshape(-1, *pixel_shape(preprocessing))
    pixels.setflags(write=False)
    return DecodedPhotos(pixels, sha256, skipped)


def _check_unreadable(skipped: Sequence[str], photos: int, max_unreadable: float) -> None:
    if len(skipped) <= max_unreadable * photos and len(skipped) < photos:
        return
    named = "".join(f"\n  {name}" for name in skipped[:_MAX_NAMED])
    more = f"\n  and {len(skipped) - _MAX_NAMED:,} more" if len(skipped) > _MAX_NAMED else ""
    raise DataError(
        f"{len(skipped):,} of {photos:,} photos cannot be read, and max_unreadable allows {max_unreadable:.0%};"
        f" repair or remove these:{named}{more}"
    )


def _labels(entries: Sequence[PhotoEntry]) -> NDArray[np.int64] | None:
    return None if entries[0].label is None else np.array([entry.label for entry in entries], np.int64)


def _sample_weights(entries: Sequence[PhotoEntry]) -> NDArray[np.float64] | None:
    weights = np.array([entry.weight for entry in entries])
    return None if np.ptp(weights) == 0 else weights / weights.mean()


def _fingerprint(pixels_sha256: str, labels: NDArray[np.int64] | None, weights: NDArray[np.float64] | None) -> str:
    label_bytes = b"no labels" if labels is None else labels.astype("<i8").tobytes()
    weight_bytes = b"" if weights is None else weights.astype("<f8").tobytes()
    return hashlib.sha256(pixels_sha256.encode() + label_bytes + weight_bytes).hexdigest()
