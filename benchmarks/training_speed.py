"""Time and memory of training, compared with a plain torch loop on the same network and batches.

`python -m benchmarks.training_speed` runs one step of each variant in turn, in one process, and compares each step with
the plain step next to it, so that other load on the machine slows both. The plain loop gets prepared batches; the
project's time includes reading and augmenting photos. Memory is measured in fresh processes, with photos on disk. The
exit code is 1 if a limit is exceeded.
"""

from __future__ import annotations

import multiprocessing
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from benchmarks.benchmark_command import benchmark_command
from compress.cli import console
from compress.context import Context
from compress.data.digits import Digits
from compress.data.idx import Idx
from compress.model import Model
from compress.passes import Prune, Share, Train
from compress.report.markdown import markdown_table
from compress.training.supervised import SupervisedTraining
from compress.weights.squeezenet_weights import RandomWeights

_WARMUP_STEPS = 4

_MAX_TIMES_PLAIN = 1.1
"""Largest time of a training step, relative to the plain loop."""

_MAX_TIMES_TRAINING = 1.25
"""Largest time of a step with masks or codebooks, relative to dense training."""

_MAX_LOADING_FRACTION = 0.1
"""Largest fraction of a step for reading and augmenting photos."""

_MAX_MEMORY_FRACTION = 0.2
"""Largest growth of memory, relative to the bytes of additional photos of 32 x 32 pixels; includes names and labels."""

_FEW_PHOTOS, _MANY_PHOTOS = 4_000, 32_000
_CLASSES = 10
_Optimizer = Literal["sgd", "adamw"]
_Step = Callable[[int, NDArray[np.int64]], object]


@dataclass(frozen=True)
class _Figure:
    """A measured figure and its limit; None: no limit."""

    name: str
    value: float
    limit: float | None
    text: str

    @property
    def exceeds_limit(self) -> bool:
        return self.limit is not None and self.value > self.limit


@benchmark_command()
@click.option("--steps", type=click.IntRange(1), default=60, show_default=True, help="Steps of each variant.")
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True, help="Photos per step.")
@click.option("--side", type=click.IntRange(16), default=32, show_default=True, help="Side of the photos in pixels.")
def main(steps: int, batch: int, side: int) -> None:
    """Measure the time per epoch, the cost of masks and codebooks, the time to load photos, and memory."""
    optimizers: tuple[_Optimizer, ...] = ("sgd", "adamw")
    figures = [figure for optimizer in optimizers for figure in _measure_speed(optimizer, steps, batch, side)]
    figures += _measure_memory(batch)
    rows = [(each.name, each.text, "" if each.limit is None else f"{each.limit:g}") for each in figures]
    console.say(markdown_table(("", "measured", "limit"), rows))
    exceeded = [each.name for each in figures if each.exceeds_limit]
    console.say(f"above the limit: {', '.join(exceeded)}" if exceeded else "all within the limits")
    sys.exit(1 if exceeded else 0)


def _measure_speed(optimizer: _Optimizer, steps: int, batch: int, side: int) -> list[_Figure]:
    model = RandomWeights("squeezenet1_1", _CLASSES, input_size=side, resize="squash").load(0)
    context = Context(model, Digits().load(model.preprocessing, "calibration", classes=_CLASSES))
    pruned = Prune(sparsity=0.9)(model, context)
    shared = Share(bits=5, kmeans_iterations=3)(pruned, context)
    options = Train(epochs=10_000, batch=batch, optimizer=optimizer, learning_rate=1e-4, validation_split=0)
    models = {"training": model, "training with masks": pruned, "training of codebooks": shared}
    trainings = {name: SupervisedTraining(options, each, context) for name, each in models.items()}
    training = trainings["training"]
    plain = {
        "plain": _plain_step(model, context, training, optimizer, torch.channels_last),
        "plain, channels first": _plain_step(model, context, training, optimizer, torch.contiguous_format),
    }
    loading: dict[str, list[float]] = {name: [] for name in trainings}
    for name, each in trainings.items():
        _time_loading(each, loading[name])
    seconds = _time_in_turn({**plain, **{name: each.step for name, each in trainings.items()}}, training, steps)
    figures = [
        _compare_times(optimizer, name, seconds, training.steps_per_epoch) for name in seconds if name != "plain"
    ]
    return figures + [_loading_figure(optimizer, name, loading[name], seconds[name]) for name in trainings]


def _plain_step(
    model: Model, context: Context, training: SupervisedTraining, optimizer: _Optimizer, layout: torch.memory_format
) -> _Step:
    """Return a step of a loop as in torch's tutorials, on a prepared batch."""
    network = context.network(model).to(memory_format=layout).train()  # type: ignore[call-overload]
    torch_optimizer: torch.optim.Optimizer = torch.optim.SGD(network.parameters(), 1e-4, 0.9, weight_decay=2e-4)
    if optimizer == "adamw":
        torch_optimizer = torch.optim.AdamW(network.parameters(), 1e-4, weight_decay=2e-4)
    assert context.calibration.labels is not None
    labels = torch.from_numpy(context.calibration.labels)
    first = next(iter(training.batches(0)))[1]
    inputs: Tensor = training.augment(first, np.random.default_rng(0)).contiguous(memory_format=layout)

    def step(number: int, photos: NDArray[np.int64]) -> None:
        loss = functional.cross_entropy(network(inputs[: len(photos)]), labels[photos[: len(inputs)]])
        loss.item()
        torch_optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch_optimizer.step()

    return step


