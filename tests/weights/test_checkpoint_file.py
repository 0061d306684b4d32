"""Checkpoints as other programs write them: what is read from them, and what each refusal says."""

from __future__ import annotations

import argparse
import gzip
import json
import pickle
import tarfile
from collections import defaultdict, deque
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from compress.errors import ConfigError, WeightsError
from compress.weights.checkpoint_file import read_checkpoint
from compress.weights.source_files import existing_file

TENSORS = {"first.weight": torch.randn(3, 4), "first.bias": torch.ones(2)}


class Annotated(torch.Tensor):
    """A tensor of the training script, such as MONAI's MetaTensor."""


class Settings(dict):
    """A class of the training script, which readers of its checkpoints do not have."""


def assert_reads(path, prefix=""):
    tensors = read_checkpoint(path).tensors
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[prefix + name], tensor)


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.bin", "w.ckpt", "w.pth.tar", "W.PTH", "w.Ckpt"])
def test_files_of_torch_save_are_read_under_their_usual_names(tmp_path, name):
    torch.save(TENSORS, tmp_path / name)
    assert_reads(tmp_path / name)


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("name", ["w.pkl", "w.th", "w.pth.20", "model_best", "w.weights"])
def test_files_of_torch_save_are_read_under_any_name(tmp_path, name, is_zip):
    torch.save(TENSORS, tmp_path / name, _use_new_zipfile_serialization=is_zip)
    assert_reads(tmp_path / name)


@pytest.mark.parametrize("name", ["w.safetensors", "model", "W.SAFETENSORS", "pytorch_model.bin", "w.pth", "w.ckpt"])
def test_files_of_safetensors_are_read_under_any_name(tmp_path, name):
    save_file(TENSORS, tmp_path / name)
    assert_reads(tmp_path / name)


def test_files_of_old_versions_of_torch_are_read(tmp_path):
    state = {"model": TENSORS, "args": argparse.Namespace(lr=0.1)}
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert_reads(tmp_path / "w.pth", "model.")


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize(
    "beside",
    [
        argparse.Namespace(lr=0.1, out=Path("out")),
        np.float64(0.75),
        np.arange(3),
        defaultdict(list, {"loss": [1.0]}),
        deque([1.0, 2.0], 3),
        partial(print, "loss", end=""),
        Settings(depth=18),
        torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], 0.1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_objects_of_a_training_script_beside_the_tensors_do_not_matter(tmp_path, beside, is_zip):
    state = {"beside": beside, "model": TENSORS}
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=is_zip)
    assert_reads(tmp_path / "w.pth", "model.")


def test_a_damaged_weight_is_an_error(tmp_path):
    torch.save(TENSORS, tmp_path / "w.pth")
    data = bytearray((tmp_path / "w.pth").read_bytes())
    data[data.index(TENSORS["first.weight"].numpy().tobytes()) + 5] ^= 1
    (tmp_path / "w.pth").write_bytes(data)
    with pytest.raises(WeightsError, match=r"is damaged: the checksum of w/data/0 in it is wrong; copy or download it"):
        read_checkpoint(tmp_path / "w.pth")


class Harmful:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w')",)


def test_no_code_runs_that_a_pickle_names(tmp_path):
    torch.save({"beside": Harmful(tmp_path / "harm"), "model": TENSORS}, tmp_path / "w.pth")
    assert_reads(tmp_path / "w.pth", "model.")
    assert not (tmp_path / "harm").exists()


def test_tensors_in_a_mapping_of_another_class_and_in_a_list_are_read(tmp_path):
    torch.save({"models": [Settings(TENSORS)]}, tmp_path / "w.pth")
    assert_reads(tmp_path / "w.pth", "models.0.")


@pytest.mark.parametrize("is_zip", [True, False])
def test_tensors_of_a_class_of_the_training_script_are_read(tmp_path, is_zip):
    state = {name: tensor.as_subclass(Annotated) for name, tensor in TENSORS.items()}
    state["first.bias"] = torch.nn.Parameter(state["first.bias"])
    state["first.bias"].source = "training"
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=is_zip)
    assert_reads(tmp_path / "w.pth")


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_all_shards_of_an_index_are_read(tmp_path, suffix):
    files = {name: f"part-{number}{suffix}" for number, name in enumerate(TENSORS)}
    for name, file in files.items():
        (save_file if suffix == ".safetensors" else torch.save)({name: TENSORS[name]}, tmp_path / file)
    index = tmp_path / f"model{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 56}, "weight_map": files}))
    assert_reads(index)


def test_a_tensor_is_read_from_the_shard_that_the_index_names(tmp_path):
    first, *others = TENSORS
    torch.save({first: TENSORS[first]}, tmp_path / "a.bin")
    torch.save({**TENSORS, first: TENSORS[first] + 1}, tmp_path / "b.bin")
    index = tmp_path / "model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {first: "a.bin", **dict.fromkeys(others, "b.bin")}}))
    assert_reads(index)


@pytest.mark.parametrize(
    ("index", "problem"),
    [
        ({"weight_map": {"a": "gone.bin"}}, "no shard gone.bin"),
        ({"weight_map": {"a": "../w.bin"}}, r"no shard \.\./w.bin"),
        ({"weight_map": {"a": "w.bin", "b": "w.bin"}}, "the shards lack b"),
        ({"weight_map": ["a"]}, "not an index of shards"),
        ({"tensors": {}}, "not an index of shards"),
        ([], "not an index of shards"),
        ({"weight_map": {"a": "own.index.json"}}, "the shards lack a"),
    ],
)
def test_a_wrong_index_of_shards_is_an_error(tmp_path, index, problem):
    torch.save({"a": torch.zeros(2)}, tmp_path / "w.bin")
    path = tmp_path / "own.index.json"
    path.write_text(json.dumps(index))
    with pytest.raises(WeightsError, match=problem):
        read_checkpoint(path)


