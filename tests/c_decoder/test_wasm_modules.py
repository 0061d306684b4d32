"""The WebAssembly modules in the package are those that runtime/wasm/build.sh makes of the sources."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("module", "packaged"),
    [("web", "compress/export/web_page/squeeze.wasm"), ("streams", "compress/codecs/streams.wasm")],
)
def test_the_same_compiler_builds_the_same_module(module, packaged, tmp_path):
    built = tmp_path / "built.wasm"
    command = ["sh", ROOT / "runtime" / "wasm" / "build.sh", module, built]
    environment = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert built.read_bytes() == (ROOT / packaged).read_bytes(), (
        "the sources changed: make wasm, and commit the modules"
    )