def _time_loading(training: SupervisedTraining, seconds: list[float]) -> None:
    """Add the time of each later call of `augment` to a list."""
    augment = training.augment

    def timed(photos: NDArray[np.int64], random: np.random.Generator) -> Tensor:
        started = time.perf_counter()
        inputs = augment(photos, random)
        seconds.append(time.perf_counter() - started)
        return inputs

    training.augment = timed  # type: ignore[method-assign]


def _time_in_turn(variants: Mapping[str, _Step], training: SupervisedTraining, steps: int) -> dict[str, list[float]]:
    """Run each step with all variants, and return the seconds of each step after the warmup."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    with console.progress("training", steps) as advance:
        for number, (step, photos) in zip(range(-_WARMUP_STEPS, steps), training.batches(0), strict=False):
            for name, run in variants.items():
                started = time.perf_counter()
                run(step, photos)
                seconds[name].append(time.perf_counter() - started)
            advance(number >= 0)
    return {name: each[_WARMUP_STEPS:] for name, each in seconds.items()}


def _compare_times(optimizer: str, name: str, seconds: Mapping[str, list[float]], steps_per_epoch: int) -> _Figure:
    """Return the time of a variant relative to dense training or to the plain loop."""
    is_variant = name in {"training with masks", "training of codebooks"}
    other = "training" if is_variant else "plain"
    ratio = statistics.median(one / two for one, two in zip(seconds[name], seconds[other], strict=True))
    limit = {"training": _MAX_TIMES_PLAIN}.get(name, _MAX_TIMES_TRAINING if is_variant else None)
    epoch = statistics.median(seconds[name]) * steps_per_epoch
    return _Figure(f"{optimizer}: {name}", ratio, limit, f"{epoch:.2f} s an epoch, {ratio:.3f} x {other}")


def _loading_figure(optimizer: str, name: str, loading: list[float], seconds: list[float]) -> _Figure:
    fraction = statistics.median(part / whole for part, whole in zip(loading[_WARMUP_STEPS:], seconds, strict=True))
    title = f"{optimizer}: {name}, loading photos"
    return _Figure(title, fraction, _MAX_LOADING_FRACTION, f"{fraction:.1%} of a step")


def _measure_memory(batch: int) -> list[_Figure]:
    with tempfile.TemporaryDirectory() as name:
        few, many = (
            _memory_in_new_process(Path(name) / str(count), count, batch) for count in (_FEW_PHOTOS, _MANY_PHOTOS)
        )
        large_batch = _memory_in_new_process(Path(name) / str(_FEW_PHOTOS), _FEW_PHOTOS, 4 * batch)
    added = (_MANY_PHOTOS - _FEW_PHOTOS) * 32 * 32 * 3
    fraction, text = (many - few) / added, f"{(many - few) / 1e6:.0f} MB for {added / 1e6:.0f} MB"
    return [
        _Figure("memory for more photos", fraction, _MAX_MEMORY_FRACTION, text),
        _Figure("memory for a batch 4 times as large", 0, None, f"{few / 1e6:.0f} to {large_batch / 1e6:.0f} MB"),
    ]


def _memory_in_new_process(folder: Path, count: int, batch: int) -> float:
    """Return the private bytes of a new process after some steps on `count` photos."""
    _write_idx(folder, count)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_train_and_measure_memory, (folder, batch))


def _train_and_measure_memory(folder: Path, batch: int) -> float:
    model = RandomWeights("squeezenet1_1", _CLASSES, input_size=32, resize="squash").load(0)
    photos = Idx(folder).load(model.preprocessing, "calibration", classes=_CLASSES, cache=folder)
    options = Train(epochs=1, batch=batch, validation_split=0)
    training = SupervisedTraining(options, model, Context(model, photos))
    for (step, indices), _ in zip(training.batches(0), range(6), strict=False):
        training.step(step, indices)
    memory = psutil.Process().memory_info()
    return float(memory.rss - memory.shared)  # pages of files are shared, and photos are in files


def _write_idx(folder: Path, count: int) -> None:
    """Write random images and labels as idx files."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, 28, 28), np.uint8)
    head, sides = bytes([0, 0, 8]), struct.pack(">3I", *images.shape)
    (folder / "train-images-idx3-ubyte").write_bytes(head + b"\3" + sides + images.tobytes())
    labels = (np.arange(count) % _CLASSES).astype(np.uint8)
    (folder / "train-labels-idx1-ubyte").write_bytes(head + b"\1" + struct.pack(">I", count) + labels.tobytes())


if __name__ == "__main__":
    main()
