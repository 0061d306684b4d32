"""A fresh process decodes a file and runs its network."""

import sys

import numpy as np

from compress import container
from compress.evaluation.round_trip import check_importable, run_round_trip
from compress.weights.user_network import UserNetwork


def test_code_that_prints_bytes_of_another_encoding_is_no_error(tmp_path, monkeypatch, photos_of):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "of_another_encoding.py").write_text(
        "import os\n"
        "from torch import nn\n"
        "os.write(1, b'caf\\xe9\\n')\n"
        "os.write(2, b'caf\\xe9\\n')\n"
        "def made(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    model = UserNetwork(factory="of_another_encoding:made", input_size=16).load()
    container.write(tmp_path / "model.sqz", model)
    photos = photos_of(np.zeros((2, 16, 16, 3), np.uint8))
    found = run_round_trip(tmp_path / "model.sqz", photos, "cpu", trusted=True)
    assert found.logits.shape == (2, 4)
    assert found.weights_sha256 == container.weights_sha256(model)


def test_files_of_the_current_folder_are_no_modules_of_the_program(tmp_path, monkeypatch, photos_of):
    """A script that calls the program may be named compress.py, and lie beside the network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # the folder is added
    for name in ("compress", "random", "statistics"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('a script of the user')\n")
    (tmp_path / "beside_scripts.py").write_text(
        "from torch import nn\n"
        "def made(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    model = UserNetwork(factory="beside_scripts:made", input_size=16).load()
    check_importable(model)
    container.write(tmp_path / "model.sqz", model)
    photos = photos_of(np.zeros((2, 16, 16, 3), np.uint8))
    assert run_round_trip(tmp_path / "model.sqz", photos, "cpu", trusted=True).logits.shape == (2, 4)
