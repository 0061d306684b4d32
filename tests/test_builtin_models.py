"""The built-in models: their index tells the truth, and every command takes their names."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import compress
from compress import container
from compress.builtin_models import builtin_models, find_model
from compress.builtin_pipelines import builtin_pipelines
from compress.cli.main import main
from compress.configuration.config import read_pipeline
from compress.data.package_files import package_file
from compress.errors import ConfigError
from compress.report.formatting import measured_nats

MODELS = builtin_models()
ROOT = Path(__file__).parents[1]
CARDS = ROOT / "docs" / "models"


def command(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_index_describes_the_file(model):
    data = model.path.read_bytes()
    assert (model.file_bytes, model.sha256) == (len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_card_has_the_figures_of_the_index_and_the_hashes_of_the_file(model):
    card = (CARDS / f"{model.name}.md").read_text("utf-8")
    rows = re.findall(r"^\| `?([\w-]+)`? \| ([\d,]+) \| ([\d.]+%) \(.*\) \| ([\d.]+%) \(.*\) \|$", card, re.MULTILINE)
    assert [row[0] for row in rows] == ["float32", model.name]
    assert [row[2:] for row in rows] == [
        (f"{top1:.1%}", f"{top5:.1%}")
        for top1, top5 in ((model.float_top1, model.float_top5), (model.top1, model.top5))
    ]
    assert rows[1][1] == f"{model.file_bytes:,}"
    assert f"file of {model.file_bytes:,} bytes" in card
    assert f"{model.agreement:.1%} of the photos keep" in card
    assert f"probabilities is {measured_nats(model.divergence_nats)} nats" in " ".join(card.split())
    weights = container.weights_sha256(container.read(model.path))
    assert f"sha256 `{model.sha256}`; of the decoded weights `{weights}`" in card


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_decoded_file_encodes_to_the_same_bytes_with_the_codecs_of_its_pipeline(model):
    pipeline = read_pipeline(builtin_pipelines()[model.name])
    assert container.encode(container.read(model.path), pipeline.encode.codecs) == model.path.read_bytes()


def test_all_models_together_take_less_than_3_mb():
    assert sum(model.file_bytes for model in MODELS.values()) < 3_000_000


def test_the_wheel_has_models_and_pipelines_where_the_package_looks_for_them():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    written = {source: (ROOT / place).resolve() for source, place in settings["force-include"].items()}
    assert written["models"] == compress.builtin_models._IN_WHEEL
    assert written["pipelines"] == compress.builtin_pipelines._IN_WHEEL


def test_every_file_in_the_folder_is_in_the_index():
    assert {path.stem for path in find_model("squeezenet").parent.glob("*.sqz")} == set(MODELS)


def test_a_name_loads_a_module_and_arrays():
    module, arrays = compress.load("squeezenet"), compress.read("squeezenet")
    assert arrays.keys() == module.state_dict().keys()


def test_a_file_takes_precedence_over_a_model_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("squeezenet").write_bytes(b"mine")
    assert find_model("squeezenet") == Path("squeezenet")


def test_a_folder_of_a_run_is_an_error_that_names_the_model_in_it(tmp_path):
    (tmp_path / "model.sqz").write_bytes(b"")
    with pytest.raises(ConfigError, match=rf"is a folder; name a model file in it, such as {tmp_path}/model\.sqz"):
        find_model(str(tmp_path))


def test_a_path_without_a_file_is_called_what_it_is(tmp_path):
    (tmp_path / "model.sqz").symlink_to("moved.sqz")
    os.mkfifo(tmp_path / "pipe.sqz")
    with pytest.raises(ConfigError, match="is a link to a file that does not exist"):
        find_model(str(tmp_path / "model.sqz"))
    with pytest.raises(ConfigError, match="is a pipe or a device; save what it gives as a file"):
        find_model(str(tmp_path / "pipe.sqz"))


def test_unknown_name_suggests_a_model():
    with pytest.raises(ConfigError, match="did you mean 'squeezenet'"):
        find_model("squeeznet")


def test_predict_takes_a_name_and_prints_class_names():
    done = command("predict", "squeezenet", str(package_file("skimage", "data", "coffee.png")))
    assert done.exit_code == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6
    assert "class " not in done.stdout


def test_models_lists_bytes_and_accuracy():
    done = command("models")
    assert done.exit_code == 0, done.stderr
    for model in MODELS.values():
        assert f"{model.file_bytes:,}" in done.stdout
