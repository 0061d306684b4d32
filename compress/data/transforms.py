"""Preprocessing: photo files to pixels, pixels to network input."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError, features

from compress.errors import DataError
from compress.model import Preprocessing

_AVIF = ("AVIF",) if "avif" in features.modules and features.check("avif") else ()

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", *_AVIF)
"""Allowed formats, detected by content. Pillow would run another program for some others, such as EPS."""

_MIN_FLOAT_WHITE = 16
"""Minimum of the largest value of a float photo from 0 to 255. Smaller ones also occur in photos brighter than 1."""

_MIN_INTEGER_WHITE = 4096
"""Minimum of the largest value of a 16-bit photo. Cameras of 8, 10 or 12 bits also write such files."""

_MAX_16_BITS = 65_535

_DARK = f"0 to 65,535; with a maximum below {_MIN_INTEGER_WHITE:,}, the photo would be black or nearly black"

_TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BITS, _PHOTOMETRIC, _PLANES, _SAMPLE_FORMAT = 258, 262, 284, 339
"""Tags of TIFF."""

_ORIENTATION = 274
"""Tag of EXIF."""

_TURNS: Mapping[Any, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transpositions that turn a photo upright, by its orientation."""

_SEPARATE, _SIGNED = 2, 2
"""Values of the tags for planes and for the sample format."""

_WHITE = (255, 255, 255, 255)

_TRANSPARENT = "all pixels are transparent, and the photo would be white; save it without transparency"


# About damaged metadata, which no pixel depends on, and photos of many pixels; twice as many are an error.
warnings.filterwarnings("ignore", module=r"PIL\.")


def is_photo(path: Path) -> bool:
    """Return whether the content of a file begins as a photo does."""
    try:
        with _open(path):
            return True
    except Exception:  # as in `read_photo`
        return False


