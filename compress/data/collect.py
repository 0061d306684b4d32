"""From entries to photos: decoded, counted and named."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compress.data.decoded_cache import Decoded, decoded_in
from compress.data.decoding import Entry, Progress, decode, pixel_shape
from compress.data.photos import Photos
from compress.errors import DataError
from compress.model import Preprocessing

NAMED_IN_ERROR = 5


def collect(
    entries: Sequence[Entry],
    kind: str,
    preprocessing: Preprocessing,
    *,
    max_unreadable: float = 0.0,
    store: Path | None = None,
    progress: Progress | None = None,
) -> Photos:
    """Read photos, in the order given.

    Args:
        entries: what to read; at least one.
        kind: what they are, for a person; follows the count in the description.
        preprocessing: the size and shape that they get.
        max_unreadable: fraction of the photos that may be skipped because they cannot be read.
        store: folder that keeps the pixels, which are then a memory map; None keeps them in memory.
        progress: told of each photo that is decoded; not called where the store has them.
    Raises:
        DataError: too many photos cannot be read, or the store cannot be written.
    """
    if store is None:
        decoded = _decoded_in_memory(entries, preprocessing, progress)
    else:
        decoded = decoded_in(store, entries, preprocessing, progress)
    skipped = tuple(f"{entries[index].name}: {reason}" for index, reason in decoded.skipped.items())
    _check_unreadable(skipped, len(entries), max_unreadable)
    kept = [entry for index, entry in enumerate(entries) if index not in decoded.skipped]
    labels = None if kept[0].label is None else np.array([entry.label for entry in kept], np.int64)
    weights = _sample_weights(kept)
    return Photos(
        pixels=decoded.pixels,
        labels=labels,
        names=tuple(entry.name for entry in kept),
        description=f"{len(kept):,} {kind}",
        fingerprint=_fingerprint(decoded.digest, labels, weights),
        skipped=skipped,
        sample_weights=weights,
    )


def _decoded_in_memory(entries: Sequence[Entry], preprocessing: Preprocessing, progress: Progress | None) -> Decoded:
    stream = io.BytesIO()
    digest, skipped = decode(entries, preprocessing, stream, progress)
    pixels = np.frombuffer(stream.getbuffer(), np.uint8).reshape(-1, *pixel_shape(preprocessing))
    pixels.setflags(write=False)
    return Decoded(pixels, digest, skipped)


def _check_unreadable(skipped: Sequence[str], photos: int, max_unreadable: float) -> None:
    if len(skipped) <= max_unreadable * photos and len(skipped) < photos:
        return
    shown = "".join(f"\n  {name}" for name in skipped[:NAMED_IN_ERROR])
    more = f"\n  and {len(skipped) - NAMED_IN_ERROR:,} more" if len(skipped) > NAMED_IN_ERROR else ""
    raise DataError(
        f"{len(skipped):,} of {photos:,} photos cannot be read, and at most {max_unreadable:.0%} may be skipped"
        f" (max_unreadable); repair or remove:{shown}{more}"
    )


def _sample_weights(entries: Sequence[Entry]) -> NDArray[np.float64] | None:
    weights = np.array([entry.weight for entry in entries])
    return None if np.ptp(weights) == 0 else weights / weights.mean()


def _fingerprint(pixels_digest: str, labels: NDArray[np.int64] | None, weights: NDArray[np.float64] | None) -> str:
    label_bytes = b"no labels" if labels is None else labels.astype("<i8").tobytes()
    weight_bytes = b"" if weights is None else weights.astype("<f8").tobytes()
    return hashlib.sha256(pixels_digest.encode() + label_bytes + weight_bytes).hexdigest()
