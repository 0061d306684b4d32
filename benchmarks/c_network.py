"""Speed of the runtime in C and of ONNX Runtime, one thread each: `python -m benchmarks.c_network`.

Prints the median milliseconds of SqueezeNet v1.1 with one photo of 224 x 224 pixels, for several flags of the compiler.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import click
import numpy as np

from benchmarks import c_decoder
from compress import container
from compress.export import write_weights
from compress.model import Model
from compress.networks.embedded_weights import EmbeddedWeights

FLAGS = (("-O3",), ("-O3", "-march=native", "-ffp-contract=fast"), ("-Os",))
SIDE = 224


def onnx_milliseconds(model: Model, folder: Path, runs: int) -> float:
    """Return the median time of ONNX Runtime."""
    import onnxruntime  # noqa: PLC0415

    write_weights(model, folder / "model.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "model.onnx", options)
    photo = {"input": np.random.default_rng(0).normal(0, 60, (1, 3, SIDE, SIDE)).astype(np.float32)}
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        session.run(None, photo)
        times.append(time.perf_counter() - start)
    return 1e3 * median(times)


def c_milliseconds(model: Model, folder: Path, runs: int, flags: tuple[str, ...]) -> tuple[float, float]:
    """Return the median time of a run in C, and the time to decode the weights.

    Raises:
        ConfigError: there is no compiler.
    """
    (folder / "model.sqz").write_bytes(container.encode(model))
    sources = [*c_decoder.NETWORK, Path(__file__).with_name("network_speed.c"), Path("-lm")]
    program = c_decoder.build(folder / "network_speed", flags, sources)
    done = subprocess.run([program, folder / "model.sqz", str(runs)], capture_output=True, text=True, check=True)
    run, decode = map(float, done.stdout.split())
    return run, decode


@click.command()
@click.option("--runs", type=click.IntRange(1, 1000), default=100, show_default=True, help="Photos of each program.")
def main(runs: int) -> None:
    """Time the runtime in C and ONNX Runtime, one thread each."""
    model = EmbeddedWeights().load()
    model = replace(model, preprocessing=replace(model.preprocessing, height=SIDE, width=SIDE))
    with tempfile.TemporaryDirectory() as name:
        click.echo(f"ONNX Runtime: {onnx_milliseconds(model, Path(name), runs):.1f} ms")
        for flags in FLAGS:
            run, decode = c_milliseconds(model, Path(name), runs, flags)
            click.echo(f"{' '.join(flags)}: {run:.1f} ms, weights decoded in {decode:.0f} ms")


if __name__ == "__main__":
    main()
