"""From a photo to pixels to the input of a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from compress.errors import DataError
from compress.model import Preprocessing

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""What a photo may be. Others are refused by content: Pillow would start another program for some (EPS)."""

WHITE = (255, 255, 255, 255)


def read_photo(path: Path) -> Image.Image:
    """Read a photo: upright as its EXIF orientation says, in RGB; the first frame of an animation.

    Args:
        path: a file in one of `FORMATS`.
    Raises:
        DataError: it cannot be read, or is so large that Pillow takes it for an attack; the message is the reason.
    """
    try:
        with Image.open(path, formats=FORMATS) as photo:
            return _in_colour(ImageOps.exif_transpose(photo))
    except UnidentifiedImageError:
        raise DataError(f"not a photo ({', '.join(FORMATS)})") from None
    except OSError as error:
        raise DataError(error.strerror or str(error)) from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders let all kinds of errors out when a file is broken
        raise DataError(f"{type(error).__name__}: {error}") from error


def _in_colour(photo: Image.Image) -> Image.Image:
    """Convert any mode to RGB; what is transparent becomes white, 16 bits become 8."""
    if photo.mode.startswith("I"):  # Pillow would clip every value above 255
        photo = Image.fromarray((np.clip(np.asarray(photo), 0, 65_535) >> 8).astype(np.uint8))
    if photo.has_transparency_data:
        photo = photo.convert("RGBA")
        photo = Image.alpha_composite(Image.new("RGBA", photo.size, WHITE), photo)
    return photo.convert("RGB")


def to_pixels(photo: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Resize and crop a photo as a network wants it.

    Bilinear with Pillow's antialiasing; `crop` gives the same pixels as torchvision's Resize and CenterCrop.

    Args:
        photo: RGB or grey.
        preprocessing: its size, `resize`, `short_side` and whether it is grey.
    Returns:
        shape (height, width, channels), RGB or grey; the order of channels is left to `to_input`.
    Raises:
        DataError: so narrow that resizing its short side would make it huge.
    """
    photo = photo.convert("L" if preprocessing.channels == "L" else "RGB")
    height, width = preprocessing.height, preprocessing.width
    if preprocessing.resize == "squash":
        photo = photo.resize((width, height), Image.Resampling.BILINEAR)
    else:
        photo = _crop_centre(_resize_short_side(photo, preprocessing.short_side), width, height)
    return np.array(photo, np.uint8).reshape(height, width, -1)


def _resize_short_side(photo: Image.Image, short_side: int) -> Image.Image:
    short = min(photo.size)
    columns, rows = (short_side if side == short else int(short_side * side / short) for side in photo.size)
    if columns * rows > (Image.MAX_IMAGE_PIXELS or np.inf):
        raise DataError(f"too narrow: {photo.size[0]} x {photo.size[1]} pixels")
    return photo.resize((columns, rows), Image.Resampling.BILINEAR)


def _crop_centre(photo: Image.Image, width: int, height: int) -> Image.Image:
    left, top = round((photo.width - width) / 2), round((photo.height - height) / 2)
    return photo.crop((left, top, left + width, top + height))


def to_input(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Turn pixels into what a network takes: `(pixel * scale - mean) / deviation`, channels in its order.

    Args:
        pixels: shape (n, height, width, channels), RGB or grey, as `to_pixels` gives them.
        preprocessing: the network's.
    Returns:
        shape (n, channels, height, width), contiguous.
    """
    ordered = pixels[..., ::-1] if preprocessing.channels == "BGR" else pixels
    values = np.ascontiguousarray(ordered.transpose(0, 3, 1, 2), np.float32)
    values *= np.float32(preprocessing.scale)
    values -= _per_channel(preprocessing.mean)
    values /= _per_channel(preprocessing.deviation)
    return values


def _per_channel(values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)[:, None, None]
