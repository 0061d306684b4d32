"""ONNX export: ONNX Runtime gives torch's logits, and the weights have the same bits."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from PIL import Image
from skimage import data
from small_models import LABELS, float_squeezenet, shared_squeezenet

from compress import container
from compress.data.transforms import to_input, to_pixels
from compress.errors import ConfigError, SqueezeError, WeightsError
from compress.evaluation.evaluate import predict_photos
from compress.export import write_weights
from compress.export.onnx_network import IR_VERSION, OPSET
from compress.export.onnx_weights import StoredTensor, as_float32, as_smallest
from compress.model import TORCHVISION, Model
from compress.networks.compared_output import OutputOptions
from compress.networks.modules import to_module, to_native_module
from compress.tensors.forms import Dense, Pruned, Shared, Tensor
from compress.tensors.levels import levels_codebook
from compress.weights.user_network import UserNetwork

FORMATS = ("float32", "codebook")
EVERY_OPTIMIZATION = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
NO_OPTIMIZATION = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL


def in_levels(model: Model, step: float = 1 / 8) -> Model:
    """Return weights on levels with row and column scales, as from `quantize`; the first layer has smaller steps."""
    changed: dict[str, Tensor] = {}
    for name in model.weight_names():
        values = model.tensors[name].to_dense()
        fine = step if changed else step / 16
        flat = np.abs(values).reshape(*values.shape[:2], -1).max(axis=2)
        rows = np.rint(4 * np.log2(flat.max(axis=1) * fine)).astype(np.int8)
        columns = np.rint(2 * np.log2(flat.max(axis=0) / flat.max())).astype(np.int8)
        scaled = Shared(levels_codebook(1), np.zeros(values.shape, np.uint16), "float16", rows, columns).scale()
        levels = np.rint(values / scaled).astype(np.int32)
        symbols = np.where(levels > 0, 2 * levels - 1, -2 * levels).astype(np.uint16)
        changed[name] = Shared(levels_codebook(int(symbols.max()) + 1), symbols, "float16", rows, columns)
    return model.with_tensors(changed)


def with_small_inputs(model: Model) -> Model:
    """Return the model for inputs from -2 to 2, so that logits of untrained weights are not in the hundreds."""
    preprocessing = replace(model.preprocessing, scale=1 / 64, mean=(2.0, 2.0, 2.0))
    return replace(model, preprocessing=preprocessing)


@pytest.fixture(scope="module")
def models(squeezenet) -> dict[str, Model]:
    return {
        "trained": squeezenet,
        "trained, in levels": in_levels(squeezenet),
        "1.1, 10 classes": with_small_inputs(shared_squeezenet()),
        "1.0, 10 classes": with_small_inputs(shared_squeezenet("squeezenet1_0")),
        "1.0, in levels": with_small_inputs(in_levels(float_squeezenet("squeezenet1_0"))),
    }


MODELS = ("trained", "trained, in levels", "1.1, 10 classes", "1.0, 10 classes", "1.0, in levels")


def photos_for(model: Model) -> np.ndarray:
    photos = (data.astronaut(), data.chelsea(), data.coffee(), data.rocket())
    pixels = [to_pixels(Image.fromarray(photo), model.preprocessing) for photo in photos]
    return to_input(np.stack(pixels), model.preprocessing)


def session(content: bytes, level: onnxruntime.GraphOptimizationLevel = EVERY_OPTIMIZATION):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def written(model: Model, folder: Path, weight_format: str = "float32") -> bytes:
    write_weights(model, folder / "model.onnx", weight_format)
    return (folder / "model.onnx").read_bytes()


@pytest.mark.parametrize("weight_format", FORMATS)
@pytest.mark.parametrize("name", MODELS)
def test_logits_equal_torchs_on_real_photos(models, tmp_path, name, weight_format):
    photos = photos_for(models[name])
    with torch.inference_mode():
        expected = to_module(models[name])(torch.from_numpy(photos)).numpy()
    assert expected.std() > 0.1
    content = written(models[name], tmp_path, weight_format)
    for level in (EVERY_OPTIMIZATION, NO_OPTIMIZATION):
        (logits,) = session(content, level).run(["logits"], {"input": photos})
        assert logits.shape == (4, models[name].classes)
        assert np.abs(logits - expected).max() < 1e-4


@pytest.mark.parametrize("weight_format", FORMATS)
@pytest.mark.parametrize("name", MODELS)
def test_the_file_is_valid_and_has_old_versions(models, tmp_path, name, weight_format):
    network = onnx.load_from_string(written(models[name], tmp_path, weight_format))
    onnx.checker.check_model(network, full_check=True)
    assert network.ir_version == IR_VERSION == 7
    assert [(opset.domain, opset.version) for opset in network.opset_import] == [("", OPSET)] == [("", 13)]


def test_another_runtime_gives_the_same_logits(models, tmp_path):
    model = models["1.0, in levels"]
    photos = photos_for(model)[:1]
    content = written(model, tmp_path, "codebook")
    (theirs,) = ReferenceEvaluator(onnx.load_from_string(content)).run(None, {"input": photos})
    (ours,) = session(content).run(None, {"input": photos})
    assert np.abs(ours - theirs).max() < 1e-4


@pytest.mark.parametrize("weight_format", FORMATS)
def test_logits_do_not_depend_on_the_batch(models, tmp_path, weight_format):
    running = session(written(models["1.1, 10 classes"], tmp_path, weight_format))
    photos = photos_for(models["1.1, 10 classes"])
    (together,) = running.run(None, {"input": photos})
    for i, photo in enumerate(photos):
        (alone,) = running.run(None, {"input": photo[None]})
        assert np.abs(alone - together[i]).max() < 1e-4
    assert running.get_inputs()[0].shape == ["batch", 3, 64, 64]
    assert running.get_outputs()[0].shape == ["batch", 10]


@pytest.mark.parametrize("name", ["trained, in levels", "1.1, 10 classes", "1.0, in levels"])
def test_the_codebook_file_is_about_a_quarter_of_the_float_file(models, tmp_path, name):
    sizes = {weight_format: len(written(models[name], tmp_path, weight_format)) for weight_format in FORMATS}
    assert 0.24 < sizes["codebook"] / sizes["float32"] < 0.28


def test_a_model_without_codebooks_gives_the_same_file_in_both_formats(models, tmp_path):
    assert written(models["trained"], tmp_path, "codebook") == written(models["trained"], tmp_path, "float32")


@pytest.mark.parametrize("weight_format", FORMATS)
@pytest.mark.parametrize("preprocessing", ["as trained", "torchvision's"])
def test_metadata_have_preprocessing_and_labels(models, tmp_path, weight_format, preprocessing):
    model = models["1.1, 10 classes"]
    if preprocessing == "torchvision's":
        model = replace(model, preprocessing=TORCHVISION, labels=())
    found = session(written(model, tmp_path, weight_format)).get_modelmeta().custom_metadata_map
    words = {"resize", "channels"}
    read = {key: value if key in words else json.loads(value) for key, value in found.items()}
    assert read == {**json.loads(json.dumps(asdict(model.preprocessing))), "labels": list(model.labels)}
    assert model.labels in {LABELS, ()}


def test_the_documented_example_classifies_a_photo(squeezenet, tmp_path, monkeypatch, capsys):
    written(squeezenet, tmp_path)
    Image.fromarray(data.chelsea()).save(tmp_path / "cat.jpg", quality=95)
    monkeypatch.chdir(tmp_path)
    document = (Path(__file__).parents[2] / "docs" / "onnx.md").read_text("utf-8")
    exec(re.search(r"```python\n(.*?)```", document, re.DOTALL)[1], {})
    ((_, guesses),) = predict_photos(squeezenet, [Path("cat.jpg")], "cpu")
    assert capsys.readouterr().out.strip() == guesses[0].name == "Egyptian Mau"


def test_bytes_are_the_same_in_another_process_and_hold_no_local_path(models, tmp_path):
    container.write(tmp_path / "m.sqz", models["1.0, in levels"])
    for weight_format in FORMATS:
        here = written(container.read(tmp_path / "m.sqz"), tmp_path, weight_format)
        words = f"-m compress decompress m.sqz -o again.onnx --force --weights {weight_format}"
        command = [sys.executable, *words.split()]
        root = Path(__file__).parents[2]
        environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(root)}
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
        assert (tmp_path / "again.onnx").read_bytes() == here
        assert str(root).encode() not in here
        network = onnx.load_from_string(here)
        assert (network.producer_name, network.doc_string, network.graph.doc_string) == ("squeeze-compress", "", "")


def value_in_onnx_runtime(name: str, stored: StoredTensor, shape: tuple[int, ...]) -> np.ndarray:
    """Return the value of one stored tensor in ONNX Runtime."""
    output = helper.make_tensor_value_info("copy", TensorProto.FLOAT, shape)
    nodes = [*stored.nodes, helper.make_node("Identity", [name], ["copy"])]
    graph = helper.make_graph(nodes, "one", [], [output], stored.constants)
    opsets = [helper.make_opsetid("", OPSET)]
    network = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=opsets)
    results = [
        session(network.SerializeToString(), level).run(None, {})[0] for level in (EVERY_OPTIMIZATION, NO_OPTIMIZATION)
    ]
    assert np.array_equal(results[0].view(np.uint32), results[1].view(np.uint32))
    return results[0]


@st.composite
def tensors(draw: st.DrawFn) -> Shared:
    """Return shared tensors: levels or not, few or many entries, any scales, weights or transform coefficients."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from([(1,), (40,), (30, 7), (1, 1, 1, 1), (9, 300, 1, 1), (8, 6, 3, 3)]))
    entries = draw(st.sampled_from([1, 2, 16, 255, 256, 257, 300, 2**15, 2**16]))
    codebook = levels_codebook(entries)
    if draw(st.booleans()):
        codebook = np.append(np.float32(0), random.standard_normal(entries - 1).astype(np.float32))
    exponents = [
        random.integers(-128, 128, side).astype(np.int8) if side and draw(st.booleans()) else None
        for side in (*shape, 0)[:2]
    ]
    indices = random.integers(0, entries, shape).astype(np.uint16)
    coefficients = None
    if shape[2:] == (3, 3) and draw(st.booleans()):
        coefficients = random.integers(-128, 90, (3, 3)).astype(np.int8)
    return Shared(codebook, indices, "float32", *exponents, coefficients)


