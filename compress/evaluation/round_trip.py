"""Round trip: a fresh process, given only the `.sqz` file and photos, decodes the file and runs its network.

`python -m compress.evaluation.round_trip MODEL.sqz PIXELS.npy LOGITS.npy RESULT.json DEVICE [trusted]` writes the
logits, and the rest of the result as JSON. Standard output is left to the user's network, which may print.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compress.data.photos import Photos
from compress.errors import ConfigError, SqueezeError
from compress.model import Model
from compress.networks.factory import is_factory
from compress.runtime.temporary_folders import temporary_folder


@dataclass(frozen=True, eq=False)
class RoundTrip:
    """Results of the fresh process.

    Attributes:
        weights_sha256: hash of the decoded tensors.
        decode_seconds: time to read, decode and build the network, without the time to load code.
        logits: float32, shape (photos, classes).
    """

    weights_sha256: str
    decode_seconds: float
    logits: NDArray[np.float32]


def run_round_trip(file: Path, photos: Photos, device: str, *, trusted: bool = False) -> RoundTrip:
    """Decode a `.sqz` file in a fresh process and run photos through its network; `trusted` as in `Model`.

    Raises:
        SqueezeError: the process failed; the message is its last line.
    """
    with temporary_folder() as folder:
        pixels, logits, result_file = (folder / name for name in ("pixels.npy", "logits.npy", "result.json"))
        _save(pixels, photos.pixels)
        module = "compress.evaluation.round_trip"
        command = ["-m", module, str(file), str(pixels), str(logits), str(result_file), device]
        command += ["trusted"] if trusted else []
        done = _run_python(command)
        if done.returncode != 0:
            message = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise SqueezeError(f"{file} could not be read back in a fresh process: {message}")
        result = json.loads(result_file.read_text("utf-8"))
        return RoundTrip(result["weights_sha256"], result["decode_seconds"], np.load(logits))


def check_importable(model: Model) -> None:
    """Check that a fresh process finds the module of the function that makes a model's network.

    Raises:
        ConfigError: it does not: the function is defined in the script or notebook that runs.
    """
    if not is_factory(model.architecture):
        return
    module, _, _ = model.architecture.partition(":")
    find = "sys.path.insert(0, sys.argv[2]); sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"
    code = f"import importlib.util, sys; {find}"
    if _run_python(["-c", code, module, str(Path.cwd())]).returncode != 0:
        raise ConfigError(
            f"a fresh process, which decodes the file, cannot import the module {module!r}; move the function to a "
            "module file in the current folder or on the Python path",
            key="model.factory",
        )


def _run_python(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    # The package may run from a checkout that is not installed, and the user's code from any folder. Files of the
    # current folder, such as compress.py, are no modules of the package; `NetworkFactory` adds the folder for its own.
    here = {"", str(Path.cwd())}
    search_path = [str(Path(__file__).parents[2]), *(folder for folder in sys.path if folder not in here)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(search_path)}
    command = [sys.executable, "-P", *arguments]
    errors = "backslashreplace"  # the user's code prints any bytes
    return subprocess.run(command, capture_output=True, text=True, errors=errors, check=False, env=environment)


def _save(path: Path, array: NDArray[np.generic]) -> None:
    try:
        np.save(path, array)
    except OSError as error:  # of numpy's own, without a reason, if the disk is full
        raise SqueezeError(
            f"cannot write {array.nbytes:,} bytes to {path.parent}: {error.strerror or 'the disk is full'}; free some "
            "space there, or name another folder in TMPDIR"
        ) from error


def _main(file: str, pixels: str, logits: str, result: str, device: str, trusted: str = "") -> None:
    gc.disable()  # collections take a tenth of the time of the imports
    import torch  # noqa: PLC0415  the time to load code is excluded from the measurement

    from compress import container  # noqa: PLC0415
    from compress.evaluation import metrics  # noqa: PLC0415
    from compress.networks.modules import to_module  # noqa: PLC0415
    from compress.runtime.progress import no_progress  # noqa: PLC0415

    container.read(Path(file))  # loads compiled functions
    gc.enable()
    started = time.perf_counter()
    model = replace(container.read(Path(file)), trusted=bool(trusted))
    network = to_module(model, torch.device(device))
    decode_seconds = time.perf_counter() - started
    photos = Photos(np.load(pixels, mmap_mode="r"), None, (), "", "")
    outputs = metrics.run(network, photos, model.preprocessing, no_progress)
    _save(Path(logits), outputs.logits)
    measured = {"weights_sha256": container.weights_sha256(model), "decode_seconds": decode_seconds}
    Path(result).write_text(json.dumps(measured), "utf-8")


if __name__ == "__main__":
    _main(*sys.argv[1:])
