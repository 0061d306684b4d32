import contextlib
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from compress.data.transforms import read_photo, to_input, to_pixels
from compress.errors import DataError
from compress.model import CAFFE, TORCHVISION, Preprocessing


def bilinear_weights(source: int, target: int) -> np.ndarray:
    """The triangle filter, widened where it shrinks: (target, source), rows sum to 1."""
    scale = source / target
    centers = (np.arange(target)[:, None] + 0.5) * scale
    distance = np.abs(np.arange(source)[None, :] + 0.5 - centers) / max(scale, 1.0)
    weights = np.clip(1 - distance, 0, None)
    return weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize("size", [(97, 53), (53, 97), (400, 300), (30, 20), (227, 227)])
def test_squash_is_an_antialiased_bilinear_resize_of_the_whole_photo(size):
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8))
    rows, columns = bilinear_weights(size[1], 227), bilinear_weights(size[0], 227)
    expected = np.einsum("hH,HWc,wW->hwc", rows, np.asarray(photo, float), columns, optimize=True)
    assert np.abs(to_pixels(photo, CAFFE) - expected).max() <= 1.01  # Pillow rounds after each of two passes


@pytest.mark.parametrize(
    ("size", "resized", "corner"),
    [
        ((500, 375), (341, 256), (58, 16)),  # torchvision truncates 341.33; (341 - 224) / 2 = 58.5 -> 58
        ((375, 500), (256, 341), (16, 58)),
        ((259, 256), (259, 256), (18, 16)),  # 17.5 -> 18: halves round to even
        ((100, 100), (256, 256), (16, 16)),
    ],
)
def test_crop_is_torchvisions_resize_and_center_crop(size, resized, corner):
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8))
    whole = np.asarray(photo.resize(resized, Image.Resampling.BILINEAR))
    left, top = corner
    np.testing.assert_array_equal(to_pixels(photo, TORCHVISION), whole[top : top + 224, left : left + 224])


def test_a_photo_too_narrow_to_crop_is_an_error_before_memory_is_allocated():
    with pytest.raises(DataError, match="too narrow: 1 x 60000 pixels"):
        to_pixels(Image.new("RGB", (1, 60_000)), TORCHVISION)


def test_a_gray_network_gets_one_channel(noise):
    pixels = to_pixels(noise, Preprocessing(8, 6, "squash", "L", 1.0, (0.0,), (1.0,)))
    assert pixels.shape == (8, 6, 1)


@pytest.mark.parametrize("preprocessing", [CAFFE, TORCHVISION], ids=["caffe", "torchvision"])
def test_input_is_pixel_times_scale_minus_mean_over_std_in_the_networks_order(preprocessing):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 3), np.uint8)
    values = to_input(pixels, preprocessing)
    assert values.shape == (2, 3, 3, 5)
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    for channel, color in enumerate(preprocessing.channels):
        pixel = pixels[..., "RGB".index(color)].astype(float)
        expected = (pixel * preprocessing.scale - preprocessing.mean[channel]) / preprocessing.std[channel]
        np.testing.assert_allclose(values[:, channel], expected, rtol=1e-5, atol=1e-6)


@given(st.integers(0, 255), st.sampled_from(["RGB", "BGR", "L"]))
def test_input_does_not_change_the_pixels(value, channels):
    count = 1 if channels == "L" else 3
    pixels = np.full((1, 2, 2, count), value, np.uint8)
    to_input(pixels, Preprocessing(2, 2, "squash", channels, 0.5, (1.0,) * count, (2.0,) * count))
    assert (pixels == value).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path, orientation):
    upright = Image.new("RGB", (32, 16), "blue")
    upright.paste("red", (0, 0, 16, 16))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that makes the camera's file
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "photo.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(read_photo(tmp_path / "photo.png")), np.asarray(upright))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_damaged_metadata_make_no_photo_unreadable(tmp_path, noise, suffix):
    def read(exif):
        noise.save(tmp_path / f"photo.{suffix}", exif=exif)
        return read_photo(tmp_path / f"photo.{suffix}")

    def entry(tag, kind, value):
        return struct.pack(">HHI", tag, kind, 4 if kind == 2 else 1) + value

    turned, text = entry(0x0112, 3, b"\0\6\0\0"), entry(0x011A, 2, b"abc\0")
    head = b"Exif\0\0MM\0*\0\0\0\x08\0\x02"
    assert read(head + turned + text + bytes(4)).size == noise.size[::-1]  # a resolution that is a text
    assert read(head + turned + text[:5]).size == noise.size[::-1]  # cut off
    assert read(b"Exif\0\0garbage").size == noise.size


