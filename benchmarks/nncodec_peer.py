"""NNCodec (ISO/IEC 15938-17), measured in an environment of its own.

Its license, Clear BSD, grants no patents. Therefore it is not a dependency, and no code comes from it.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compress.errors import SqueezeError
from compress.runtime.atomic_files import write_atomically

REQUIREMENT = "nncodec==2.1.3"
QP_OF_500_KB = -26
"""Quantization parameter whose file of SqueezeNet v1.1 is about as large as that of squeezenet-500k."""

_ROOT = Path(__file__).parents[1]
_SHOWN_LINES = 3
_PRINT_VERSIONS = """
import importlib.metadata, json
print(json.dumps({name: importlib.metadata.version(name) for name in ("nncodec", "torch", "numpy")}))
"""

Arrays = Mapping[str, NDArray[np.float32]]
Numbers = Arrays | Mapping[str, NDArray[np.int32]]


@dataclass(frozen=True, eq=False)
class NncodecResult:
    """NNCodec's result for one quantization parameter; `arrays` are the decoded weights."""

    qp: int
    file_bytes: int
    encode_seconds: float
    decode_seconds: float
    arrays: Arrays


def environment(folder: Path) -> Path:
    """Return the Python of NNCodec's environment, created in `folder` unless it is complete there.

    Raises:
        SqueezeError: it could not be created.
    """
    python, ready = folder / "bin" / "python", folder / "ready"
    if python.exists() and ready.is_file() and ready.read_text("utf-8") == REQUIREMENT:
        return python
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    # pip chooses torch and torchvision together, as two different builds do not work together.
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", REQUIREMENT])
    _run([str(python), "-c", "import nncodec.nn"])
    write_atomically(ready, REQUIREMENT.encode())  # last: a failed installation starts again
    return python


def versions(python: Path) -> dict[str, str]:
    """Return the versions of NNCodec, torch and numpy in NNCodec's environment."""
    found: dict[str, str] = json.loads(_run([str(python), "-c", _PRINT_VERSIONS]))
    return found


def code(python: Path, weights: Numbers, qps: Sequence[int], folder: Path, repeats: int) -> list[NncodecResult]:
    """Encode and decode weights at each quantization parameter, and return the results.

    Args:
        python: of NNCodec's environment.
        weights: by name, float32; or int32, coded without loss.
        qps: quantization parameters; a smaller one is finer.
        folder: for files exchanged with the environment.
        repeats: runs of each timing.
    Raises:
        SqueezeError: NNCodec failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights_file = folder / "weights.npz"
    np.savez(weights_file, **weights)
    worker = [
        str(python),
        "-m",
        "benchmarks.nncodec_worker",
        str(weights_file),
        str(folder),
        str(repeats),
        *map(str, qps),
    ]
    _run(worker, {**os.environ, "PYTHONPATH": str(_ROOT)})
    points = json.loads((folder / "results.json").read_text("utf-8"))
    return [NncodecResult(**point, arrays=_decoded(folder / f"qp{point['qp']}.npz")) for point in points]


def _decoded(path: Path) -> Arrays:
    with np.load(path) as arrays:
        return {name: arrays[name].astype(np.float32) for name in arrays.files}


def _run(command: Sequence[str], variables: Mapping[str, str] | None = None) -> str:
    """Run a command and return its output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if done.returncode != 0:
        last = "\n".join(done.stderr.strip().splitlines()[-_SHOWN_LINES:]) or f"exit code {done.returncode}"
        raise SqueezeError(f"{shlex.join(command)} failed; --without-nncodec leaves NNCodec out:\n{last}")
    return done.stdout
