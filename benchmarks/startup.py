"""Start-up: the time of commands that people wait for.

`python -m benchmarks.startup` runs each command in fresh processes. It prints the time by the clock of the first one,
which compiles the loops that it needs as after an installation, and of later ones the median processor time, which
other load on the machine changes least, and the median time by the clock.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import skimage.data
from PIL import Image

from benchmarks.benchmark_command import benchmark_command
from compress.cli import console

_COMMANDS = (
    "--help",
    "completion bash",
    "models",
    "pipelines",
    "validate squeezenet",
    "schema",
    "verify squeezenet",
    "inspect squeezenet",
    "verify squeezenet-500k",
    "inspect squeezenet-500k",
    "verify squeezenet-240k",
    "inspect squeezenet-240k",
    "verify mcunet-300k",
    "inspect mcunet-300k",
    "predict squeezenet-240k astronaut.png",
)
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Where the variable is set, as in many containers, each process would compile all modules of a checkout again."""


@benchmark_command()
@click.option("--repeats", type=click.IntRange(1), default=7, show_default=True, help="Number of runs of each command.")
def main(repeats: int) -> None:
    """Measure how long commands take in fresh processes."""
    rows = []
    for command in _COMMANDS:
        with tempfile.TemporaryDirectory() as folder:
            photo = skimage.data.astronaut()  # type: ignore[no-untyped-call]
            Image.fromarray(photo).save(Path(folder, "astronaut.png"))
            (_, first), *runs = [_run(command, folder) for _ in range(repeats + 1)]
        processor, clock = map(statistics.median, zip(*runs, strict=True))
        rows.append((command, f"{first:.2f} s", f"{processor:.2f} s", f"{clock:.2f} s"))
    console.show_table(("command", "first, clock", "processor", "clock"), rows)


def _run(command: str, folder: str) -> tuple[float, float]:
    """Return the seconds of one process on the processor and by the clock; a folder keeps machine code of loops."""
    before, started = os.times(), time.perf_counter()
    program = [sys.executable, "-m", "compress", *command.split()]
    environment = _ENVIRONMENT | {"PYTHONPATH": str(Path.cwd()), "NUMBA_CACHE_DIR": folder}
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL, cwd=folder, env=environment)
    after, clock = os.times(), time.perf_counter() - started
    return after.children_user + after.children_system - before.children_user - before.children_system, clock


if __name__ == "__main__":
    main()
