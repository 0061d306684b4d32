"""Time and memory of `quantize` for networks of 1 to 26 million weights.

`python -m benchmarks.scale` quantizes SqueezeNet v1.1, ResNet-18 and ResNet-50 to about 2 bits a weight, each in a
process of its own, and prints the time per weight and the peak memory. The ResNets have random weights, which take as
much time and memory as trained ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.benchmark_command import benchmark_command
from compress.cli import console, options
from compress.errors import SqueezeError

_NETWORKS = {
    "squeezenet1_1": ("{source: embedded}", 1_231_552),
    "resnet18": ("{factory: 'benchmarks.resnet:resnet18', fold_batch_norm: true}", 11_678_912),
    "resnet50": ("{factory: 'benchmarks.resnet:resnet50', fold_batch_norm: true}", 25_502_912),
}
"""The model in a pipeline, and the number of its weights."""

_PIPELINE = """\
model: {model}
data:
  calibration: {{source: samples, count: {photos}}}
  validation: {{source: samples, count: 4}}
stages:
  - {{pass: quantize, bytes: {file_bytes}, trellis: {trellis}}}
encode: {{coding: context, labels: none}}
"""


@dataclass(frozen=True)
class ScaleCost:
    """Cost of a run.

    Attributes:
        seconds: wall-clock time.
        cpu_seconds: time on all cores.
        peak_bytes: maximum resident memory.
        file_bytes: of the compressed file.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    file_bytes: int


@benchmark_command()
@click.option("--network", "names", multiple=True, type=click.Choice(list(_NETWORKS)), help="Networks. [all]")
@click.option("--photos", type=click.IntRange(1), default=40, show_default=True, help="Calibration photos.")
@click.option("--bits", type=options.FiniteFloat(0.1, 8), default=2, show_default=True, help="Bits a weight.")
@click.option("--trellis/--no-trellis", default=True, show_default=True, help="Trellis-coded quantization.")
@click.option("--memory", default="4GB", show_default=True, help="Memory of each run.")
def main(names: tuple[str, ...], photos: int, bits: float, trellis: bool, memory: str) -> None:
    """Quantize networks of several sizes, and print the cost of each as soon as it is done."""
    for name in names or _NETWORKS:
        model, weights = _NETWORKS[name]
        text = _PIPELINE.format(
            model=model, photos=photos, file_bytes=int(bits * weights / 8), trellis=str(trellis).lower()
        )
        try:
            cost = measure(text, memory)
        except SqueezeError as error:
            raise SqueezeError(f"{name}: {error}") from error
        console.say(
            f"{name}: {weights:,} weights, {8 * cost.file_bytes / weights:.2f} bits a weight, {cost.seconds:,.0f} s, "
            f"{1e6 * cost.cpu_seconds / weights:.0f} µs of CPU time a weight, {cost.peak_bytes / 1e9:.2f} GB at most"
        )


def measure(pipeline: str, memory: str) -> ScaleCost:
    """Run a pipeline in a fresh process.

    Raises:
        SqueezeError: the run failed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "p.yaml").write_text(pipeline, "utf-8")
        command = [sys.executable, "-m", "compress", "-q", "run", str(folder / "p.yaml"), "--memory", memory]
        started = time.perf_counter()
        process = subprocess.Popen([*command, "--out", str(folder / "out")], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        if code := os.waitstatus_to_exitcode(status):
            raise SqueezeError(f"{' '.join(command)} ended with exit code {code}")
        file_bytes = (folder / "out" / "model.sqz").stat().st_size
    return ScaleCost(seconds, usage.ru_utime + usage.ru_stime, 1024 * usage.ru_maxrss, file_bytes)


if __name__ == "__main__":
    main()