@settings(max_examples=150)
@given(tensor=tensors())
def test_stored_weights_have_the_bits_of_the_sqz_file(tensor):
    expected = np.ascontiguousarray(tensor.to_dense())
    for store in (as_float32, as_smallest):
        stored = store("w", tensor)
        assert np.array_equal(
            value_in_onnx_runtime("w", stored, tensor.shape).view(np.uint32), expected.view(np.uint32)
        )


def test_all_weights_of_a_network_have_the_bits_of_the_sqz_file(models):
    for tensor in models["trained, in levels"].tensors.values():
        expected = np.ascontiguousarray(tensor.to_dense())
        found = value_in_onnx_runtime("w", as_smallest("w", tensor), tensor.shape)
        assert np.array_equal(found.view(np.uint32), expected.view(np.uint32))


def cases() -> Iterator[tuple[str, Tensor, dict[str, str]]]:
    random = np.random.default_rng(0)

    def shared(codebook: np.ndarray, count: int = 20_000, used: int = 2**16) -> Shared:
        indices = random.integers(0, min(used, len(codebook)), (count // 10, 10)).astype(np.uint16)
        indices.flat[-1] = len(codebook) - 1
        return Shared(codebook, indices, "float32")

    def values(entries: int) -> np.ndarray:
        return np.append(np.float32(0), random.standard_normal(entries - 1).astype(np.float32))

    yield "levels to 127", shared(levels_codebook(255)), {"w.levels": "int8"}
    yield "level 128, not an int8", shared(levels_codebook(256)), {"w.codebook": "float32", "w.indices": "uint8"}
    yield "levels beyond", shared(levels_codebook(300)), {"w.levels": "int16"}
    yield "one beyond", shared(levels_codebook(300), used=99), {"w.codebook": "float32", "w.indices": "uint8"}
    yield "few values", shared(values(256)), {"w.codebook": "float32", "w.indices": "uint8"}
    yield "many values", shared(values(300)), {"w.codebook": "float32", "w.indices": "uint16"}
    yield "as many values as weights", shared(values(20_000)), {"w": "float32"}
    yield "a handful of weights", shared(values(4), 20), {"w": "float32"}
    dense = random.standard_normal((100, 10)).astype(np.float32)
    yield "floats", Dense(dense), {"w": "float32"}
    yield "pruned floats", Pruned(dense * (dense > 0), dense > 0), {"w": "float32"}


@pytest.mark.parametrize(("tensor", "constants"), [case[1:] for case in cases()], ids=[case[0] for case in cases()])
def test_a_tensor_is_stored_in_the_fewest_bytes(tensor, constants):
    stored = as_smallest("w", tensor)
    found = {each.name: helper.tensor_dtype_to_np_dtype(each.data_type).name for each in stored.constants}
    assert found == constants
    assert stored.stored_bytes <= as_float32("w", tensor).stored_bytes


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_codebooks_in_a_format_without_them_are_an_error_and_no_file_is_written(tmp_path, suffix):
    with pytest.raises(ConfigError, match=rf"'{suffix}' files have no codebooks; leave out --weights codebook"):
        write_weights(shared_squeezenet(), tmp_path / f"model{suffix}", "codebook")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("weight_format", FORMATS)
def test_an_unknown_suffix_is_an_error_that_lists_the_known_ones(tmp_path, weight_format):
    with pytest.raises(ConfigError, match=r"unknown format '\.ONNX' .*allowed: .*\.onnx"):
        write_weights(shared_squeezenet(), tmp_path / "model.ONNX", weight_format)


def test_tensors_of_another_network_are_an_error_and_no_file_is_written(tmp_path):
    with pytest.raises(WeightsError, match="these are not the weights of squeezenet1_0"):
        write_weights(replace(shared_squeezenet(), architecture="squeezenet1_0"), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_preprocessing_that_does_not_fit_is_an_error_and_no_file_is_written(tmp_path):
    gray = replace(shared_squeezenet().preprocessing, channels="L", mean=(0.0,), std=(1.0,))
    with pytest.raises(WeightsError, match="squeezenet1_1 does not accept photos of 64 x 64 pixels in L"):
        write_weights(replace(shared_squeezenet(), preprocessing=gray), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_without_the_package_onnx_the_error_has_advice_and_other_formats_work(tmp_path):
    container.write(tmp_path / "m.sqz", shared_squeezenet())
    (tmp_path / "m.onnx").write_bytes(b"an old file")
    code = "import sys; sys.modules['onnx'] = None; from compress.cli.main import main; main()"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}

    def decompress(output: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, "decompress", "m.sqz", "-o", output, "--force"]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    done = decompress("m.onnx")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"error: m\.onnx: cannot import the package onnx \(.*\); in a clone of .*: pip install '\.\[onnx\]'\n",
        done.stderr,
    )
    assert (tmp_path / "m.onnx").read_bytes() == b"an old file"
    assert decompress("m.safetensors").returncode == 0


@pytest.mark.parametrize("weight_format", FORMATS)
@pytest.mark.parametrize(
    ("make", "args"),
    [
        ("resnet18", {"width": 8, "classes": 10}),
        ("mobilenet", {}),
        ("squeeze_excitation", {}),
        ("functions", {"side": 32}),
    ],
)
def test_user_networks_give_the_same_logits(make, args, weight_format, tmp_path):
    model = UserNetwork(factory=f"user_networks:{make}", args=args, input_size=32).load(seed=4)
    random = np.random.default_rng(0)
    moved = {}
    for name in model.uncompressed:  # give batch norms statistics
        values = model.tensors[name].to_dense()
        shifted = np.abs(values + random.uniform(-0.3, 0.3, values.shape)) if "var" in name else values + 0.1
        moved[name] = Dense(shifted.astype(np.float32))
    model = in_levels(model.with_tensors(moved), 1 / 32)
    write_weights(model, tmp_path / "model.onnx", weight_format)
    photos = random.standard_normal((5, 3, 32, 32)).astype(np.float32)
    (logits,) = session((tmp_path / "model.onnx").read_bytes()).run(["logits"], {"input": photos})
    with torch.inference_mode():
        expected = to_module(model)(torch.from_numpy(photos)).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-4 * max(1.0, float(np.abs(expected).max())))


class InPlaceSum(torch.nn.Module):
    """`total += x` changes `first`, which `torch.fx` traces as a sum that changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = torch.nn.Conv2d(3, 4, 1), torch.nn.Linear(4, 3)

    def forward(self, x):
        first = self.first(x)
        total = first
        total += first.sigmoid()
        return self.head((total + first).mean((2, 3)))


class SameTwice(torch.nn.Module):
    """A ReLU changes the shortcut in place, and `cat` reads a tensor twice; names meet those of the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.logits, self.relu = torch.nn.Conv2d(3, 4, 1), torch.nn.ReLU(inplace=True)
        self.last, self.head = torch.nn.Conv2d(4, 4, 1), torch.nn.Linear(8, 3)
        self.register_buffer("add", torch.ones(1))

    def forward(self, x):
        x = self.logits(x)
        x = self.last(self.relu(x)) + x
        return self.head(torch.cat([x, x], dim=1).mean((2, 3)))


class OtherArguments(torch.nn.Module):
    """Has an argument after the photos, and tensors that no operation reads."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.unused = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(5, 5)

    def forward(self, x, scale=None):
        return self.first(x if scale is None else x * scale).mean((2, 3))


class ReshapeByName(OtherArguments):
    """A parameter has the name of a method."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze = torch.nn.Parameter(torch.ones(1, 4))

    def forward(self, x):
        return super().forward(x) * self.squeeze


def test_arguments_after_the_photos_have_their_default_values(tmp_path, capfd):
    model = UserNetwork(factory=f"{__name__}:OtherArguments", input_size=16).load()
    write_weights(model, tmp_path / "m.onnx")  # compares the logits with torch's
    assert (tmp_path / "m.onnx").exists()
    assert capfd.readouterr() == ("", "")  # no warnings of onnxruntime of tensors that are not used


def test_a_parameter_with_the_name_of_a_method_is_no_call_of_it(tmp_path):
    model = UserNetwork(factory=f"{__name__}:ReshapeByName", input_size=16).load()
    assert model.program
    write_weights(model, tmp_path / "m.onnx")  # compares the logits with torch's
    assert (tmp_path / "m.onnx").exists()


class FailsInTrace(OtherArguments):
    """Runs, but not as `torch.fx` traces it: the trace has one flow of control."""

    def forward(self, x):
        size = x.shape[2] if isinstance(x.shape[2], int) else 0
        return super().forward(x) if size else x @ x.new_zeros(99, 1)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("user_networks:softplus_network", r"does not support the layer 1, Softplus\(.*\), .*; torch\.onnx"),
        ("user_networks:weight_normed_network", "as torch has them; 0 has hooks, parametrizations or"),
        ("user_networks:mixed_layers", r"needs torch\.fx, which cannot trace the network: 'len' is not supported"),
        (f"{__name__}:FailsInTrace", r"torch\.fx, which cannot trace the network: mat1 and mat2"),
        (f"{__name__}:InPlaceSum", "logits of its ONNX model differ from torch's"),
    ],
)
def test_a_network_that_cannot_be_exported_is_one_error_and_no_file_is_written(factory, message, tmp_path, capfd):
    model = UserNetwork(factory=factory, input_size=16).load()
    with pytest.raises(SqueezeError, match=message):
        write_weights(model, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_changes_in_place_repeated_inputs_and_meeting_names_are_exported(tmp_path):
    model = UserNetwork(factory=f"{__name__}:SameTwice", input_size=16).load()
    write_weights(model, tmp_path / "m.onnx")  # compares the logits with torch's
    assert (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize(
    ("function", "outputs", "shape"),
    [
        ("two_heads", 0, (2, 10)),
        ("two_heads", OutputOptions(1, "values"), (2, 4)),
        ("fully_convolutional", OutputOptions(), (2, 5, 15, 15)),
    ],
)
def test_the_compared_output_is_exported_with_its_own_shape(function, outputs, shape, tmp_path):
    model = UserNetwork(factory=f"output_networks:{function}", input_size=32, outputs=outputs).load()
    photos = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)
    logits = session(written(model, tmp_path)).run(None, {"input": photos})[0]
    with torch.inference_mode():
        native = to_native_module(model)(torch.from_numpy(photos))
    expected = native[0 if outputs == 0 else 1] if function == "two_heads" else native
    assert logits.shape == shape
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