def read_photo(path: Path) -> Image.Image:
    """Read a photo, or the first frame of an animation, as RGB, upright by its EXIF orientation.

    Raises:
        DataError: the file cannot be read, or Pillow suspects a decompression bomb.
    """
    try:
        with _open(path) as photo:
            _check_layout(photo)
            white_is_0 = _tiff_tags(photo).get(_PHOTOMETRIC) == 0
            if not photo.mode.startswith("I") and _has_16_bits(photo):
                _check_brightness(photo)
            return _to_rgb(_upright(photo), white_is_0=white_is_0)
    except Image.DecompressionBombError:
        raise DataError(
            f"too large: a photo of more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels may be a decompression "
            "bomb; scale it down"
        ) from None
    except (DataError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise DataError(_unidentified(path)) from None
    except OSError as error:
        raise DataError(error.strerror or str(error)) from error
    except Exception as error:  # Pillow's decoders raise errors of many kinds for a damaged file
        raise DataError(f"{type(error).__name__}: {error}") from error


def _unidentified(path: Path) -> str:
    with path.open("rb") as stream:
        is_tiff = stream.read(4) in _TIFF_MAGICS
    if is_tiff:
        problem = "a damaged TIFF, or a kind that cannot be read, such as colors in floating point"
        return f"{problem}; save the photo with 8 bits"
    return f"not a photo ({', '.join(_FORMATS)})"


@contextmanager
def _open(path: Path) -> Iterator[Image.Image]:
    if path.exists() and not path.is_file():  # a named pipe would wait for a writer
        raise DataError("not a file")
    # Of a path, Pillow maps uncompressed TIFF files into memory, and mixes up the sides of those that it turns upright.
    with path.open("rb") as stream, Image.open(stream, formats=_FORMATS) as photo:
        yield photo


def _tiff_tags(photo: Image.Image) -> Mapping[int, Any]:
    """Return the tags of a TIFF file; none of other formats."""
    tags: Mapping[int, Any] = getattr(photo, "tag_v2", {})
    return tags


def _has_16_bits(photo: Image.Image) -> bool:
    """Return whether a file that is not decoded yet has values up to 65,535."""
    arguments = [tile[3] for tile in getattr(photo, "tile", ())]
    return any(";16" in str(each) or (photo.format == "PPM" and each[-1] == _MAX_16_BITS) for each in arguments)


def _upright(photo: Image.Image) -> Image.Image:
    """Turn a photo as its EXIF or XMP orientation says; damaged metadata say nothing."""
    photo.load()
    try:
        turn = _TURNS.get(photo.getexif().get(_ORIENTATION))
    except Exception:  # of many kinds
        return photo
    return photo if turn is None else photo.transpose(turn)


def _check_layout(photo: Image.Image) -> None:
    """Refuse TIFF files whose values Pillow misreads.

    Raises:
        DataError: the values are signed bytes, or 16 bits in uncompressed planes.
    """
    tags, tiles = _tiff_tags(photo), getattr(photo, "tile", ())
    if photo.mode == "L" and tags.get(_SAMPLE_FORMAT) == (_SIGNED,):
        raise DataError("TIFF of signed values with 8 bits; save the photo with unsigned ones")
    if tags.get(_PLANES) == _SEPARATE and 16 in tags.get(_BITS, ()) and any(tile[0] == "raw" for tile in tiles):
        raise DataError("TIFF of 16 bits in separate planes; save the photo with 8 bits")


def _to_rgb(photo: Image.Image, *, white_is_0: bool) -> Image.Image:
    """Convert any mode to RGB: transparent pixels to white, 16 bits and floats to 8 bits.

    With `white_is_0`, values of 16 bits and floats are inverted; Pillow inverts other values itself.

    Raises:
        DataError: no pixel is visible, or as `_to_bytes`.
    """
    if photo.mode == "F" or photo.mode.startswith("I"):  # Pillow would clip every value above 255
        values, transparent = np.asarray(photo), photo.info.get("transparency")
        gray = 255 - _to_bytes(values) if white_is_0 else _to_bytes(values)
        if (values == transparent).all():
            raise DataError(_TRANSPARENT)
        photo = Image.fromarray(np.where(values == transparent, np.uint8(255), gray))
    if photo.has_transparency_data:
        photo = photo.convert("RGBA")
        if photo.getchannel("A").getextrema() == (0, 0):  # programs that use no transparency may leave it at 0
            raise DataError(_TRANSPARENT)
        photo = Image.alpha_composite(Image.new("RGBA", photo.size, _WHITE), photo)
    return photo.convert("RGB")


def _to_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return gray values as bytes: 16-bit integers, or floats from 0 to 1 or from 0 to 255.

    Raises:
        DataError: the range of the values is another one, or leaves it open which range was meant.
    """
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        if low >= 0 and (high <= 1 or _MIN_FLOAT_WHITE <= high <= 255):
            return np.round(values * (255 if high <= 1 else 1)).astype(np.uint8)
        allowed = "0 to 1, or 0 to 255"
    else:
        if low >= 0 and (high == 0 or _MIN_INTEGER_WHITE <= high <= _MAX_16_BITS):
            return (values >> 8).astype(np.uint8)
        allowed = _DARK
    raise DataError(f"gray values from {low:g} to {high:g} (allowed: {allowed}); save the photo with 8 bits")


def _check_brightness(photo: Image.Image) -> None:
    """Check that a photo had values of 16 bits, of which Pillow takes the upper 8; see `_MIN_INTEGER_WHITE`.

    Transparent pixels, which become white, do not count. Of PPM files, Pillow rounds the values: 4,095 becomes 16.
    """
    pixels = np.asarray(photo.convert("RGBA"))
    visible = pixels[pixels[..., 3] > 0, :3]
    if visible.size and visible.max() < (_MIN_INTEGER_WHITE >> 8) + (photo.format == "PPM"):
        raise DataError(
            f"16 bits with values below {_MIN_INTEGER_WHITE:,} (allowed: {_DARK}); save the photo with 8 bits"
        )


def to_pixels(photo: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Resize and crop a photo to a network's input size.

    Resizing is bilinear with antialiasing. `crop` gives the pixels of torchvision's Resize and CenterCrop.

    Args:
        photo: RGB or gray.
        preprocessing: of the network.
    Returns:
        shape (height, width, channels), RGB or gray.
    Raises:
        DataError: the photo is so narrow that resizing it would take too much memory.
    """
    photo = photo.convert("L" if preprocessing.channels == "L" else "RGB")
    height, width = preprocessing.height, preprocessing.width
    if preprocessing.resize == "squash":
        photo = photo.resize((width, height), Image.Resampling.BILINEAR)
    else:
        photo = _center_crop(_resize_short_side(photo, preprocessing.short_side), width, height)
    return np.array(photo, np.uint8).reshape(height, width, -1)


def _resize_short_side(photo: Image.Image, short_side: int) -> Image.Image:
    shorter = min(photo.size)
    width, height = (short_side if side == shorter else int(short_side * side / shorter) for side in photo.size)
    if width * height > (Image.MAX_IMAGE_PIXELS or np.inf):
        raise DataError(f"too narrow: {photo.size[0]} x {photo.size[1]} pixels")
    return photo.resize((width, height), Image.Resampling.BILINEAR)


def _center_crop(photo: Image.Image, width: int, height: int) -> Image.Image:
    left, top = round((photo.width - width) / 2), round((photo.height - height) / 2)
    return photo.crop((left, top, left + width, top + height))


def to_input(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Return network input `(pixel * scale - mean) / std`, with channels in the network's order.

    Args:
        pixels: shape (n, height, width, channels), from `to_pixels`.
        preprocessing: of the network.
    Returns:
        shape (n, channels, height, width).
    """
    ordered = pixels[..., ::-1] if preprocessing.channels == "BGR" else pixels
    values = np.ascontiguousarray(ordered.transpose(0, 3, 1, 2), np.float32)
    values *= np.float32(preprocessing.scale)
    values -= _per_channel(preprocessing.mean)
    values /= _per_channel(preprocessing.std)
    return values


def _per_channel(values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)[:, None, None]
