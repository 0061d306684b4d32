"""Runs on networks of user code, from training to the decoded file."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn
from user_networks import mobilenet, resnet18

from compress import container, load
from compress.cli.main import main
from compress.configuration.config import read_pipeline
from compress.errors import PassError, SqueezeError
from compress.model import trust_factory
from compress.networks.modules import to_module
from compress.pipeline.inputs import load_inputs
from compress.pipeline.runner import run
from compress.pipeline.stages import run_stages
from compress.tensors.forms import Dense, Shared

DATA = """
data:
  calibration: {source: digits, limit: 80}
  validation: {source: digits, limit: 40}
"""
FROM_SCRATCH = f"""\
model: {{factory: "user_networks:mobilenet", input_size: 32, resize: squash}}
{DATA}
stages:
  - {{pass: train, epochs: 3, batch: 20, optimizer: adamw, learning_rate: 0.003, flip: false, validation_split: 0}}
  - {{pass: prune, sparsity: 0.5, criterion: fisher}}
  - {{pass: share, bits: 5, importance: fisher}}
  - {{pass: distill, steps: 3}}
  - {{pass: train, name: again, epochs: 1, batch: 20, optimizer: adamw, learning_rate: 0.0001, flip: false}}
encode: {{coding: huffman}}
"""
FROM_A_CHECKPOINT = f"""\
model:
  factory: user_networks:resnet18
  args: {{classes: 10, width: 8}}
  preprocessing: {{height: 32, width: 32, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25], resize: squash}}
{DATA}
stages:
  - {{pass: share, bits: 7, init: density, kmeans_iterations: 10}}
"""


@pytest.fixture(scope="module")
def mobile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mobile")
    (folder / "p.yaml").write_text(FROM_SCRATCH)
    return run(read_pipeline(folder / "p.yaml"), folder / "out", device="cpu")


def test_a_network_with_depthwise_layers_and_batch_norms_is_compressed(mobile):
    *_, shared, distilled, again, _, proof = mobile.record.stages
    assert shared.file_bytes < mobile.record.float_bytes / 2
    assert again.accuracy == proof.accuracy
    assert distilled.fidelity.divergence_nats.value < shared.fidelity.divergence_nats.value
    assert mobile.record.network == "user_networks:mobilenet"
    network = load(mobile.model_path, factory="user_networks:mobilenet")
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_a_stage_after_which_the_network_has_no_finite_outputs_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "standardized.py").write_text(
        "from torch import nn\n"
        "class Standardized(nn.Conv2d):\n"
        "    def forward(self, x): return super().forward(x) / self.weight.abs().amin()\n"
        "def made(): return nn.Sequential(Standardized(3, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    (tmp_path / "p.yaml").write_text(
        f"model: {{factory: 'standardized:made', input_size: 32, resize: squash}}\n{DATA}\n"
        "stages: [{pass: prune, sparsity: 0.3}]\n"
    )
    with pytest.raises(PassError, match=r"^stage prune: the network's output is not finite: .* weights that are zero"):
        run(read_pipeline(tmp_path / "p.yaml"), tmp_path / "out", device="cpu")


def test_layers_are_compressed_and_batch_norms_stay_float32(mobile):
    tensors = container.read(mobile.model_path).tensors
    layers = {name for name, part in mobilenet().named_parameters() if part.dim() > 1}
    for name, tensor in tensors.items():
        if name in layers:
            assert isinstance(tensor, Shared)
            assert (tensor.to_dense() == 0).mean() >= 0.5 - 1 / tensor.to_dense().size
        else:
            assert isinstance(tensor, Dense)
            assert tensor.stored_as == ("float16" if name == "10.bias" else "float32")


def test_training_updates_the_running_statistics_of_batch_norms(mobile):
    tensors = container.read(mobile.model_path).tensors
    assert not np.allclose(tensors["1.running_mean"].to_dense(), 0, atol=1e-3)


def test_layers_of_every_kind_are_quantized(mobile, tmp_path):
    text = FROM_SCRATCH[: FROM_SCRATCH.index("  - {pass: prune")]
    (tmp_path / "p.yaml").write_text(f"{text}  - {{pass: quantize, lambda: 1.0e-6}}\nencode: {{coding: context}}\n")
    cache = mobile.model_path.parent / "cache"  # the training is there
    done = run(read_pipeline(tmp_path / "p.yaml"), tmp_path / "out", cache=cache, device="cpu")
    assert done.record.file.file_bytes < mobile.record.file.file_bytes
    assert done.record.stages[-1].fidelity.agreement.value >= 0.9


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    network = resnet18(10, 8).train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(8, 3, 32, 32))
        network[-1].weight *= 100  # photos are to make a difference
    path = tmp_path_factory.mktemp("residual") / "trained.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.mark.parametrize("fold", [False, True])
def test_a_residual_network_is_compressed_with_and_without_batch_norms(checkpoint, fold, tmp_path):
    (tmp_path / "p.yaml").write_text(FROM_A_CHECKPOINT)
    options = f"model.checkpoint={checkpoint}", f"model.fold_batch_norm={str(fold).lower()}"
    pipeline = read_pipeline(tmp_path / "p.yaml", options)
    done = run(pipeline, tmp_path / "out", device="cpu")
    assert done.record.file.file_bytes < done.record.float_bytes / 3
    assert done.record.stages[-1].fidelity.agreement.value >= 0.8
    read = container.read(done.model_path)
    assert any("running" in name for name in read.tensors) is not fold
    to_module(trust_factory(read, "user_networks:resnet18"))
    (again,) = run_stages(pipeline, load_inputs(pipeline, tmp_path / "out" / "cache", "cpu"))
    assert again.from_cache
    assert container.encode(again.model, pipeline.encode.codecs) == done.model_path.read_bytes()


def test_commands_run_the_code_that_a_file_names_only_if_allowed(mobile):
    def describe(*more: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["describe", str(mobile.model_path), *more])
        return result.exit_code, " ".join(result.output.split())

    code, said = describe()
    assert code == 1
    assert "--factory user_networks:mobilenet" in said
    code, said = describe("--factory", "user_networks:mobilenet")
    assert code == 0
    assert "conv 3x3 in 16 groups" in said
    assert describe("--factory", "user_networks:resnet18")[0] == 2


NOT_TWICE = """
import sys
from user_networks import mobilenet
def net():
    if "compress.evaluation.round_trip" in sys.orig_argv:
        raise RuntimeError("not in a fresh process")
    return mobilenet()
