"""The pipeline that fits a network and a size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_models import float_squeezenet
from user_networks import three_convolutions

from compress.builtin_pipelines import builtin_pipelines
from compress.configuration.config import read_pipeline
from compress.configuration.recipes import data_options, model_options, pipeline_for, smallest_within
from compress.errors import ConfigError
from compress.evaluation.goals import Goal
from compress.export import write_weights

EMBEDDED = {"source": "embedded"}
SAMPLES = data_options("samples", None)


@pytest.fixture
def checkpoint(tmp_path) -> str:
    torch.save(three_convolutions().state_dict(), tmp_path / "net.pth")
    return str(tmp_path / "net.pth")


def passes_of(pipeline):
    return [stage.pass_.kind for stage in pipeline.stages]


def test_half_a_megabyte_of_squeezenet_is_deep_compression_as_in_the_built_in_pipeline():
    pipeline = pipeline_for(Path("embedded.yaml"), EMBEDDED, SAMPLES, {"bytes": 480_000})
    ready = read_pipeline(builtin_pipelines()["squeezenet"], ["stages.share.bytes=480kB", "goal.bytes=480kB"])
    assert (pipeline.stages, pipeline.encode, pipeline.goal) == (ready.stages, ready.encode, ready.goal)
    assert (pipeline.model, pipeline.calibration, pipeline.validation) == (
        ready.model, ready.calibration, ready.validation,
    )  # fmt: skip


def test_a_smaller_file_is_quantized_and_coded_by_context():
    pipeline = pipeline_for(Path("embedded.yaml"), EMBEDDED, SAMPLES, {"bytes": 400_000})
    assert passes_of(pipeline) == ["quantize"]
    assert (pipeline.stages[0].pass_.bytes, pipeline.encode.coding) == (400_000, "context")


def test_the_layers_of_another_network_need_no_patterns(checkpoint):
    model = model_options(checkpoint, None, "user_networks:three_convolutions")
    pipeline = pipeline_for(Path("net.yaml"), model, SAMPLES, {"bytes": 600}, ["model.input_size=32"])
    assert passes_of(pipeline) == ["prune", "share"]  # 1,246 weights
    assert pipeline.model.input_size == 32
    assert passes_of(pipeline_for(Path("net.yaml"), model, SAMPLES, {"bytes": 400}, ["model.input_size=32"])) == [
        "quantize"
    ]


def test_the_written_file_reads_as_the_same_pipeline(tmp_path, checkpoint):
    model = model_options(checkpoint, None, "user_networks:three_convolutions")
    file = tmp_path / "net.yaml"
    pipeline = pipeline_for(
        file, model, data_options("photos", Path("labeled.csv"), labels="names", limit=9), {"bytes": 600}
    )
    file.write_text(pipeline.configuration, "utf-8")
    assert read_pipeline(file) == pipeline
    assert pipeline.description.startswith("Compresses the network of user_networks:three_convolutions with the weig")


def test_a_checkpoint_that_decompress_wrote_keeps_its_preprocessing(tmp_path):
    model = float_squeezenet()
    write_weights(model, tmp_path / "float.safetensors")
    options = model_options(str(tmp_path / "float.safetensors"), None, None)
    pipeline = pipeline_for(Path("float.yaml"), options, SAMPLES, {"bytes": 10**6})
    assert pipeline.model.load().preprocessing == model.preprocessing


def test_photos_of_one_folder_are_split_and_only_validation_uses_labels():
    data = data_options("photos", None, labels="order", label_column="kind")
    assert data["calibration"] == {"source": "folder", "path": "photos", "validation_split": 0.2, "labels": "none"}
    assert data["validation"] == {
        "source": "folder", "path": "photos", "validation_split": 0.2, "labels": "order", "label_column": "kind",
    }  # fmt: skip
    assert "validation_split" not in data_options("photos", Path("others"))["calibration"]


def test_a_folder_named_samples_takes_precedence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert data_options("samples", None)["calibration"] == {"source": "samples"}
    (tmp_path / "samples").mkdir()
    assert data_options("samples", None)["calibration"]["source"] == "folder"


def test_options_hold_for_photos_of_every_source(tmp_path):
    assert data_options("samples", None, limit=9)["validation"] == {"source": "samples", "count": 9}
    (tmp_path / "t10k-images-idx3-ubyte").touch()
    data = data_options(str(tmp_path), None, labels="none")
    assert (data["validation"]["source"], data["validation"]["labels"]) == ("idx", "none")
    for place in ("samples", str(tmp_path)):
        with pytest.raises(ConfigError, match="--label-column: 'kind' names a column, and the photos are of no table"):
            data_options(place, None, label_column="kind")


@pytest.mark.parametrize(("given", "key"), [(("squeezenet1_0", None), "architecture"), ((None, "a:b"), "factory")])
def test_another_network_for_the_embedded_weights_is_refused(given, key):
    with pytest.raises(ConfigError, match=f"--{key}: the embedded weights have a network of their own"):
        model_options("embedded", *given)


def test_a_compressed_file_is_refused():
    with pytest.raises(ConfigError, match=r"^small\.sqz: this file is compressed already"):
        model_options("small.sqz", None, None)


def test_a_drop_lets_quantize_search_for_the_smallest_file():
    pipeline = pipeline_for(Path("embedded.yaml"), EMBEDDED, SAMPLES, {"max_top1_drop": 0.5})
    assert (pipeline.stages[0].pass_.bytes, pipeline.goal) == ("smallest", Goal(max_top1_drop=0.5))


@pytest.mark.parametrize(("name", "stage"), [("squeezenet", 1), ("squeezenet-240k", 0), ("digits", 7)])
def test_a_drop_turns_the_last_compression_of_a_pipeline_into_a_search(name, stage):
    ready = read_pipeline(builtin_pipelines()[name])
    searching = ready.with_overrides(smallest_within(ready, 1.5))
    assert [index for index, each in enumerate(searching.stages) if each.pass_.needs_goal] == [stage]
    assert searching.goal == Goal(max_top1_drop=1.5)


def test_a_pipeline_without_a_lambda_has_nothing_to_search():
    with pytest.raises(ConfigError, match="--max-drop: the pipeline has no stage whose lambda can be searched"):
        smallest_within(read_pipeline(builtin_pipelines()["squeezenet1_0-lossless"]), 1)
