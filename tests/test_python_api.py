"""The Python API: `read` returns arrays, `load` a torch module; `run` and `compare` do what the commands do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from forge import small_file
from PIL import Image
from small_models import shared_squeezenet

import compress
from benchmarks.format_models import small_model
from compress import container
from compress.errors import ConfigError, FormatError, WeightsError

GOLDEN = Path(__file__).parent / "golden" / "small-v1.sqz"


def test_read_returns_float32_arrays_by_name_in_file_order(tmp_path):
    (tmp_path / "m.sqz").write_bytes(small_file())
    for path in (tmp_path / "m.sqz", str(tmp_path / "m.sqz")):
        arrays = compress.read(path)
        assert list(arrays) == list(small_model().tensors)
        for name, tensor in small_model().tensors.items():
            assert arrays[name].dtype == np.float32
            assert np.array_equal(arrays[name], tensor.to_dense())


def test_read_works_without_torch():
    code = """
import sys
sys.modules["torch"] = None  # importing it fails
import compress
print(len(compress.read(sys.argv[1])))
"""
    done = subprocess.run([sys.executable, "-c", code, GOLDEN], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(len(compress.read(GOLDEN))), done.stderr


def test_load_returns_a_module_in_evaluation_mode_with_the_weights_of_the_file(tmp_path):
    model = shared_squeezenet()
    container.write(tmp_path / "m.sqz", model)
    module = compress.load(tmp_path / "m.sqz")
    assert not module.training
    for name, parameter in module.named_parameters():
        assert np.array_equal(parameter.detach().numpy(), model.tensors[name].to_dense())
    with torch.inference_mode():
        assert module(torch.zeros(2, 3, 64, 64)).shape == (2, 10)


@pytest.mark.parametrize("read", [compress.read, compress.load, compress.inspect])
def test_a_file_of_another_format_is_refused(tmp_path, read):
    (tmp_path / "m.sqz").write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(FormatError, match=r"not a \.sqz file"):
        read(tmp_path / "m.sqz")


def test_tensors_that_do_not_fit_the_network_are_refused(tmp_path):
    model = shared_squeezenet()
    fewer = {name: tensor for name, tensor in model.tensors.items() if name != "classifier.1.bias"}
    container.write(tmp_path / "m.sqz", type(model)(model.architecture, 10, model.preprocessing, fewer))
    with pytest.raises(WeightsError, match=r"missing classifier\.1\.bias \(10,\)"):
        compress.load(tmp_path / "m.sqz")


def test_run_refuses_a_bad_configuration_and_writes_nothing(tmp_path):
    (tmp_path / "p.yaml").write_text("stages: [{pass: share}]\n")
    with pytest.raises(ConfigError, match=r"^--set: stages\.share\.bits: cannot be 99"):
        compress.run(tmp_path / "p.yaml", tmp_path / "out", ["stages.share.bits=99"])
    with pytest.raises(ConfigError, match="neither a pipeline file nor a built-in pipeline; did you mean 'squeezenet'"):
        compress.run("squeeznet", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_public_names_exist():
    assert all(hasattr(compress, name) for name in compress.__all__)
    assert compress.__version__.count(".") == 2


def test_one_photo_and_one_override_need_no_list(tmp_path):
    container.write(tmp_path / "m.sqz", shared_squeezenet())
    photo = tmp_path / "photo.png"
    Image.new("RGB", (9, 9)).save(photo)
    expected = compress.predict(tmp_path / "m.sqz", [photo], k=2)
    assert compress.predict(tmp_path / "m.sqz", photo, k=2) == compress.predict(tmp_path / "m.sqz", str(photo), k=2)
    assert compress.predict(tmp_path / "m.sqz", photo, k=2) == expected
    with pytest.raises(ConfigError, match="--set: sed: unknown key"):
        compress.run("digits", tmp_path / "out", "sed=1")


@pytest.mark.parametrize("k", [0, -1])
def test_no_class_to_predict_is_an_error(tmp_path, k):
    with pytest.raises(ConfigError, match=f"k: {k} classes"):
        compress.predict("squeezenet", [], k=k)


@pytest.mark.parametrize(
    ("options", "problem"),
    [({"limit": 0}, "0 photos .allowed: at least 1"), ({"labels": "name"}, "unknown rule 'name'")],
)
def test_a_wrong_limit_or_rule_of_labels_is_an_error(tmp_path, options, problem):
    with pytest.raises(ConfigError, match=problem):
        compress.evaluate("squeezenet", tmp_path, **options)
    with pytest.raises(ConfigError, match=problem):
        compress.compare("squeezenet", "squeezenet-240k", tmp_path, **options)
