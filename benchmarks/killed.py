"""A run killed at random moments, again and again, must end with the bytes of one that was left alone.

`python -m benchmarks.killed` prunes, shares and distils SqueezeNet on a few photos, is killed with
SIGKILL at so many random moments and begun again, each time from what the cache has; then the files are compared.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from compress.cli import console

_PIPELINE = """\
data:
  calibration: {source: samples, count: 4}
  validation: {source: samples, count: 2}
stages:
  - {pass: prune, sparsity: 0.6}
  - {pass: share, bits: 4, iterations: 2}
  - {pass: distill, steps: 60, batch: 4}
"""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--kills", type=click.IntRange(1), default=20, show_default=True, help="How often a run is killed.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the moments.")
def main(kills: int, seed: int) -> None:
    """Kill runs and compare what the last one leaves with what a run that was left alone leaves."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "p.yaml").write_text(_PIPELINE, "utf-8")
        started = time.monotonic()
        subprocess.run(_command(folder, "alone"), check=True, capture_output=True)
        seconds = time.monotonic() - started
        finished = sum(_killed(_command(folder, "killed"), chance.uniform(0, 0.6 * seconds)) for _ in range(kills))
        subprocess.run(_command(folder, "killed"), check=True, capture_output=True)
        same = (folder / "alone/model.sqz").read_bytes() == (folder / "killed/model.sqz").read_bytes()
    console.say(f"{kills - finished} of {kills} runs killed, {finished} done before; the same bytes: {same}")
    sys.exit(0 if same else 1)


def _command(folder: Path, name: str) -> list[str]:
    paths = ["--out", str(folder / name), "--cache", str(folder / f"cache-{name}")]
    return [sys.executable, "-m", "compress", "run", str(folder / "p.yaml"), *paths]


def _killed(command: list[str], seconds: float) -> bool:
    """Kill a run after so many seconds, and return whether it was done before."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        try:
            return run.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            run.kill()
            return False


if __name__ == "__main__":
    main()
