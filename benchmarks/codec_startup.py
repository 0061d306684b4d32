"""Time of a fresh process from its start to a decoded file, with compiled code in the cache."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.timing import timed

_PROGRAM = "import sys, compress.container; compress.container.read(sys.argv[1])"


def fresh_decode_seconds(path: Path, repeats: int) -> float:
    """Return the median seconds that a fresh process takes to read the file at `path`."""
    command = [sys.executable, "-c", _PROGRAM, str(path)]
    return timed(lambda: subprocess.run(command, check=True), repeats)[1]