def save_script(path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))


def save_in_archives(path):
    torch.save(TENSORS, path.with_suffix(".bin"))
    with tarfile.open(path, "w") as archive:
        archive.add(path.with_suffix(".bin"), "w.bin")


def save_arrays(path):
    with path.open("wb") as stream:
        np.savez(stream, weight=np.ones(2))


def save_half(path):
    torch.save(TENSORS, path)
    path.write_bytes(path.read_bytes()[:500])


def save_exported(path):
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    torch.export.save(program, path.with_suffix(".pt2"))
    path.with_suffix(".pt2").rename(path)


def nested_in_itself():
    state = {"tensor": torch.zeros(2)}
    state["state"] = state
    return state


@pytest.mark.filterwarnings("error", "ignore:`torch.jit", "ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (save_script, "TorchScript program, not weights; save the state dictionary: torch.save"),
        (lambda path: torch.save([1, 2], path), "holds no tensors by name; save the state dictionary"),
        (lambda path: torch.save({}, path), "holds no tensors by name"),
        (lambda path: torch.save({"epoch": 3}, path), "holds no tensors by name"),
        (lambda path: torch.save(nested_in_itself(), path), "nested too deeply"),
        (
            lambda path: torch.save({"a": {"b": TENSORS["first.bias"]}, "a.b": TENSORS["first.bias"]}, path),
            "two tensors",
        ),
        (lambda path: torch.save(TENSORS, path, pickle_protocol=4), "not a readable state dictionary"),
        (lambda path: torch.save({"rows": torch.nested.nested_tensor([torch.zeros(2)])}, path), "no tensors by name"),
        (lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid"), "run git lfs pull"),
        (lambda path: path.write_bytes(b""), "is empty; copy or download it again"),
        (lambda path: path.write_bytes(b"\n<!DOCTYPE html>\n<title>404"), "web page, .* begins with '<!DOCTYPE html>'"),
        (lambda path: path.write_bytes(b"Not Found \xe2\x80"), "is text, not weights; it begins with 'Not Found'"),
        (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)), "HDF5 file, as Keras .* in PyTorch"),
        (lambda path: path.write_bytes(pickle.dumps(TENSORS)), "a pickle that torch.save did not write"),
        (save_arrays, "holds arrays of numpy; save the state"),
        (save_in_archives, "is a tar archive; extract the checkpoint"),
        (save_half, "is incomplete or damaged; copy or download it again"),
        (save_exported, r"a program of torch\.export, not weights; save the state"),
        (lambda path: path.write_bytes(gzip.compress(b"weights")), "compressed by gzip; decompress it first"),
    ],
    ids=[
        *("TorchScript", "list", "empty", "number", "cycle", "same name", "pickle", "nested", "LFS", "no bytes"),
        *("HTML", "text", "HDF5", "pickle.dump", "numpy", "tar", "half", "torch.export", "gzip"),
    ],
)
def test_a_file_without_a_state_dictionary_is_one_error_with_advice(tmp_path, write, problem):
    path = tmp_path / "w.pth"
    write(path)
    with pytest.raises(WeightsError, match=problem) as caught:
        read_checkpoint(path)
    assert "\x1b" not in str(caught.value)
    assert "weights_only" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("__0_0.distcp", r"part of a distributed checkpoint; convert it to one file: python -m torch\..* dcp_to_torch"),
        ("model.h5", "whose tensors have other names and layouts; load them into the network in PyTorch"),
        ("model.onnx", "whose tensors have other names and layouts; load them into the network in PyTorch"),
        ("model.safetensors", "is text, not weights"),
    ],
)
def test_files_of_other_programs_are_told_by_their_name(tmp_path, name, problem):
    (tmp_path / name).write_bytes(b"\x89HDF" if name.endswith(".h5") else b"weights")
    with pytest.raises(WeightsError, match=problem):
        read_checkpoint(tmp_path / name)


def test_an_address_is_to_be_downloaded():
    with pytest.raises(ConfigError, match=r"no file https://example\.org/w\.pth; download it first"):
        existing_file("https://example.org/w.pth")


def test_the_folder_of_a_distributed_checkpoint_is_to_be_converted(tmp_path):
    (tmp_path / ".metadata").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"is a distributed checkpoint; convert it .* dcp_to_torch FOLDER"):
        existing_file(str(tmp_path))


def test_an_unknown_format_is_an_error_that_lists_the_known_ones(tmp_path):
    (tmp_path / "w.weights").write_bytes(b"\0")
    with pytest.raises(WeightsError, match=r"'\.weights' \(allowed: \.safetensors, \.pth, \.pt, "):
        read_checkpoint(tmp_path / "w.weights")


@pytest.mark.parametrize("file", ["w.safetensors", "w.pth", "old.pth"])
def test_a_truncated_or_altered_file_raises_only_weights_errors(tmp_path, file):
    path = tmp_path / file
    if file.endswith("safetensors"):
        save_file(TENSORS, path)
    else:
        torch.save(TENSORS, path, _use_new_zipfile_serialization=file == "w.pth")
    whole, random = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(100):
        altered = bytearray(whole[: random.integers(len(whole))])
        if len(altered) > 0:
            altered[random.integers(len(altered))] ^= 0xFF
        path.write_bytes(altered)
        try:
            read_checkpoint(path)
        except WeightsError:
            refused += 1
    assert refused > 90  # zip keeps its directory at the end, safetensors its sizes at the start
