"""The validation photos whose answer changed, as thumbnails for the report."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from compress.data.photos import Photos
from compress.evaluation import metrics
from compress.evaluation.metrics import Outputs
from compress.report.record import MAX_CHANGED_PHOTOS, ChangedPhoto
from compress.runtime.file_names import escape_undecodable

_THUMBNAIL_PIXELS = 128
_JPEG_QUALITY = 75


def changed_photos(photos: Photos, before: Outputs, after: Outputs, names: Sequence[str]) -> tuple[ChangedPhoto, ...]:
    """Return the photos with another top-1 class after compression, the most certain answers first."""
    changed = np.flatnonzero(before.logits.argmax(1) != after.logits.argmax(1))
    certainty = sum(metrics.probabilities(each.logits[changed]).max(axis=1) for each in (before, after))
    most_certain = changed[np.argsort(-certainty, kind="stable")][:MAX_CHANGED_PHOTOS]
    return tuple(
        ChangedPhoto(
            photo=escape_undecodable(photos.names[index]),
            label=None if photos.labels is None else names[photos.labels[index]],
            before=metrics.predictions(before.logits[index], names, 1)[0],
            after=metrics.predictions(after.logits[index], names, 1)[0],
            thumbnail=_thumbnail(photos.pixels[index]),
        )
        for index in most_certain.tolist()
    )


def _thumbnail(pixels: NDArray[np.uint8]) -> str:
    """Return a photo, shape (height, width, 1 or 3), as a small JPEG in base64."""
    image = Image.fromarray(np.array(pixels).squeeze(axis=2) if pixels.shape[2] == 1 else np.array(pixels))
    image.thumbnail((_THUMBNAIL_PIXELS, _THUMBNAIL_PIXELS))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return base64.b64encode(data.getvalue()).decode()
