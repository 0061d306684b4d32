"""A whole run: float weights in, a verified file and its report out. Equal seeds give equal bytes."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import save_file
from scipy.special import softmax
from small_models import LABELS, float_squeezenet

import compress
from compress import container
from compress.cli.main import main
from compress.configuration.config import read_pipeline
from compress.data.digits import Digits
from compress.errors import SqueezeError
from compress.evaluation import metrics
from compress.evaluation.round_trip import run_round_trip
from compress.networks.modules import to_module
from compress.pipeline.inputs import load_inputs
from compress.pipeline.run_record import data_record
from compress.pipeline.stage_recorder import StageRecorder
from compress.report import from_json, read_report, to_html, to_json
from compress.report.record import RunRecord
from compress.runtime.progress import no_progress
from compress.tensors.forms import Dense, Shared

PIPELINE = """\
# Digits, in a few seconds.
model: {{source: checkpoint, path: {folder}/float.safetensors, architecture: squeezenet1_1, labels: {folder}/names.txt,
  strict: false}}
data:
  calibration: {{source: digits, limit: 2}}
  validation: {{source: digits, limit: 4}}
stages:
  - {{pass: prune, sparsity: 0.6}}
  - {{pass: share, bits: 3, kmeans_iterations: 1, init: k-means++}}
  - {{pass: distill, steps: 2, batch: 2}}