@pytest.mark.parametrize("mode", ["L", "I;16", "RGB", "RGBA", "CMYK"])
def test_uncompressed_tiff_photos_are_upright_in_every_mode(tmp_path, mode, noise):
    stored = noise.convert("L" if mode == "I;16" else mode)
    stored = Image.fromarray(np.asarray(stored, np.uint16) * 257) if mode == "I;16" else stored
    stored.save(tmp_path / "upright.tif")
    stored.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.tif", tiffinfo={0x0112: 6})
    upright, turned = (np.asarray(read_photo(tmp_path / f"{name}.tif")) for name in ("upright", "turned"))
    np.testing.assert_array_equal(turned, upright)


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1"])
def test_every_color_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("photo.jpg" if mode == "CMYK" else "photo.png")
    Image.new("RGB", (16, 16), "white").convert(mode).save(path)
    photo = read_photo(path)
    assert photo.mode == "RGB"
    assert np.asarray(photo).min() >= 250


def transparent(path, mode, visible):
    """Write a photo of 16 pixels, the first of them visible and gray, the others transparent."""
    alpha = np.where(np.arange(16).reshape(4, 4) < visible, 255, 0).astype(np.uint8)
    if mode == "P":
        Image.fromarray(alpha // 255).convert("P").save(path, transparency=0)
    elif mode == "I;16":
        Image.fromarray(alpha * np.uint16(0x80)).save(path, transparency=0)
    else:
        gray = np.full((4, 4), 100, np.uint8)
        Image.fromarray(np.dstack([gray, gray, gray, alpha])).convert(mode).save(path)
    return path


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_become_white(tmp_path, mode):
    photo = transparent(tmp_path / "photo.png", mode, visible=1)
    gray = np.asarray(read_photo(photo))[..., 0]
    assert (gray.ravel() < 255).tolist() == [True, *[False] * 15]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16"])
def test_a_photo_without_a_visible_pixel_is_a_data_error(tmp_path, mode):
    photo = transparent(tmp_path / "photo.png", mode, visible=0)
    with pytest.raises(DataError, match="all pixels are transparent, and the photo would be white"):
        read_photo(photo)


def test_16_bits_become_8_without_clipping(tmp_path):
    Image.fromarray(np.full((4, 4), 0x8000, np.uint16)).save(tmp_path / "photo.png")
    assert (np.asarray(read_photo(tmp_path / "photo.png")) == 0x80).all()


def test_a_broken_photo_is_a_data_error_with_the_reason(tmp_path, noise):
    whole = tmp_path / "whole.jpg"
    noise.save(whole)
    broken = {
        "cut.jpg": (whole.read_bytes()[:-500], "truncated"),
        "text.jpg": (b"no photo at all", "not a photo"),
        "empty.png": (b"", "not a photo"),
    }
    for name, (content, reason) in broken.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=reason):
            read_photo(tmp_path / name)
    with pytest.raises(DataError, match="No such file"):
        read_photo(tmp_path / "missing.jpg")


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tiff", "webp", "ppm"])
def test_truncated_or_altered_files_raise_only_data_errors(tmp_path: Path, noise, suffix):
    path = tmp_path / f"photo.{suffix}"
    noise.save(path)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for cut in range(0, len(whole), max(1, len(whole) // 40)):
        altered = bytearray(whole)
        altered[generator.integers(len(whole))] ^= 0xFF
        for content in (whole[:cut], bytes(altered)):
            path.write_bytes(content)
            with contextlib.suppress(DataError):
                read_photo(path)


def test_a_decompression_bomb_is_a_data_error(tmp_path, noise, monkeypatch):
    noise.save(tmp_path / "photo.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(
        DataError, match=r"^too large: a photo of more than 2,000 pixels .* decompression bomb; scale it"
    ):
        read_photo(tmp_path / "photo.png")


@pytest.mark.parametrize("exif", [b"", b"Exif\0\0II*\0\xff\xff\xff\xff"], ids=["large", "damaged EXIF data"])
def test_pillow_prints_no_warning(tmp_path, noise, exif):
    noise.save(tmp_path / "photo.png", exif=exif)
    code = f"""
from pathlib import Path
from PIL import Image
from compress.data.transforms import read_photo
Image.MAX_IMAGE_PIXELS = 4000
read_photo(Path({str(tmp_path / "photo.png")!r}))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_postscript_file_is_not_run(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n")
    with pytest.raises(DataError, match="not a photo"):
        read_photo(tmp_path / "photo.jpg")


def test_squash_ignores_the_short_side(noise):
    np.testing.assert_array_equal(to_pixels(noise, CAFFE), to_pixels(noise, replace(CAFFE, short_side=99)))


@pytest.mark.parametrize(
    ("suffix", "white", "kind"),
    [
        ("tif", 1, np.float32),
        ("tif", 255, np.float32),
        ("tif", 65_535, np.uint16),
        ("tif", 65_535, np.int32),
        ("png", 65_535, np.uint16),
    ],
)
def test_gray_values_of_other_types_become_the_bytes_of_the_same_photo(tmp_path, suffix, white, kind):
    ramp = np.linspace(0, 1, 256).reshape(16, 16)
    Image.fromarray((ramp * white).astype(kind)).save(tmp_path / f"photo.{suffix}")
    read = np.asarray(read_photo(tmp_path / f"photo.{suffix}"))
    assert np.abs(read - 255 * ramp[..., None]).max() <= 1


def test_transparent_values_of_16_bits_become_white(tmp_path):
    Image.fromarray(np.array([[0, 0x8000]], np.uint16)).save(tmp_path / "photo.png", transparency=0)
    assert np.asarray(read_photo(tmp_path / "photo.png"))[..., 0].tolist() == [[255, 0x80]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[-1, 1]], np.float32), r"gray values from -1 to 1 \(allowed: 0 to 1, or 0 to 255\)"),
        (np.array([[0, 1.5]], np.float32), r"from 0 to 1\.5"),
        (np.array([[0, 300]], np.float32), r"from 0 to 300"),
        (np.array([[0, np.nan]], np.float32), r"from nan to nan"),
        (np.array([[0, 200]], np.uint16), r"from 0 to 200 .*the photo would be black"),
        (np.array([[0, 4095]], np.uint16), r"from 0 to 4095 .*nearly black"),
        (np.array([[0, 70_000]], np.int32), r"from 0 to 70000 \(allowed: 0 to 65,535"),
        (np.array([[-5, 300]], np.int32), r"from -5 to 300"),
    ],
)
def test_gray_values_of_an_unclear_range_are_a_data_error(tmp_path, values, message):
    Image.fromarray(values).save(tmp_path / "photo.tif")
    with pytest.raises(DataError, match=message + ".*save the photo with 8 bits"):
        read_photo(tmp_path / "photo.tif")


@pytest.mark.parametrize("white", [1.0, 255.0, 65535])
def test_gray_values_whose_white_is_zero_are_inverted(tmp_path, white):
    kind = np.uint16 if white == 65535 else np.float32
    values = np.array([[0, white / 4, white]])
    for photometric, gray in (("minisblack", values), ("miniswhite", white - values)):
        tifffile.imwrite(tmp_path / f"{photometric}.tif", gray.astype(kind), photometric=photometric)
    black, white_first = (np.asarray(read_photo(tmp_path / f"minis{name}.tif"), int) for name in ("black", "white"))
    assert np.abs(black - white_first).max() <= 1
    assert black[0, 0].max() == 0


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.full((9, 9), -5, np.int8), {}, "signed values with 8 bits"),
        (np.full((3, 9, 9), 9_000, np.uint16), {"photometric": "rgb", "planarconfig": "separate"}, "separate planes"),
        (np.full((9, 9, 3), 0.5, np.float32), {"photometric": "rgb"}, "a damaged TIFF, or a kind that cannot be read"),
    ],
)
def test_tiff_files_that_pillow_misreads_are_data_errors(tmp_path, values, options, message):
    tifffile.imwrite(tmp_path / "photo.tif", values, **options)
    with pytest.raises(DataError, match=f"{message}.*; save the photo with"):
        read_photo(tmp_path / "photo.tif")


@pytest.mark.parametrize("bits", [8, 12])
def test_colors_of_fewer_than_16_bits_in_16_are_a_data_error(tmp_path, bits):
    white = 2**bits - 1
    (tmp_path / "photo.png").write_bytes(png_of_16_bits(np.array([[[0, white, 0], [white, 0, 9]]], np.uint16)))
    with pytest.raises(DataError, match=r"16 bits with values below 4,096 .*nearly black\); save the photo with 8"):
        read_photo(tmp_path / "photo.png")


def test_colors_of_16_bits_become_8(tmp_path):
    (tmp_path / "photo.png").write_bytes(png_of_16_bits(np.array([[[0, 0x8000, 0xFFFF]]], np.uint16)))
    assert np.asarray(read_photo(tmp_path / "photo.png")).tolist() == [[[0, 0x80, 0xFF]]]


def test_transparent_pixels_do_not_hide_that_colors_have_fewer_than_16_bits(tmp_path):
    dark, transparent = [0, 4_095, 9, 0xFFFF], [0xFFFF, 0, 0, 0]
    (tmp_path / "photo.png").write_bytes(png_of_16_bits(np.array([[dark, transparent]], np.uint16)))
    with pytest.raises(DataError, match=r"16 bits with values below 4,096"):
        read_photo(tmp_path / "photo.png")
    bright = [0, 0x8000, 0, 0xFFFF]
    (tmp_path / "photo.png").write_bytes(png_of_16_bits(np.array([[bright, transparent]], np.uint16)))
    assert np.asarray(read_photo(tmp_path / "photo.png")).tolist() == [[[0, 0x80, 0], [255, 255, 255]]]


@pytest.mark.parametrize("magic", ["P3", "P6"])
def test_ppm_files_of_16_bits_are_read_by_their_maximum(tmp_path, magic):
    def read(maximum, *values):
        data = np.array(values, ">u2").tobytes() if magic == "P6" else " ".join(map(str, values)).encode()
        (tmp_path / "photo.ppm").write_bytes(f"{magic}\n1 1\n{maximum}\n".encode() + data)
        return np.asarray(read_photo(tmp_path / "photo.ppm")).tolist()

    assert read(65_535, 0, 0x8080, 65_535) == [[[0, 0x80, 255]]]
    assert read(4_095, 0, 0x808, 4_095) == [[[0, 0x80, 255]]]
    assert read(4_095, 0, 9, 99) == [[[0, 1, 6]]]
    with pytest.raises(DataError, match=r"16 bits with values below 4,096 .*nearly black\); save the photo with 8"):
        read(65_535, 0, 0x808, 4_095)


def png_of_16_bits(pixels: np.ndarray) -> bytes:
    """Colors, shape (height, width, 3 or 4), as PNG; Pillow writes none of 16 bits."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
