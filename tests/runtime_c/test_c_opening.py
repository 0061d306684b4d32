"""Opening a network reads each tensor once, whatever its program says: time is in proportion to the file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from c_network import build
from test_c_user_networks import MEAN, program_of

from compress.container.file import encode
from compress.model import Model, Preprocessing
from compress.tensors.forms import Dense, Shared, Tensor

PIXELS = Preprocessing(2, 2, "squash", "RGB", 1.0, (0.0,), (1.0,))
OPERATIONS = 500


@pytest.fixture(scope="module")
def count_calls(tmp_path_factory) -> Path:
    source = Path(__file__).with_name("count_calls.c")
    return build(tmp_path_factory.mktemp("calls") / "count_calls", source, ("-O0", "-finstrument-functions"))


def calls_to_open(program: Path, folder: Path, model: Model, codec: str) -> int:
    (folder / "model.sqz").write_bytes(encode(model, [codec]))
    done = subprocess.run([program, folder / "model.sqz"], capture_output=True, text=True, check=True)
    error, calls = done.stdout.split()
    assert error == "ok"
    return int(calls)


def convolution(weights: int, bias: int) -> list[int]:
    return [0, 0, 1, weights, bias + 1, 1, 1, 1, 0, 0, 1, 1]


def test_tensors_at_the_end_of_the_file_cost_no_more_than_those_at_the_start(count_calls, tmp_path):
    """The bias lies before the weights, so that both are never in ascending order."""
    unused: dict[str, Tensor] = {f"unused{number}": Dense(np.zeros(3, np.float32)) for number in range(2000)}
    used = {"bias": Dense(np.zeros(3, np.float32)), "weights": Dense(np.zeros((3, 3, 1, 1), np.float32))}
    calls = []
    for tensors, bias in ((used | unused, 0), (unused | used, 2000)):
        program = program_of(*[convolution(bias + 1, bias)] * OPERATIONS, MEAN)
        model = Model("networks:make", 3, PIXELS, tensors, (), program)
        calls.append(calls_to_open(count_calls, tmp_path, model, "raw"))
    assert calls[1] <= 1.1 * calls[0]


def test_the_code_of_a_tensor_is_read_once_however_often_it_is_used(count_calls, tmp_path):
    """Two tensors with large codes take turns, the later one first."""
    indices = np.random.default_rng(0).permutation(4096).astype(np.uint16).reshape(64, 64, 1, 1)
    weights = Shared(np.arange(4096, dtype=np.float32), indices, "float32")
    tensors: dict[str, Tensor] = {"bias": Dense(np.zeros(64, np.float32)), "earlier": weights, "later": weights}
    tensors["first"] = Dense(np.zeros((64, 3, 1, 1), np.float32))
    calls = []
    for earlier, later in ((2, 2), (1, 2)):
        turns = [convolution(later, 0), convolution(earlier, 0)] * (OPERATIONS // 2)
        model = Model("networks:make", 64, PIXELS, tensors, (), program_of(convolution(3, 0), *turns, MEAN))
        calls.append(calls_to_open(count_calls, tmp_path, model, "huffman"))
    assert calls[1] <= 1.1 * calls[0]
