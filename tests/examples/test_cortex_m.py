"""examples/cortex-m builds, fits, and classifies as Python does, on an emulated Cortex-M7."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from compress import container
from compress.data.class_index import NetworkClasses
from compress.data.digits import Digits
from compress.data.transforms import to_input, to_pixels
from compress.networks.modules import to_module

EXAMPLE = Path(__file__).parents[2] / "examples" / "cortex-m"
PACKAGES = "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
MISSING = [name for name in ("arm-none-eabi-gcc", "qemu-system-arm") if shutil.which(name) is None]


def ten_digits() -> list[Image.Image]:
    """Return the first ten validation images, one of each digit."""
    entries = Digits(limit=10).list_photos("validation", NetworkClasses(10)).entries
    assert [entry.label for entry in entries] == list(range(10))
    return [entry.read() for entry in entries]


@pytest.fixture(scope="module")
def printed(tmp_path_factory) -> str:
    """What the board prints."""
    folder = tmp_path_factory.mktemp("board") / "cortex-m"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("build"))
    command = ["make", "-s", "-C", folder, "run", f"SQUEEZE_COMPRESS={sys.executable} -m compress"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.skipif(bool(MISSING), reason=f"no {' and no '.join(MISSING)}; Debian: apt-get install {PACKAGES}")
def test_ten_digits_on_a_microcontroller_are_those_of_python(printed):
    model = container.read(EXAMPLE / "digits.sqz")
    photos = np.stack([to_pixels(digit, model.preprocessing) for digit in ten_digits()])
    with torch.inference_mode():
        expected = to_module(model)(torch.from_numpy(to_input(photos, model.preprocessing))).softmax(1)
    answers = re.findall(r"^digit (\d), answer (\d), probability (\d+)/1000, \d+ cycles$", printed, re.MULTILINE)
    assert [(digit, answer) for digit, answer, _ in answers] == [(str(i), str(i)) for i in range(10)]
    assert [int(each) for *_, each in answers] == pytest.approx((1000 * expected.amax(1)).tolist(), abs=0.6)
    assert expected.argmax(1).tolist() == list(range(10))


@pytest.mark.skipif(bool(MISSING), reason=f"no {' and no '.join(MISSING)}; Debian: apt-get install {PACKAGES}")
def test_flash_and_ram_are_small(printed):
    flash, ram = (int(re.findall(rf"^{memory}: (\d+) bytes$", printed, re.MULTILINE)[0]) for memory in ("flash", "RAM"))
    assert (EXAMPLE / "digits.sqz").stat().st_size < flash < 128_000
    assert 100_000 < ram < 256_000


def test_the_digits_in_the_example_are_validation_images():
    source = (EXAMPLE / "digits.h").read_text("utf-8").partition("DIGIT_SIDE * DIGIT_SIDE] = ")[2]
    numbers = [int(number) for number in re.findall(r"\d+", source)]
    assert numbers == [pixel for digit in ten_digits() for pixel in digit.tobytes()]
