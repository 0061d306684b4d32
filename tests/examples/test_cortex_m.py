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
from compress.export.c_runtime import sources_folder
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


PHOTO_READER = """
#include "board.h"
#include "ppm.h"

int main(void) {
    static const uint8_t photo[] = "P5 65536 65536 255\\n";
    sqz_photo found;
    const char *problem = find_photo(photo, sizeof photo - 1, &found);
    board_print(problem ? problem : "accepted");
    return 0;
}
"""


@pytest.mark.skipif(bool(MISSING), reason=f"no {' and no '.join(MISSING)}; Debian: apt-get install {PACKAGES}")
def test_a_photo_of_more_pixels_than_32_bits_count_is_refused(tmp_path):
    """65,536 times 65,536 is 0 there, the number of bytes that the file has."""
    settings = dict(re.findall(r"^(\w+) = ((?:.*\\\n)*.*)$", (EXAMPLE / "Makefile").read_text("utf-8"), re.MULTILINE))
    flags = [word for name in ("CFLAGS", "LDFLAGS") for word in settings[name].replace("\\\n", " ").split()]
    (tmp_path / "reader.c").write_text(PHOTO_READER, "utf-8")
    sources = [tmp_path / "reader.c", EXAMPLE / "board.c"]
    includes = [f"-I{folder}" for folder in (EXAMPLE, sources_folder(), sources_folder() / "classify")]
    flags = [word for word in flags if not word.startswith(("-Wl,-Map", "-Ibuild", "-Wall", "-Wextra"))]
    build = ["arm-none-eabi-gcc", *flags, *includes, *sources, "-o", tmp_path / "reader.elf"]
    subprocess.run(build, check=True, cwd=EXAMPLE)
    console = "-display none -monitor none -serial none -chardev stdio,id=console"
    semihosting = "enable=on,target=native,chardev=console"
    board = ["qemu-system-arm", "-machine", "mps2-an500", *console.split(), "-semihosting-config", semihosting]
    command = [*board, "-kernel", tmp_path / "reader.elf"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.startswith("not 8 bits a channel")
