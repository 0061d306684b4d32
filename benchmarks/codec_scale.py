"""How time and memory grow with the number of weights, in a process of its own for each measurement.

`python -m benchmarks.codec_scale CODEC WEIGHTS` prints seconds and bytes for each weight as JSON.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from compress.codecs import CODECS
from compress.errors import SqueezeError
from compress.tensors.levels import zigzag_symbols

WEIGHTS = (1_000_000, 10_000_000, 100_000_000)
_COLUMNS = 1000
_CHUNK = 1_000_000
_MEAN_MAGNITUDE = 1.5


@dataclass(frozen=True)
class Scale:
    """One codec on so many Laplacian symbols.

    Attributes:
        codec: its name.
        weights: how many.
        coded_bytes: of them.
        encode_nanoseconds: for each.
        decode_nanoseconds: for each.
        memory_bytes: for each, the most that the process held beyond what it had with none, symbols and stream
            included.
    """

    codec: str
    weights: int
    coded_bytes: int
    encode_nanoseconds: float
    decode_nanoseconds: float
    memory_bytes: float


def measure(codec: str, weights: int) -> Scale:
    """Measure in a fresh process.

    Raises:
        SqueezeError: it failed.
    """
    command = [sys.executable, "-m", "benchmarks.codec_scale", codec, str(weights)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SqueezeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return Scale(**json.loads(done.stdout))


def _laplacian(count: int) -> NDArray[np.uint16]:
    """Return symbols of levels as a network has them, made piece by piece so that making them takes no memory."""
    random = np.random.default_rng(0)
    symbols = np.empty((max(count // _COLUMNS, 1), min(count, _COLUMNS)), dtype=np.uint16)
    flat = symbols.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK]
        part[:] = zigzag_symbols(np.rint(random.laplace(0, _MEAN_MAGNITUDE, part.size)).astype(np.int32))
    return symbols


def main(name: str, count: str) -> None:
    """Print one measurement as JSON."""
    codec, process = CODECS[name], psutil.Process()
    few = _laplacian(_CHUNK)
    codec.decode(codec.encode(few), few.shape)  # loads what is compiled, and fills what allocators keep
    before = process.memory_info().rss - few.nbytes
    del few
    symbols = _laplacian(int(count))
    _forget_peak()
    started = time.perf_counter()
    data = codec.encode(symbols)
    encoded = time.perf_counter()
    shape, check = symbols.shape, int(symbols.sum(dtype=np.int64))
    peak_encoding = _peak()
    del symbols
    begun = time.perf_counter()
    decoded = codec.decode(data, shape)
    ended = time.perf_counter()
    assert int(decoded.sum(dtype=np.int64)) == check
    result = Scale(
        codec=name,
        weights=decoded.size,
        coded_bytes=len(data),
        encode_nanoseconds=(encoded - started) * 1e9 / decoded.size,
        decode_nanoseconds=(ended - begun) * 1e9 / decoded.size,
        memory_bytes=max(peak_encoding, _peak(), before) / decoded.size - before / decoded.size,
    )
    print(json.dumps(vars(result)))


def _forget_peak() -> None:
    """Let the most resident memory be counted from here; importing has taken more than a small tensor will."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")


def _peak() -> int:
    """Return the most resident memory since then; bytes."""
    status = Path("/proc/self/status").read_text("ascii")
    return 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
