"""The runtime in C beside NNCodec and ONNX Runtime, on one core: `python -m benchmarks.runtime`.

All programs take turns, round by round, so that other load on the machine slows them alike. Prints medians of the
rounds in milliseconds of processor time, and ratios of medians:

    decoding       all weights of `squeezenet-500k`, of the built-in Huffman file, and of NNCodec's file of about 500 kB
    classifying    one photo with SqueezeNet v1.1 and loaded weights
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np

from benchmarks import c_decoder, nncodec_peer
from benchmarks.benchmark_command import benchmark_command
from benchmarks.pipeline_files import ensure_file
from compress import container
from compress.builtin_models import find_model
from compress.cli import console
from compress.export import write_weights
from compress.weights.embedded_weights import EmbeddedWeights

PIPELINE = "squeezenet-500k"
FLAGS = (("-O3",), ("-O3", "-march=native", "-ffp-contract=fast"), ("-Os",))
_PHOTOS = 20
"""Photos that a program classifies in a round."""

Times = Mapping[str, float]
"""Milliseconds by what was done."""


@benchmark_command()
@click.option("--model", type=click.Path(path_type=Path), help=f"File of {PIPELINE}. [OUT/{PIPELINE}/model.sqz]")
@click.option("--out", type=click.Path(path_type=Path), default="out", show_default=True, help="Folder of runs.")
@click.option("--rounds", type=click.IntRange(1), default=15, show_default=True, help="Rounds of each program.")
@click.option("--without-nncodec", is_flag=True, help="Do not measure NNCodec.")
def main(model: Path | None, out: Path, rounds: int, without_nncodec: bool) -> None:
    """Time the runtime in C, NNCodec and ONNX Runtime on one core.

    Reads OUT/squeezenet-500k/model.sqz, and runs the pipeline first if that file does not exist.
    """
    path = model or out / PIPELINE / "model.sqz"
    ensure_file(PIPELINE, path, None)
    with tempfile.TemporaryDirectory() as name, _nncodec(out, Path(name), skip=without_nncodec) as nncodec:
        programs = [*_c_programs(path, Path(name)), _onnx(path, Path(name)), *nncodec]
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        _show(_medians(programs, rounds))


def _medians(programs: list[Callable[[], Times]], rounds: int) -> Times:
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for program in programs:
            for what, milliseconds in program().items():
                times.setdefault(what, []).append(milliseconds)
    return {what: median(each) for what, each in times.items()}


def _c_programs(model: Path, folder: Path) -> Iterator[Callable[[], Times]]:
    """Yield a program for each choice of flags; that of the first one also decodes the Huffman file."""
    sources = [*c_decoder.NETWORK, Path(__file__).with_name("network_speed.c"), Path("-lm")]
    for flags in FLAGS:
        name = " ".join(flags)
        program = c_decoder.build(folder / name.replace(" ", ""), flags, sources)
        yield partial(_c_times, program, model, f"decode: C {name}", f"classify: C {name}")
        if flags == FLAGS[0]:
            yield partial(_c_times, program, find_model("squeezenet"), f"decode: C {name}, Huffman")


def _c_times(program: Path, model: Path, decode: str, classify: str | None = None) -> Times:
    photos = str(_PHOTOS if classify else 1)
    done = subprocess.run([program, model, photos], capture_output=True, text=True, check=True)
    run_milliseconds, decode_milliseconds = map(float, done.stdout.split())
    return {decode: decode_milliseconds, **({classify: run_milliseconds} if classify else {})}


def _onnx(path: Path, folder: Path) -> Callable[[], Times]:
    import onnxruntime  # noqa: PLC0415

    model = container.read(path)
    write_weights(model, folder / "model.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "model.onnx", options)
    shape = (1, 3, model.preprocessing.height, model.preprocessing.width)
    photo = {"input": np.random.default_rng(0).normal(0, 60, shape).astype(np.float32)}

    def classify() -> Times:
        times = []
        for _ in range(_PHOTOS):
            started = time.process_time()
            session.run(None, photo)
            times.append(1e3 * (time.process_time() - started))
        return {"classify: ONNX Runtime": median(times)}

    return classify


@contextmanager
def _nncodec(out: Path, folder: Path, *, skip: bool) -> Iterator[list[Callable[[], Times]]]:
    """Yield NNCodec's decoder, which waits in its own process; nothing to skip it."""
    if skip:
        yield []
        return
    python = nncodec_peer.environment(out.absolute() / "bench" / "nncodec")
    weights: dict[str, Any] = {name: each.to_dense() for name, each in EmbeddedWeights().load().tensors.items()}
    np.savez(folder / "weights.npz", **weights)
    command = [
        str(python),
        "-m",
        "benchmarks.nncodec_timer",
        str(folder / "weights.npz"),
        str(nncodec_peer.QP_OF_500_KB),
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    pipes = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    with pipes as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout
        console.say(f"NNCodec's file: {int(stdout.readline()):,} bytes")

        def decode() -> Times:
            print(file=stdin, flush=True)
            return {"decode: NNCodec": 1e3 * float(stdout.readline())}

        yield [decode]
        stdin.close()


def _show(times: Times) -> None:
    for what, milliseconds in sorted(times.items()):
        console.say(f"{what}: {milliseconds:.1f} ms")
    for what, peer in (("decode", "NNCodec"), ("classify", "ONNX Runtime")):
        ours, theirs = times[f"{what}: C {FLAGS[0][0]}"], times.get(f"{what}: {peer}")
        if theirs is not None:
            console.say(f"{what}: C takes {ours / theirs:.2f} times as long as {peer}")


if __name__ == "__main__":
    main()
