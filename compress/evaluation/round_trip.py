"""The file, read back by a process that has seen nothing but the file and the photos.

`python -m compress.evaluation.round_trip MODEL.sqz PIXELS.npy LOGITS.npy DEVICE [trusted]` decodes the file, runs the
photos through the network that it holds, writes the logits, and prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compress.data.photos import Photos
from compress.errors import SqueezeError


@dataclass(frozen=True, eq=False)
class Proof:
    """What the fresh process found.

    Attributes:
        weights_sha256: of the decoded tensors.
        seconds: reading, decoding and building the network, imports not counted.
        logits: float32, shape (photos, classes).
    """

    weights_sha256: str
    seconds: float
    logits: NDArray[np.float32]


def prove(file: Path, photos: Photos, device: str, *, trusted: bool = False) -> Proof:
    """Decode a file in a fresh process and run the photos through the network it holds.

    Args:
        file: of the model.
        photos: what the network sees.
        device: where it runs.
        trusted: as in `Model`; for the function that the file names.
    Raises:
        SqueezeError: the process failed; its message is passed on.
    """
    with tempfile.TemporaryDirectory(prefix="squeeze-compress-") as folder:
        logits = Path(folder) / "logits.npy"
        pixels = Path(folder) / "pixels.npy"
        np.save(pixels, photos.pixels)
        command = [sys.executable, "-m", "compress.evaluation.round_trip", str(file), str(pixels), str(logits), device]
        command += ["trusted"] if trusted else []
        # This package may be imported from a checkout that is not installed, and the user's own code from anywhere.
        search = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": search}
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise SqueezeError(f"{file} could not be read back in a fresh process: {last}")
        told = json.loads(done.stdout.strip().splitlines()[-1])
        return Proof(told["weights_sha256"], told["seconds"], np.load(logits))


def _main(file: str, pixels: str, logits: str, device: str, trusted: str = "") -> None:
    import torch  # noqa: PLC0415  decoding must not need it, so it comes in only for the networks

    from compress import container  # noqa: PLC0415
    from compress.evaluation import metrics  # noqa: PLC0415
    from compress.networks.modules import to_module  # noqa: PLC0415
    from compress.runtime.progress import silent  # noqa: PLC0415

    started = time.perf_counter()
    model = replace(container.read(Path(file)), trusted=bool(trusted))
    network = to_module(model)
    seconds = time.perf_counter() - started
    photos = Photos(np.load(pixels, mmap_mode="r"), None, (), "", "")
    network = network.to(torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]
    outputs = metrics.run(network, photos, model.preprocessing, silent)
    np.save(logits, outputs.logits)
    print(json.dumps({"weights_sha256": container.weights_sha256(model), "seconds": seconds}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