"""


def test_a_file_that_fails_its_proof_leaves_the_files_of_an_earlier_run(tmp_path, monkeypatch):
    (tmp_path / "not_twice.py").write_text(NOT_TWICE)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "p.yaml").write_text(
        "model: {factory: 'not_twice:net', input_size: 32, resize: squash}\n"
        "data: {calibration: {source: digits, limit: 10}, validation: {source: digits, limit: 10}}\n"
    )
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.sqz").write_bytes(b"an old model")
    with pytest.raises(SqueezeError, match="not in a fresh process"):
        run(read_pipeline(tmp_path / "p.yaml"), tmp_path / "out", device="cpu")
    assert (tmp_path / "out" / "model.sqz").read_bytes() == b"an old model"


class Talkative(nn.Sequential):
    """Prints a dot for each batch, and does not end the line."""

    def forward(self, x):
        print(".", end="")
        return super().forward(x)


def talkative() -> nn.Module:
    return Talkative(nn.Conv2d(3, 10, 5, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_a_network_that_prints_does_not_disturb_the_proof(tmp_path):
    model = f'{{factory: "{__name__}:talkative", input_size: 32, resize: squash}}'
    (tmp_path / "p.yaml").write_text(f"model: {model}\n{DATA}\nstages: []\nencode: {{coding: huffman}}\n")
    record = run(read_pipeline(tmp_path / "p.yaml"), tmp_path / "out", device="cpu").record
    assert record.stages[-1].fidelity.divergence_nats.value < 1e-9


class CachedWeights(nn.Sequential):
    """Scales by a weight that the first network of the process leaves in the class."""

    first: float | None = None

    def forward(self, x):
        if CachedWeights.first is None:
            CachedWeights.first = float(self[0].weight.detach().abs().max())
        return super().forward(x) * CachedWeights.first


def cached_weights() -> nn.Module:
    return CachedWeights(nn.Conv2d(3, 10, 5, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_a_network_that_has_other_outputs_in_a_new_process_fails_its_proof(tmp_path):
    torch.save({name: 2 * each for name, each in cached_weights().state_dict().items()}, tmp_path / "w.pth")
    model = f'{{factory: "{__name__}:cached_weights", checkpoint: {tmp_path}/w.pth, input_size: 32, resize: squash}}'
    stages = "[{pass: prune, sparsity: 0.5, criterion: magnitude}]"
    (tmp_path / "p.yaml").write_text(f"model: {model}\n{DATA}\nstages: {stages}\nencode: {{coding: huffman}}\n")
    with pytest.raises(SqueezeError, match="other outputs in a new process"):
        run(read_pipeline(tmp_path / "p.yaml"), tmp_path / "out", device="cpu")


class NormOverTokens(nn.Module):
    """A batch norm over as many tokens as the linear layer before it has outputs: folding would mix them up."""

    def __init__(self, squashed: bool = False) -> None:
        super().__init__()
        self.squashed = squashed
        self.patches, self.mix = nn.Conv2d(3, 16, 8, 8), nn.Linear(16, 16)
        self.norm, self.head = nn.BatchNorm1d(16), nn.Linear(16, 10)
        self.norm.running_mean.normal_()

    def forward(self, x):
        x = self.head(self.norm(self.mix(self.patches(x).flatten(2).transpose(1, 2))).relu().mean(1))
        return x.sigmoid() if self.squashed else x


def test_batch_norms_stay_where_folding_would_change_outputs(tmp_path):
    model = f'{{factory: "{__name__}:NormOverTokens", input_size: 32, resize: squash, fold_batch_norm: true}}'
    (tmp_path / "p.yaml").write_text(f"model: {model}\n{DATA}\nstages: []\nencode: {{coding: huffman}}\n")
    record = run(read_pipeline(tmp_path / "p.yaml"), tmp_path / "out", device="cpu").record
    assert record.stages[0].notes == ("batch norms are not folded: the network's outputs would change",)
    assert record.stages[-1].fidelity.divergence_nats.value < 1e-9
    assert any("running_mean" in layer.name for layer in record.layers)


def test_a_network_that_is_not_folded_keeps_its_other_notes(tmp_path):
    model = f'{{factory: "{__name__}:NormOverTokens", args: {{squashed: true}}, input_size: 32, fold_batch_norm: true}}'
    (tmp_path / "p.yaml").write_text(f"model: {model}\n{DATA}\nstages: []\nencode: {{coding: huffman}}\n")
    sigmoid, folding = load_inputs(read_pipeline(tmp_path / "p.yaml"), tmp_path).context.reference.notes
    assert sigmoid.startswith("the network ends in a sigmoid")
    assert folding.startswith("batch norms are not folded")


PARTLY = """\
model: {{factory: "user_networks:small_network", args: {{change: {change}}}, preprocessing: {{height: 32, width: 32,
        channels: L, mean: [0.5], std: [0.25], resize: squash}}}}