goal: {{bytes: 300 kB, max_top1_drop: 100}}
"""


@dataclass(frozen=True)
class Finished:
    """A run from the command line."""

    pipeline: Path
    out: Path
    shown: Result

    @property
    def record(self) -> RunRecord:
        return read_report(self.out / "report.json")


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("run")
    arrays = {name: tensor.to_dense() for name, tensor in float_squeezenet().tensors.items()}
    save_file({**arrays, "loss.weight": np.ones(10)}, folder / "float.safetensors")
    (folder / "names.txt").write_text("\n".join(LABELS), "utf-8")
    pipeline = folder / "digits.yaml"
    pipeline.write_text(PIPELINE.format(folder=folder))
    return Finished(pipeline, folder / "out", invoke("run", pipeline, "--out", folder / "out", "--device", "cpu"))


def test_a_met_goal_gives_exit_code_0_the_files_and_a_cache(finished):
    assert finished.shown.exit_code == 0, finished.shown.output
    files = ["model.sqz", "outcomes.json", "report.html", "report.json", "thumbnails.json"]
    assert sorted(path.name for path in finished.out.iterdir()) == ["cache", *files]


def test_a_run_prints_its_stages_bytes_goal_and_paths(finished):
    shown = finished.shown.stdout
    rows = [line.split() for line in shown.splitlines()]
    header = next(row for row in rows if row[:1] == ["stage"])
    assert [word for word in header if word in {"top-1", "top-5", "agreement"}] == ["top-1", "top-5", "agreement"]
    assert [row[0] for row in rows if row][1:7] == ["baseline", "prune", "share", "distill", "encode", "proof"]
    file_bytes = (finished.out / "model.sqz").stat().st_size
    assert f"{file_bytes:,} bytes: " in shown
    assert f"goal met: bytes of the file at most 300,000 bytes, reached {file_bytes:,} bytes" in shown
    assert f"model:  {finished.out / 'model.sqz'}" in shown
    assert f"report: {finished.out / 'report.html'}" in shown


def test_the_run_compares_the_predictions_for_the_first_photo(finished):
    example, decoded = finished.record.example, container.read(finished.out / "model.sqz")
    photos = Digits(limit=4).load(decoded.preprocessing, "validation", classes=10)
    assert example.photo == photos.names[0]
    for model, shown in ((float_squeezenet(), example.before), (decoded, example.after)):
        outputs = metrics.run(to_module(model), photos, decoded.preprocessing, no_progress)
        best = np.argsort(-outputs.logits[0])[:5]
        assert [each.name for each in shown] == [LABELS[index] for index in best]
        assert [each.probability for each in shown] == pytest.approx(softmax(outputs.logits[0])[best], rel=1e-4)
        for each in shown:
            assert re.search(rf"{each.probability:.1%} +{each.name}", finished.shown.stdout)


def test_the_record_agrees_with_the_file(finished):
    record, path = finished.record, finished.out / "model.sqz"
    data = path.read_bytes()
    model = container.decode(data)
    assert record.file.file_bytes == len(data) == record.stages[-1].file_bytes
    assert record.file.weights_sha256 == container.weights_sha256(model)
    assert (model.architecture, model.classes, model.labels) == ("squeezenet1_1", 10, LABELS)
    for name in model.weight_names():
        tensor = model.tensors[name]
        assert isinstance(tensor, Shared)
        assert len(np.unique(tensor.to_dense())) <= 2**3
        assert (tensor.to_dense() == 0).mean() >= 0.59
    assert all(isinstance(model.tensors[name], Dense) for name in set(model.tensors) - set(model.weight_names()))


def test_the_record_has_the_outcome_of_each_validation_photo(finished):
    proof, outcomes = finished.record.stages[-1], finished.record.outcomes
    assert len(outcomes.top1_classes) == proof.fidelity.photos
    assert np.mean(np.equal(outcomes.label_ranks, 1)) == proof.accuracy.top1.value
    assert np.mean(np.greater(outcomes.label_ranks, 0)) == proof.accuracy.top5.value
    assert np.mean(outcomes.divergences_nats) == pytest.approx(proof.fidelity.divergence_nats.value, rel=1e-3)


def test_a_network_without_batch_norms_to_fold_is_validated_once(finished):
    titles = []

    @contextmanager
    def progress(title, total):
        titles.append(title)
        yield lambda count: None

    StageRecorder(load_inputs(read_pipeline(finished.pipeline), finished.out / "cache", "cpu", progress))
    assert titles.count("validating") == 1


def test_every_stage_is_recorded_with_its_measurements(finished):
    stages = finished.record.stages
    assert [stage.kind for stage in stages] == ["baseline", "prune", "share", "distill", "encode", "proof"]
    weights = sum(layer.weights for layer in finished.record.layers if len(layer.shape) > 1)
    for stage in stages:
        assert stage.bits_per_weight == pytest.approx(stage.file_bytes * 8 / weights)
        assert stage.distinct_values > 0
        assert stage.peak_memory_bytes > 10_000_000
        assert (stage.accuracy.photos, stage.fidelity.photos) == (4, 4)
        assert 0 <= stage.fidelity.agreement.low <= stage.fidelity.agreement.value <= 1
        assert np.isfinite(stage.fidelity.divergence_nats.value)
    for stage in stages[1:4]:
        assert stage.seconds > 0
        assert stage.validation_seconds > 0
    baseline, prune, share, distill, encode, proof = stages
    assert (baseline.sparsity, baseline.fidelity.agreement.value) == (0, 1)
    assert baseline.fidelity.divergence_nats.value == 0
    assert prune.sparsity == pytest.approx(0.6, abs=1e-3)
    assert share.distinct_values <= 26 * 8
    assert encode.file_bytes < share.file_bytes < prune.file_bytes < baseline.file_bytes
    assert encode.options == {"codecs": ["huffman", "huffman-runs"]}
    assert distill.options["steps"] == 2
    assert proof.accuracy == distill.accuracy
    assert proof.fidelity.agreement == distill.fidelity.agreement


def test_the_record_has_the_loss_of_each_step_of_a_training(finished):
    *_, distill, _, _ = finished.record.stages
    assert [step for step, _ in distill.training.losses] == [1, 2]
    assert all(loss > 0 for _, loss in distill.training.losses)
    assert [stage.name for stage in finished.record.stages if stage.training] == ["distill"]


def test_the_record_has_what_the_error_of_each_layer_costs(finished):
    layers = [layer for layer in finished.record.layers if len(layer.shape) > 1]
    for layer in layers:
        before, after = (
            model.tensors[layer.name].to_dense()
            for model in (float_squeezenet(), container.read(finished.out / "model.sqz"))
        )
        assert layer.relative_error == pytest.approx(((after - before) ** 2).sum() / (before**2).sum(), rel=1e-3)
    assert any(layer.divergence_nats for layer in layers)
    assert "cost of an error, nats" in (finished.out / "report.html").read_text("utf-8")


def test_changed_photos_are_shown_unless_the_pipeline_says_no(finished, tmp_path):
    record = finished.record
    agreed = round(record.stages[-1].fidelity.agreement.value * 4)
    assert len(record.changed_photos) == 4 - agreed
    again = invoke(
        "-q", "run", finished.pipeline, "--out", tmp_path, "--cache", finished.out / "cache", "--device", "cpu",
        "--set", "report.photos=false",
    )  # fmt: skip
    assert again.exit_code == 0, again.output
    private, page = (
        (tmp_path / "report.json").read_text("utf-8"),
        (tmp_path / "report.html").read_text("utf-8"),
    )
    assert from_json(private).changed_photos is None
    assert not (tmp_path / "thumbnails.json").exists()
    assert "data:image" not in page
    for name in Digits(limit=4).load(float_squeezenet().preprocessing, "validation", classes=10).names:
        assert name not in private
        assert name not in page
    stages = from_json(private).stages
    assert [stage.name for stage in stages if stage.from_cache] == ["prune", "share", "distill"]
    assert stages[3].training == record.stages[3].training
    assert "3 stages came from the cache: prune, share, distill." in " ".join(page.split())
    assert "\nfrom the cache: prune, share, distill; seconds are those of the run that computed them\n" in again.stdout


def test_the_record_has_the_origin_of_weights_photos_and_options(finished):
    record = finished.record
    assert record.pipeline == "digits"
    assert record.description == "Digits, in a few seconds."
    assert record.weights_source == "the checkpoint float.safetensors, ignoring loss.weight"
    assert record.weights_sha256 == container.weights_sha256(float_squeezenet())
    assert record.command == f"squeeze-compress run {finished.pipeline}"
    assert "sparsity: 0.6" in record.configuration
    assert [(data.role, data.photos, data.labeled) for data in record.data] == [
        ("calibration", 2, True),
        ("validation", 4, True),
    ]
    assert all(goal.met for goal in record.goals)
    assert {"python", "torch", "numpy"} <= set(record.versions)


def test_the_report_is_a_page_with_the_hash_of_the_file(finished):
    page = (finished.out / "report.html").read_text("utf-8")
    assert page.startswith("<!doctype html>") or page.startswith("<!DOCTYPE html>")
    assert finished.record.file.sha256 in page


def test_equal_seeds_give_equal_bytes_and_a_missed_goal_exit_code_3_with_all_files(finished, tmp_path):
    again = invoke(
        "-q", "run", finished.pipeline, "--out", tmp_path, "--set", "goal.bytes=1 kB", "--seed", 0, "--device", "cpu"
    )
    assert again.exit_code == 3
    file_bytes = (tmp_path / "model.sqz").stat().st_size
    warning, error = again.stderr.splitlines()
    assert warning.startswith("WARNING: top-1 is 0.0%, near chance (10.0%)")  # the network has random weights
    assert error == f"error: the goal was missed: bytes of the file by {file_bytes - 1000:,} bytes"
    lines = again.stdout.split("goal MISSED: ")[1].splitlines()
    assert lines[0] == (
        f"bytes of the file at most 1,000 bytes, reached {file_bytes:,} bytes: missed by {file_bytes - 1000:,} bytes"
    )
    assert re.match(
        rf"  indices take most, [\d,]+ of {file_bytes:,} bytes \(.*%\); the largest layer is [\w.]+, ", lines[1]
    )
    assert (tmp_path / "model.sqz").read_bytes() == (finished.out / "model.sqz").read_bytes()
    assert (tmp_path / "report.html").exists()
    record = from_json((tmp_path / "report.json").read_text("utf-8"))
    assert [goal.met for goal in record.goals] == [False, True]
    assert record.command == f"squeeze-compress run {finished.pipeline} --set 'goal.bytes=1 kB' --seed 0"
    assert "goal: {bytes: 1 kB" in record.configuration


def test_the_python_api_runs_the_real_network_on_unlabeled_photos(tmp_path):
    (tmp_path / "p.yaml").write_text("stages: [{pass: share, bits: 4, kmeans_iterations: 1}]\nencode: {coding: raw}\n")
    few = ("data.calibration.count=1", "data.validation.count=2", "goal.min_agreement=1")
    result = compress.run(tmp_path / "p.yaml", tmp_path / "out", few, device="cpu")
    assert result.model_path == tmp_path / "out" / "model.sqz"
    assert result.report_path == tmp_path / "out" / "report.html"
    proof = result.record.stages[-1]
    assert proof.accuracy is None
    assert result.goal_met == (proof.fidelity.agreement.value == 1)
    assert {layer.codec for layer in result.record.layers} == {"raw", "plain"}
    assert json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))["network"] == "squeezenet1_1"
    arrays = compress.read(result.model_path)
    module = compress.load(result.model_path)
    for name, parameter in module.named_parameters():
        assert np.array_equal(parameter.detach().numpy(), arrays[name])


def test_context_coding_without_class_names_gives_the_same_weights_in_fewer_bytes(finished, tmp_path):
    again = invoke(
        "--quiet", "run", finished.pipeline, "--out", tmp_path, "--device", "cpu",
        "--set", "encode.coding=context", "--set", "encode.labels=none",
    )  # fmt: skip
    assert again.exit_code == 0
    before, after = (container.read(folder / "model.sqz") for folder in (finished.out, tmp_path))
    assert (before.labels, after.labels) == (LABELS, ())
    assert container.weights_sha256(before) == container.weights_sha256(after)
    record = from_json((tmp_path / "report.json").read_text("utf-8"))
    assert {"context", "planes"} <= {layer.codec for layer in record.layers}
    for one, other in zip(record.stages[-2:], finished.record.stages[-2:], strict=True):
        assert one.file_bytes < other.file_bytes
    assert record.stages[-1].file_bytes == record.stages[-2].file_bytes == (tmp_path / "model.sqz").stat().st_size


def test_the_error_of_a_process_that_cannot_read_the_file_is_shown(finished, tmp_path):
    cut = tmp_path / "cut.sqz"
    cut.write_bytes((finished.out / "model.sqz").read_bytes()[:-1])
    photos = Digits(limit=1).load(float_squeezenet().preprocessing, "validation", classes=10)
    with pytest.raises(
        SqueezeError, match=r"cut\.sqz could not be read back in a fresh process: .*the file is cut off"
    ):
        run_round_trip(cut, photos, "cpu")


def test_a_run_ends_before_its_stages_if_its_results_cannot_be_written(finished, tmp_path):
    (tmp_path / "out" / "model.sqz").mkdir(parents=True)
    (tmp_path / "file").touch()
    for out, message in ((tmp_path / "out", "model.sqz: is a folder"), (tmp_path / "file" / "x", "file/x: Not a dir")):
        shown = invoke("run", finished.pipeline, "--out", out, "--cache", tmp_path / "cache", "--device", "cpu")
        assert (shown.exit_code, shown.stdout) == (1, "")
        assert message in shown.stderr
    assert [*tmp_path.glob("cache/stage-*"), *(tmp_path / "out").glob("*.json")] == []


def test_a_skipped_photo_with_an_invalid_name_does_not_break_the_report(finished):
    photos = Digits(limit=1).load(float_squeezenet().preprocessing, "validation", classes=10)
    named = replace(photos, skipped=("caf\udce9.png: not a photo",))
    record = replace(finished.record, data=(data_record("validation", named),))
    assert from_json(to_json(record)) == record
    assert to_html(record).encode()


def test_a_report_of_private_photos_names_no_skipped_photo():
    photos = Digits(limit=1).load(float_squeezenet().preprocessing, "validation", classes=10)
    record = data_record("validation", replace(photos, skipped=("ann.png: not a photo",)), show_names=False)
    assert len(record.skipped) == 1
    assert "ann" not in record.skipped[0]


def test_runs_can_share_a_cache(tmp_path):
    """The second finds the first's statistics: another target, the same photos."""
    photos = "{source: digits, limit: 20}"
    data = f"data: {{calibration: {photos}, validation: {photos}}}"
    text = f"model: {{factory: 'user_networks:mobilenet', input_size: 32}}\n{data}\n"
    for name, slope in (("first", 1e-4), ("second", 1e-3)):
        pipeline = tmp_path / f"{name}.yaml"
        pipeline.write_text(f"{text}stages:\n  - {{pass: quantize, lambda: {slope}, trellis: false}}\n", "utf-8")
        cache = tmp_path / "cache"
        shown = invoke("run", pipeline, "--out", tmp_path / name, "--cache", cache, "--device", "cpu")
        assert shown.exit_code == 0, shown.output
        assert not (tmp_path / name / "cache").exists()
        assert len(list(cache.glob("statistics-*.npz"))) == 1
