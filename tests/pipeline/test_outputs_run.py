"""Runs on networks of several outputs, maps and values: each is compressed, compared and read back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from output_networks import regression

from compress import compare, container, evaluate, load
from compress.cli.main import main
from compress.cli.run_command import show_result
from compress.configuration.config import read_pipeline
from compress.errors import ConfigError, GoalMissed, SqueezeError
from compress.pipeline.runner import run
from compress.report.report_json import from_json
from compress.tensors.forms import Dense, Shared

RUN = """\
model: {{factory: "output_networks:{factory}", outputs: {outputs}, input_size: 32, resize: squash}}
data:
  calibration: {{source: digits, limit: 40}}
  validation: {{source: digits, limit: 20}}
stages: [{stages}]
encode: {{coding: {coding}}}
goal: {{{goal}}}
"""
SHARED = """{pass: prune, sparsity: 0.3, criterion: fisher}, {pass: share, bits: 5, importance: fisher},
  {pass: distill, steps: 4, batch: 10}"""
QUANTIZED = "{pass: simplify}, {pass: quantize, lambda: 1.0e-6, sensitivity_photos: 8}"


def write(folder, factory, outputs, stages=SHARED, goal="", coding="huffman"):
    text = RUN.format(factory=factory, outputs=outputs, stages=stages, goal=goal, coding=coding)
    (folder / "p.yaml").write_text(text)
    return folder / "p.yaml"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the result of a run with the given text of `outputs`; each runs once."""
    results = {}

    def result(factory, outputs, stages=SHARED, goal="", coding="huffman"):
        key = factory, outputs, stages
        if key not in results:
            folder = tmp_path_factory.mktemp(factory)
            pipeline = read_pipeline(write(folder, factory, outputs, stages, goal, coding))
            results[key] = run(pipeline, folder / "out", device="cpu")
        return results[key]

    return result


def test_a_segmentation_network_is_compared_by_the_divergence_at_its_positions(finished):
    record = finished("segmentation", "{kind: distribution}", goal="max_divergence: 1, min_agreement: 0.5").record
    *_, shared, distilled, _, proof = record.stages
    assert record.compared == "class probabilities at 1,024 positions"
    assert all(goal.met for goal in record.goals)
    assert 0 < distilled.fidelity.error.value < shared.fidelity.error.value < 0.1
    assert proof.fidelity == distilled.fidelity
    assert 0.9 < proof.fidelity.agreement.value <= 1
    assert (proof.accuracy, record.example, record.outcomes, record.changed_photos) == (None, None, None, None)
    assert not any(data.labeled for data in record.data)  # a digit is no class of its pixels
    assert all(layer.divergence_nats is not None for layer in record.layers if len(layer.shape) > 1)


def test_values_are_compared_by_their_squared_error(finished):
    result = finished("regression", "{kind: values}", QUANTIZED, "max_relative_mse: 0.2", "context")
    fidelity = result.record.stages[-1].fidelity
    assert (fidelity.agreement, fidelity.divergence_nats) == (None, None)
    assert 0 < fidelity.relative_mse.value < 0.2
    assert [goal.quantity for goal in result.record.goals] == ["relative mean squared error"]
    assert from_json((result.report_path.parent / "report.json").read_text()) == result.record


def test_a_head_of_logits_makes_a_classifier_and_the_other_head_stays_float(finished):
    result = finished("two_heads", "0", QUANTIZED, coding="context")
    assert result.record.compared == ""
    assert result.record.stages[-1].accuracy is not None
    tensors = container.read(result.model_path).tensors
    assert isinstance(tensors["logits.weight"], Shared)
    assert isinstance(tensors["box.weight"], Dense)
    network = load(result.model_path, factory="output_networks:two_heads")
    logits, box = network(torch.zeros(1, 3, 32, 32))
    assert (logits.shape, box.shape) == ((1, 10), (1, 4))


def test_a_tensor_deep_in_a_dictionary_is_compared_and_all_outputs_are_returned(finished):
    result = finished("backbone", "{tensor: features.p1, kind: values}")
    assert result.record.compared == "values at 256 positions of output features.p1"
    compressed = {layer.name for layer in result.record.layers if layer.codec_bytes}
    assert compressed == {"segmentation.down.0.weight"}
    outputs = load(result.model_path, factory="output_networks:backbone")(torch.zeros(2, 3, 32, 32))
    assert outputs["out"].shape == (2, 5, 32, 32)


