"""The program sqz_classify prints the five most likely classes of a photo."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from c_network import build
from PIL import Image
from skimage import data
from test_c_squeezenet import CAT, random_squeezenet
from torch import nn

from benchmarks.c_decoder import SOURCES
from compress.container.file import encode
from compress.model import Model, Preprocessing
from compress.networks.modules import as_dense, stored_tensors
from compress.networks.program import network_program

COMMENT = b"P5 # a comment\n# another\n"


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    return build(
        tmp_path_factory.mktemp("classify") / "sqz_classify", SOURCES / "classify" / "sqz_classify.c", ("-O1",)
    )


def classify(program: Path, folder: Path, model: Model, photo: bytes) -> subprocess.CompletedProcess[str]:
    (folder / "model.sqz").write_bytes(encode(model))
    (folder / "photo.ppm").write_bytes(photo)
    words = [program, folder / "model.sqz", folder / "photo.ppm"]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def in_ppm(photo: Image.Image) -> bytes:
    kind = b"P6" if photo.mode == "RGB" else b"P5"
    return kind + f"\n{photo.width} {photo.height}\n255\n".encode() + photo.tobytes()


def test_a_cat_is_a_cat(program, squeezenet, tmp_path):
    done = classify(program, tmp_path, replace(squeezenet, labels=()), in_ppm(CAT))
    best, *others = done.stdout.splitlines()
    assert best.endswith("class 285")  # Egyptian cat
    assert len(others) == 4
    assert float(best.split()[0]) > 30
    assert done.returncode == 0


def test_labels_are_printed_where_the_file_has_them(program, tmp_path):
    model = replace(random_squeezenet(classes=3), labels=("a cat", "a dog", "neither, ä"))
    done = classify(program, tmp_path, model, COMMENT + in_ppm(Image.fromarray(data.camera()))[2:])
    names = [line.split("%")[1].strip() for line in done.stdout.splitlines()]
    assert sorted(names) == sorted(model.labels)


def gray_model(classes: int) -> Model:
    """A small network with the labels `kind 0`, `kind 1` and so on."""
    gray = Preprocessing(9, 9, "squash", "L", 0.0039, (0.4731,), (0.2297,))
    network = nn.Sequential(nn.Conv2d(1, classes, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    tensors = {name: as_dense(tensor) for name, tensor in stored_tensors(network).items()}
    labels = tuple(f"kind {number}" for number in range(classes))
    return Model("networks:make", classes, gray, tensors, labels, network_program(network, gray))


def test_labels_may_need_a_larger_workspace_than_the_weights(program, tmp_path):
    model = gray_model(classes=300)
    assert encode(model)[9] == 0  # the header is not compressed, and needs no workspace; the labels are
    done = classify(program, tmp_path, model, in_ppm(CAT))
    assert done.stdout.count("%  kind ") == 5


def test_an_arena_has_whole_floats(program, tmp_path):
    (tmp_path / "model.sqz").write_bytes(encode(gray_model(classes=2)))
    done = subprocess.run([program, tmp_path / "model.sqz"], capture_output=True, text=True, check=True)
    sizes = {name: int(number) for name, number in map(str.split, done.stdout.splitlines())}
    assert sizes["arena-bytes"] % 4 == sizes["streaming-arena-bytes"] % 4 == 0


@pytest.mark.parametrize(
    "photo", [b"", b"P6", b"P3 1 1 255\n1 2 3", b"P6 1 1 65535\n123456", b"P6 2 1 255\n123", b"P6 99999999 1 255\n"]
)
def test_a_photo_in_another_format_is_refused_with_one_line(program, tmp_path, photo):
    done = classify(program, tmp_path, random_squeezenet(), photo)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "photo.ppm" in done.stderr


def test_exit_codes(program, tmp_path):
    other = replace(random_squeezenet(), architecture="networks:make")
    done = classify(program, tmp_path, other, in_ppm(CAT))
    assert (done.returncode, done.stderr.split()[-1]) == (3, "unsupported-network")
    assert subprocess.run([program], capture_output=True, check=False).returncode == 2
    assert subprocess.run([program, tmp_path, tmp_path / "none"], capture_output=True, check=False).returncode == 1


def test_the_example_in_the_guide_compiles(tmp_path):
    (example,) = re.findall(r"```c\n(.*?)```", (SOURCES / "network.md").read_text("utf-8"), re.DOTALL)
    main = "int main(void) { return classify(NULL, 0, NULL, 1, 1) != SQZ_CUT_OFF; }"
    source = tmp_path / "example.c"
    source.write_text(f"{example}\n{main}\n", "utf-8")
    subprocess.run([build(tmp_path / "example", source, ("-O0",))], check=True)