data:
  calibration: {{source: digits, limit: 20}}
  validation: {{source: digits, limit: 10}}
stages: [{{pass: share, bits: 4}}]
"""


def run_partly(tmp_path, change: str, *more: str):
    (tmp_path / "p.yaml").write_text(PARTLY.format(change=change))
    return CliRunner().invoke(main, [*more, "run", str(tmp_path / "p.yaml"), "--out", str(tmp_path / "out")])


def test_a_run_says_first_what_share_of_the_network_it_compresses(tmp_path):
    result = run_partly(tmp_path, "old weight_norm")
    assert result.exit_code == 0
    assert result.output.startswith("WARNING: passes compress 210 of 1,098 parameters (19.1%); left as they are: "), (
        result.output
    )
    assert "second.weight_v" in result.output
    assert "No pass compresses 888 of 1,098 parameters (80.9%): they take 3,552 bytes as they are." in result.output


def test_the_report_labels_what_was_left_as_it_is(tmp_path):
    run_partly(tmp_path, "weight_norm")
    read = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (read["uncompressed_parameters"], read["uncompressed_bytes"]) == (888, 3552)
    assert read["file"]["value_bytes"] > read["file"]["index_bytes"] > 0
    assert max(stage["bits_per_weight"] for stage in read["stages"]) < 100
    page = (tmp_path / "out" / "report.html").read_text()
    assert "stored as they are" in page
    assert "weights in floating point, without codebook or levels" in page


def test_a_network_that_passes_compress_whole_is_no_warning(tmp_path):
    result = run_partly(tmp_path, "frozen")
    assert "WARNING" not in result.output
    assert "INFO: passes compress 1,086 of 1,086 parameters (100.0%)" in result.output
    assert "INFO" not in run_partly(tmp_path, "frozen", "--quiet").output


def test_a_network_without_weights_to_compress_is_a_configuration_error(tmp_path):
    result = run_partly(tmp_path, "functional")
    assert result.exit_code == 2
    assert "its matrices: kernel (allowed: the weights of convolutions" in " ".join(result.output.split())


def test_a_network_whose_code_does_not_support_a_pass_is_an_error_of_the_stage(tmp_path):
    (tmp_path / "p.yaml").write_text(
        PARTLY.format(change="recomputed activations").replace("pass: share, bits: 4", "pass: distill, steps: 1")
    )
    result = CliRunner().invoke(main, ["run", str(tmp_path / "p.yaml"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "stage distill: the network's code does not support this pass: CheckpointError: " in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