def test_models_of_the_same_outputs_are_compared(finished, tmp_path):
    probabilities, values = finished("segmentation", "{kind: distribution}").model_path, tmp_path / "values.sqz"
    model, architecture = container.read(probabilities), 'output_networks:segmentation {"outputs":{"kind":"values"%s}}'
    values.write_bytes(container.encode(replace(model, architecture=architecture % ',"positions":1024')))
    factory = "output_networks:segmentation"
    same = compare(probabilities, probabilities, "samples", limit=4, factory=factory)
    assert (same.agreement.value, same.divergence_nats.value, same.relative_mse) == (1, 0, None)
    assert (same.differing, same.photos[0].a) == ((), None)
    same = compare(values, values, "samples", limit=4, factory=factory)
    assert (same.agreement, same.relative_mse.value, same.photos[0].relative_mse) == (None, 0, 0)
    with pytest.raises(ConfigError, match=r"compared outputs differ: .*probabilities.*values"):
        compare(probabilities, values, "samples", limit=4, factory=factory)
    with pytest.raises(SqueezeError, match=r"no classifier: .*class probabilities at 1,024 positions"):
        evaluate(probabilities, tmp_path, factory=factory)


SEGMENTATION = "segmentation", "{kind: distribution}", SHARED
REGRESSION = "regression", "{kind: values}", QUANTIZED


@pytest.mark.parametrize(
    ("key", "words", "other_words"),
    [
        (SEGMENTATION, ["agreement", "KL, nats", "class probabilities at 1,024 positions"], ["top-1", "relative MSE"]),
        (REGRESSION, ["relative MSE", "Compared with the float network: values"], ["top-1", "KL", "agreement"]),
    ],
)
def test_terminal_and_pages_name_the_error_and_no_classes(finished, key, words, other_words, tmp_path, capsys):
    result = finished(*key)
    show_result(result)
    shown = capsys.readouterr().out
    assert all(word in shown for word in words)
    assert not any(word in shown for word in other_words)
    page = result.report_path.read_text()
    assert f"Compared with the float network: {result.record.compared}." in page
    assert ("nats" in page) is (key == SEGMENTATION)
    assert "Top-1" not in page
    assert ("Relative mean squared error" in page) is (key == REGRESSION)
    folder, invoke = str(result.report_path.parent), CliRunner().invoke
    assert f", {result.record.compared}\n" in invoke(main, ["inspect", str(result.model_path)]).stdout
    assert words[0] in invoke(main, ["report", folder, folder, "--format", "md"]).stdout
    invoke(main, ["report", folder, folder, "-o", str(tmp_path / "c.html")], catch_exceptions=False)
    assert ("Relative MSE" in (tmp_path / "c.html").read_text()) is (key == REGRESSION)


@pytest.mark.parametrize(
    ("outputs", "goal", "stages", "key", "allowed"),
    [
        ("{kind: values}", "max_divergence: 0.1", "", "goal.max_divergence", "max_relative_mse"),
        ("{kind: distribution}", "max_top1_drop: 1", "", "goal.max_top1_drop", "max_divergence, min_agreement"),
        ("{kind: distribution}", "max_relative_mse: 1", "", "goal.max_relative_mse", "max_divergence"),
        ("{kind: values}", "", "{pass: train}", "stages.0.pass", "distill"),
        ("{kind: classes}", "", "", "model.outputs.kind", "distribution, values"),
    ],
)
def test_a_limit_or_stage_that_does_not_suit_the_outputs_is_an_error_with_its_line(
    outputs, goal, stages, key, allowed, tmp_path
):
    path = write(tmp_path, "segmentation", outputs, stages, goal)
    shown = CliRunner().invoke(main, ["run", str(path), "--out", str(tmp_path / "out")])
    assert shown.exit_code == 2
    assert f"{path}:" in shown.stderr
    assert key in shown.stderr
    assert allowed in " ".join(shown.stderr.split())


def test_the_limit_on_the_error_of_values_gates_a_comparison_with_a_checkpoint(finished, tmp_path):
    torch.save(regression().state_dict(), tmp_path / "other.pth")
    command = ["compare", str(finished(*REGRESSION).model_path), str(tmp_path / "other.pth"), "--data", "samples"]
    command += ["--limit", "5", "--factory", "output_networks:regression", "--json", "--max-relative-mse"]
    assert CliRunner().invoke(main, [*command, "1e9"]).exit_code == 0
    missed = CliRunner().invoke(main, [*command, "0"])
    assert missed.exit_code == GoalMissed.exit_code
    assert json.loads(missed.stdout)["relative_mse"]["value"] > 0
