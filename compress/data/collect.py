"""Photos of a source: listed, decoded and fingerprinted."""

from __future__ import annotations

import hashlib
import io
import math
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from compress.data.class_index import NetworkClasses
from compress.data.decoded_cache import cached_pixels, is_cached
from compress.data.decoding import DecodedPhotos, PhotoEntry, decode, pixel_shape
from compress.data.photos import Photos, Role
from compress.errors import DataError
from compress.model import Preprocessing
from compress.runtime.progress import Progress, no_progress

_MAX_BYTES_IN_MEMORY = 1_000_000_000
"""Limit of decoded photos without a cache. The 50,000 validation photos of ImageNet take 8 GB."""

_MAX_NAMED = 5
"""Number of unreadable photos that an error names."""


Limit = Annotated[int, Field(ge=1, strict=True)] | None
"""Maximum number of photos; None: no limit."""


class PhotoList(NamedTuple):
    """Photos to decode.

    Attributes:
        entries: at least one.
        kind: rest of the description, after the number of photos.
        max_unreadable: maximum fraction of unreadable photos, which are skipped.
        balance_classes: as in `Photos`.
        class_names: as in `Labels`, if all paths have the same.
    """

    entries: Sequence[PhotoEntry]
    kind: str
    max_unreadable: float = 0.0
    balance_classes: bool = False
    class_names: tuple[str, ...] = ()

    @property
    def labels(self) -> list[int | None] | None:
        """Class index of each photo; None: no labels."""
        return None if self.entries[0].label is None else [entry.label for entry in self.entries]

    def is_decoded(self, preprocessing: Preprocessing, cache: Path) -> bool:
        """Return whether `decode` finds the photos in the cache."""
        return is_cached(cache, self.entries, preprocessing)

    def decode(
        self, preprocessing: Preprocessing, cache: Path | None = None, progress: Progress = no_progress
    ) -> Photos:
        """Decode the photos for a network; see `PhotoSource.load`."""
        entries = self.entries
        if cache:
            decoded = cached_pixels(cache, entries, preprocessing, progress)
        else:
            decoded = _decode_without_cache(entries, preprocessing, progress)
        skipped = tuple(f"{entries[index].name}: {reason}" for index, reason in decoded.skipped.items())
        _check_unreadable(skipped, len(entries), self.max_unreadable)
        readable = [entry for index, entry in enumerate(entries) if index not in decoded.skipped]
        labels = None if self.labels is None else np.array([entry.label for entry in readable], np.int64)
        return Photos(
            decoded.pixels,
            labels,
            names=tuple(entry.name for entry in readable),
            description=f"{len(readable):,} {self.kind}",
            fingerprint=_fingerprint(decoded.sha256, labels),
            skipped=skipped,
            balance_classes=self.balance_classes,
        )


class PhotoSource(ABC):
    """Base of the sources of photos. A source is a frozen dataclass of its options in the pipeline file."""

    @abstractmethod
    def list_photos(self, role: Role, classes: NetworkClasses) -> PhotoList:
        """Return the photos of a role, with labels of these classes or without labels.

        Raises:
            ConfigError: an option is invalid for this role, or names a missing file.
            DataError: there are no photos, or their labels do not fit the network.
        """

    def load(
        self,
        preprocessing: Preprocessing,
        role: Role,
        *,
        classes: int,
        class_names: Sequence[str] = (),
        cache: Path | None = None,
        progress: Progress = no_progress,
    ) -> Photos:
        """Load and decode the photos for a network.

        Args:
            preprocessing: of the network.
            role: use of the photos.
            classes: number of classes of the network.
            class_names: of the network, in class order; empty: unknown.
            cache: folder of decoded photos, read as a memory map; None: decode into memory, or into a temporary file
                if they take more than 1 GB.
            progress: counts decoded photos.
        Raises:
            ConfigError: as `list_photos`.
            DataError: as `list_photos`; or too many photos cannot be read, or the cache cannot be written.
        """
        return self.list_photos(role, NetworkClasses(classes, class_names)).decode(preprocessing, cache, progress)


def _decode_without_cache(
    entries: Sequence[PhotoEntry], preprocessing: Preprocessing, progress: Progress
) -> DecodedPhotos:
    """Return the decoded photos, in memory; many photos as a memory map of a file that ends with it."""
    shape = pixel_shape(preprocessing)
    if len(entries) * math.prod(shape) <= _MAX_BYTES_IN_MEMORY:
        buffer = io.BytesIO()
        sha256, skipped = decode(entries, preprocessing, buffer, progress)
        pixels = np.frombuffer(buffer.getbuffer(), np.uint8).reshape(-1, *shape)
        pixels.setflags(write=False)
        return DecodedPhotos(pixels, sha256, skipped)
    with tempfile.TemporaryFile() as file:
        sha256, skipped = decode(entries, preprocessing, file, progress)
        file.flush()
        count = len(entries) - len(skipped)
        empty = np.zeros((0, *shape), np.uint8)  # which no file maps
        mapped: NDArray[np.uint8] = np.memmap(file, np.uint8, "r", shape=(count, *shape)) if count else empty
    return DecodedPhotos(mapped, sha256, skipped)


def _check_unreadable(skipped: Sequence[str], photos: int, max_unreadable: float) -> None:
    if len(skipped) <= max_unreadable * photos and len(skipped) < photos:
        return
    more = [f"and {len(skipped) - _MAX_NAMED:,} more"] if len(skipped) > _MAX_NAMED else []
    raise DataError(
        f"{len(skipped):,} of {photos:,} photos cannot be read, and max_unreadable allows {max_unreadable:.0%};"
        " repair or remove these:" + "".join(f"\n  {line}" for line in [*skipped[:_MAX_NAMED], *more])
    )


def _fingerprint(pixels_sha256: str, labels: NDArray[np.int64] | None) -> str:
    label_bytes = b"no labels" if labels is None else labels.astype("<i8").tobytes()
    return hashlib.sha256(pixels_sha256.encode() + label_bytes).hexdigest()
