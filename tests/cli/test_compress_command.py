"""`compress`: weights and photos in, a file, its pipeline and its report out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from user_networks import three_convolutions

from compress.cli.main import main


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with a checkpoint, `net.pth`, and 40 photos of ten classes in `photos`."""
    monkeypatch.chdir(tmp_path)
    torch.save(three_convolutions().state_dict(), "net.pth")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8)
    for index, photo in enumerate(pixels):
        path = Path("photos", str(index % 10), f"{index}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(path)
    return tmp_path


def compress(*arguments: object, weights: str = "net.pth") -> Result:
    of_network = ("--factory", "user_networks:three_convolutions", "--set", "model.input_size=16")
    words = ["compress", weights, "--data", "photos", *of_network, *arguments]
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_file_has_at_most_the_bytes_and_its_pipeline_runs_again(here):
    done = compress("--bytes", "0.8 KiB")
    assert done.exit_code == 0, done.stderr
    assert "8 photos from photos (the validation split of 0.2), labeled by" in done.stdout
    data = Path("out/net/model.sqz").read_bytes()
    assert len(data) <= 819
    again = CliRunner().invoke(main, ["run", "out/net/net.yaml", "--out", "again"])
    assert again.exit_code == 0, again.stderr
    assert Path("again/model.sqz").read_bytes() == data
    assert 'squeeze-compress run out/net/net.yaml"' in Path("out/net/report.json").read_text("utf-8")


def test_the_smallest_file_within_a_drop(here):
    done = compress("--max-drop", "100", "--validation", "photos/3", "--labels", "none")
    assert done.exit_code == 1
    assert "the goal limits the drop of top-1 or top-5, but the validation photos have no labels" in done.stderr
    assert "labeled photos in data.validation (command compress: --data or --validation)" in done.stderr
    done = compress("--max-drop", "100", "--force", "--set", "stages.quantize.trellis=false")
    assert done.exit_code == 0, done.stderr
    assert "bytes: smallest" in Path("out/net/net.yaml").read_text("utf-8")
    assert "quantize: the smallest file that meets the goal, of " in done.stdout


def test_another_pipeline_is_not_overwritten(here):
    Path("mine").mkdir()
    Path("mine/net.yaml").write_text("seed: 1\n", "utf-8")
    refused = compress("--bytes", "900B", "-o", "mine")
    assert refused.exit_code == 2
    assert refused.stderr.startswith("error: mine/net.yaml: exists already; overwrite it with --force")
    assert [path.name for path in Path("mine").iterdir()] == ["net.yaml"]
    assert Path("mine/net.yaml").read_text("utf-8") == "seed: 1\n"


def test_a_hidden_file_of_weights_has_results_of_its_own(here):
    Path("net.pth").rename(".net.pth")
    refused = compress("--bytes", "9B", "-o", "out", weights=".net.pth")
    assert refused.stderr.startswith("out/net.yaml: Compresses the network of user_networks:three_convolutions")


def test_a_folder_of_weights_is_called_that(here):
    refused = compress("--bytes", "900B", weights="photos")
    assert (refused.exit_code, refused.stderr) == (2, "error: photos: is a folder; name a file in it\n")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message", "left"),
    [
        (
            "--bytes 5TB",
            2,
            "'5TB' is not a number of bytes (allowed: bytes, more than 0; or with a unit: 500 kB",
            "out",
        ),
        ("", 2, "give either --bytes or --max-drop", "out"),
        ("--bytes 1kB --max-drop 1", 2, "give either --bytes or --max-drop", "out"),
        ("--bytes 1kB --set goal.byte=3", 2, "--set: goal.byte: unknown key; did you mean 'bytes'?", "out"),
        ("--bytes 1kB --set model.sise=3", 2, "--set: model.sise: unknown key of source 'factory'", "out"),
        ("--bytes 1kB --validation gone", 2, "Path 'gone' does not exist", "out"),
        ("--bytes 9B", 2, "9 bytes are too few", "out/net/net.yaml"),  # would be in the way of the right command
        ("--bytes 900B --labels names", 1, "has the class '0', which is neither", "out/net/net.yaml"),
    ],
)
def test_a_mistake_is_one_message_and_leaves_nothing_in_the_way(here, arguments, exit_code, message, left):
    refused = compress(*arguments.split())
    assert refused.exit_code == exit_code
    assert message in refused.stderr
    assert not Path(left).exists()
