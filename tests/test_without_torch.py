"""An installation without torch reads models; what needs torch ends in one error that says how to install it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import compress

ROOT = Path(__file__).parents[1]
WITHOUT_TORCH = """
import sys

class WithoutTorch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

sys.meta_path.insert(0, WithoutTorch())
"""
MODEL = ROOT / "tests" / "golden" / "small-v1.sqz"


def without_torch(folder: Path, code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process that cannot import torch."""
    command = [sys.executable, "-c", WITHOUT_TORCH + code, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def command(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return without_torch(folder, "from compress.cli.main import main; main()", *arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",), ("run", "--help"), ("pipelines",), ("init",), ("cache", "list"), ("inspect", MODEL),
        ("verify", MODEL), ("decompress", MODEL, "-o", "weights.safetensors"),
        ("export", "squeezenet", "--to", "web", "-o", "page"),
        ("export", "squeezenet", "--to", "c", "-o", "project"),
    ],
    ids=lambda arguments: " ".join(map(str, arguments[:1])),
)  # fmt: skip
def test_commands_that_read_models_need_no_torch(tmp_path, arguments):
    done = command(tmp_path, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    if arguments[0] == "decompress":
        weights, expected = load_file(tmp_path / "weights.safetensors"), compress.read(MODEL)
        assert all(np.array_equal(weights[name], values) for name, values in expected.items())


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "squeezenet"), ("compare", "embedded", MODEL, "--data", "samples"), ("describe", "squeezenet1_1"),
        ("decompress", MODEL, "-o", "weights.pth"), ("decompress", MODEL, "-o", "network.onnx"),
        ("search", "squeezenet", "--bytes", "400kB"), ("sensitivity", "squeezenet"),
    ],
    ids=lambda arguments: " ".join(map(str, arguments[:1])),
)  # fmt: skip
def test_a_command_that_needs_torch_says_how_to_install_it(tmp_path, arguments):
    done = command(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    first, *commands = done.stderr.splitlines()
    assert first.startswith("error: torch is not installed; ")
    assert commands == [
        "  pip install torch --index-url https://download.pytorch.org/whl/cpu",
        "  pip install '.[torch]'",
    ]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [("run",), ("sensitivity",), ("search", "--bytes", "400kB")])
def test_a_mistake_in_a_pipeline_is_found_before_torch_is_imported(tmp_path, arguments):
    done = command(tmp_path, arguments[0], "squeezenet", "--set", "stages.0.sparsit=2", *arguments[1:])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "error: --set: stages.0.sparsit: unknown key of pass 'prune'; did you mean 'sparsity'?"
    )


def test_functions_that_need_torch_raise_the_same_error(tmp_path):
    code = """
import compress
assert compress.read(sys.argv[1])
for call in (lambda: compress.load(sys.argv[1]), lambda: compress.run("squeezenet", "out")):
    try:
        call()
    except compress.errors.ConfigError as error:
        print(str(error).splitlines()[-1])
"""
    done = without_torch(tmp_path, code, MODEL)
    assert done.stdout == "  pip install '.[torch]'\n" * 2, done.stderr
