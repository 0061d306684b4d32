"""`export --to hub`: the folder that the Hugging Face Hub shows."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from records import make_record
from ruamel.yaml import YAML
from small_models import LABELS, shared_squeezenet

import compress
from compress import container
from compress.builtin_models import builtin_models
from compress.cli.main import main
from compress.data.transforms import to_input
from compress.model import CAFFE, TORCHVISION
from compress.report import to_json

ROOT = Path(__file__).parents[2]


def export(model: object, folder: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["export", str(model), "--to", "hub", "-o", str(folder), *options])


def front_matter(card: str) -> dict:
    before, metadata, _ = card.split("---\n", 2)
    assert before == ""
    return YAML(typ="safe").load(metadata)


@pytest.fixture
def file(tmp_path) -> Path:
    container.write(tmp_path / "m.sqz", shared_squeezenet())
    return tmp_path / "m.sqz"


def test_a_name_of_several_classes_stands_for_none_of_them(tmp_path):
    labels = ("crane", *LABELS[1:9], "crane")
    container.write(tmp_path / "m.sqz", replace(shared_squeezenet(), labels=labels))
    assert export(tmp_path / "m.sqz", tmp_path / "birds").exit_code == 0
    config = json.loads((tmp_path / "birds" / "config.json").read_text("utf-8"))
    assert tuple(config["id2label"].values()) == labels
    assert config["label2id"] == {name: index for index, name in enumerate(LABELS) if 0 < index < 9}


def test_the_folder_has_the_model_its_card_and_the_settings_of_its_input(file, tmp_path):
    done = export(file, tmp_path / "birds")
    assert done.exit_code == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "birds").iterdir())
    assert names == ["README.md", "config.json", "model.sqz", "preprocessor_config.json"]
    for path in (tmp_path / "birds").iterdir():
        assert f"{path}: {path.stat().st_size:,} bytes" in done.stdout
    assert (tmp_path / "birds" / "model.sqz").read_bytes() == file.read_bytes()
    config = json.loads((tmp_path / "birds" / "config.json").read_text("utf-8"))
    assert (config["architecture"], config["num_classes"]) == ("squeezenet1_1", 10)
    assert tuple(config["id2label"].values()) == LABELS
    assert config["label2id"][LABELS[9]] == 9
    card = (tmp_path / "birds" / "README.md").read_text("utf-8")
    assert front_matter(card)["library_name"] == "squeeze-compress"
    assert "\n# birds\n" in card
    assert hashlib.sha256(file.read_bytes()).hexdigest() in card
    assert "Not measured." in card


def test_the_commands_of_the_card_of_a_network_of_a_users_name_its_function(tmp_path):
    container.write(tmp_path / "m.sqz", replace(shared_squeezenet(), architecture="networks:make"))
    assert export(tmp_path / "m.sqz", tmp_path / "hub").exit_code == 0
    card = (tmp_path / "hub" / "README.md").read_text("utf-8")
    commands = re.findall(r"squeeze-compress \w+ model\.sqz [^`\n]*", card)
    assert [command.split()[1] for command in commands] == ["predict", "evaluate"]
    assert all(command.endswith(" --factory networks:make") for command in commands)


@pytest.mark.parametrize("preprocessing", [CAFFE, TORCHVISION], ids=["caffe", "torchvision"])
def test_the_preprocessor_config_gives_the_same_input(tmp_path, preprocessing):
    container.write(tmp_path / "m.sqz", replace(shared_squeezenet(), preprocessing=preprocessing))
    export(tmp_path / "m.sqz", tmp_path / "hub")
    config = json.loads((tmp_path / "hub" / "preprocessor_config.json").read_text("utf-8"))
    pixels = np.random.default_rng(0).integers(0, 256, (1, preprocessing.height, preprocessing.width, 3), np.uint8)
    steps = pixels[0] * np.float64(config["rescale_factor"])
    steps = steps[..., ::-1] if config["do_flip_channel_order"] else steps
    steps = (steps - config["image_mean"]) / config["image_std"]
    assert np.allclose(to_input(pixels, preprocessing)[0], steps.transpose(2, 0, 1), atol=1e-5)
    size = {"height": preprocessing.height, "width": preprocessing.width}
    if config["do_center_crop"]:
        assert (config["size"], config["crop_size"]) == ({"shortest_edge": 256}, size)
    else:
        assert config["size"] == size


def test_a_built_in_model_has_its_license_and_accuracy(tmp_path):
    (model, *_) = builtin_models().values()
    assert export(model.name, tmp_path / "hub").exit_code == 0
    card = (tmp_path / "hub" / "README.md").read_text("utf-8")
    assert front_matter(card)["license"] == "bsd-2-clause"
    documented = (ROOT / "docs" / "models" / f"{model.name}.md").read_text("utf-8")
    (accuracy,) = re.findall(rf"^\| `{model.name}` \| [\d,]+ (\| .+% \(.+)$", documented, re.MULTILINE)
    assert f"| model.sqz {accuracy}\n" in card  # with the intervals
    assert len(compress.read(tmp_path / "hub" / "model.sqz")) == 52


def test_the_card_has_the_measurements_of_the_report_of_this_file_only(file, tmp_path):
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    for own, name in ((sha256, "own"), ("0" * 64, "other")):
        measured = replace(make_record(), file=replace(make_record().file, sha256=own))
        file.with_name("report.json").write_text(to_json(measured), "utf-8")
        export(file, tmp_path / name)
        card = (tmp_path / name / "README.md").read_text("utf-8")
        assert ("## How it was made" in card) == (own == sha256)
        assert (measured.configuration.rstrip() in card) == (own == sha256)
        assert ("Not measured." in card) == (own != sha256)
    top1 = measured.stages[-1].accuracy.top1
    assert (
        f"{top1.value:.1%} ({top1.low * 100:.1f} to {top1.high * 100:.1f})" in (tmp_path / "own/README.md").read_text()
    )


def test_a_folder_that_is_not_empty_is_kept_without_force(file, tmp_path):
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "mine.txt").write_text("mine")
    refused = export(file, tmp_path / "hub")
    assert (refused.exit_code, [path.name for path in (tmp_path / "hub").iterdir()]) == (2, ["mine.txt"])
    assert "overwrite it with --force" in refused.stderr
    assert export(file, tmp_path / "hub", "--force").exit_code == 0


def test_a_damaged_file_leaves_no_folder(tmp_path):
    (tmp_path / "m.sqz").write_bytes(b"PK\x03\x04")
    assert export(tmp_path / "m.sqz", tmp_path / "hub").exit_code == 1
    assert not (tmp_path / "hub").exists()
