"""Time and memory of a codec by number of weights, each measured in a process of its own.

`python -m benchmarks.codec_scale CODEC WEIGHTS` prints time and memory per weight as JSON.
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
from compress.tensors.levels import levels_to_symbols

WEIGHTS = (1_000_000, 10_000_000, 100_000_000)
_COLUMNS = 1000
_CHUNK = 1_000_000
_MEAN_MAGNITUDE = 1.5


@dataclass(frozen=True)
class ScaleResult:
    """Cost of a codec for a number of Laplacian symbols.

    Attributes:
        codec: its name.
        weights: number of symbols.
        coded_bytes: of all symbols.
        encode_nanoseconds: per symbol.
        decode_nanoseconds: per symbol.
        memory_bytes: per symbol: peak memory of the process beyond its memory without symbols; symbols and stream are
            included.
    """

    codec: str
    weights: int
    coded_bytes: int
    encode_nanoseconds: float
    decode_nanoseconds: float
    memory_bytes: float


def measure_scale(codec: str, weights: int) -> ScaleResult:
    """Measure in a fresh process.

    Raises:
        SqueezeError: the process failed.
    """
    command = [sys.executable, "-m", "benchmarks.codec_scale", codec, str(weights)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SqueezeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return ScaleResult(**json.loads(done.stdout))


def _laplacian_symbols(count: int) -> NDArray[np.uint16]:
    """Return Laplacian levels as symbols, made in chunks to save memory."""
    random = np.random.default_rng(0)
    symbols = np.empty((max(count // _COLUMNS, 1), min(count, _COLUMNS)), dtype=np.uint16)
    flat = symbols.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        chunk = flat[start : start + _CHUNK]
        chunk[:] = levels_to_symbols(np.rint(random.laplace(0, _MEAN_MAGNITUDE, chunk.size)).astype(np.int32))
    return symbols


def main(name: str, count: str) -> None:
    """Print one result as JSON."""
    codec, process = CODECS[name], psutil.Process()
    few = _laplacian_symbols(_CHUNK)
    codec.decode(codec.encode(few), few.shape)  # loads compiled code, and lets allocators reserve memory
    before = process.memory_info().rss - few.nbytes
    del few
    symbols = _laplacian_symbols(int(count))
    _reset_peak()
    started = time.perf_counter()
    data = codec.encode(symbols)
    encoded = time.perf_counter()
    shape, checksum = symbols.shape, int(symbols.sum(dtype=np.int64))
    encoding_peak = _peak_bytes()
    del symbols
    decoding_started = time.perf_counter()
    decoded = codec.decode(data, shape)
    ended = time.perf_counter()
    assert int(decoded.sum(dtype=np.int64)) == checksum
    result = ScaleResult(
        codec=name,
        weights=decoded.size,
        coded_bytes=len(data),
        encode_nanoseconds=(encoded - started) * 1e9 / decoded.size,
        decode_nanoseconds=(ended - decoding_started) * 1e9 / decoded.size,
        memory_bytes=max(encoding_peak, _peak_bytes(), before) / decoded.size - before / decoded.size,
    )
    print(json.dumps(vars(result)))


def _reset_peak() -> None:
    """Restart the kernel's count of peak memory: imports may need more than a small tensor."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")


def _peak_bytes() -> int:
    """Return the peak of resident memory since the last reset."""
    status = Path("/proc/self/status").read_text("ascii")
    return 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
