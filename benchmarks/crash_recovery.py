"""Crash recovery: a run that is killed at random moments ends with the same bytes as an undisturbed run.

`python -m benchmarks.crash_recovery` prunes, shares and distills SqueezeNet on a few photos. It kills the run with
SIGKILL at random moments and starts it again from its cache, and at last compares the files.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from benchmarks.benchmark_command import benchmark_command
from compress.cli import console

_PIPELINE = """\
data:
  calibration: {source: samples, count: 4}
  validation: {source: samples, count: 2}
stages:
  - {pass: prune, sparsity: 0.6}
  - {pass: share, bits: 4, kmeans_iterations: 2}
  - {pass: distill, steps: 60, batch: 4}
"""


@benchmark_command()
@click.option("--kills", type=click.IntRange(1), default=20, show_default=True, help="Number of kills.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the moments.")
def main(kills: int, seed: int) -> None:
    """Kill runs at random moments, and compare the final result with that of an undisturbed run."""
    moments = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "p.yaml").write_text(_PIPELINE, "utf-8")
        started = time.monotonic()
        subprocess.run(_command(folder, "undisturbed"), check=True, capture_output=True)
        seconds = time.monotonic() - started
        killed = sum(_kill(_command(folder, "killed"), moments.uniform(0, 0.6 * seconds)) for _ in range(kills))
        subprocess.run(_command(folder, "killed"), check=True, capture_output=True)
        same = (folder / "undisturbed/model.sqz").read_bytes() == (folder / "killed/model.sqz").read_bytes()
    outcome = "the same bytes" if same else "different bytes"
    console.say(f"{killed} of {kills} runs killed, {kills - killed} finished first; {outcome}")
    sys.exit(0 if same else 1)


def _command(folder: Path, name: str) -> list[str]:
    paths = ["--out", str(folder / name), "--cache", str(folder / f"cache-{name}")]
    return [sys.executable, "-m", "compress", "run", str(folder / "p.yaml"), *paths]


def _kill(command: list[str], seconds: float) -> bool:
    """Kill a run after some seconds; return whether it was still running."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        try:
            code = run.wait(seconds)
        except subprocess.TimeoutExpired:
            run.kill()
            return True
    if code:
        raise subprocess.CalledProcessError(code, command)
    return False


if __name__ == "__main__":
    main()
