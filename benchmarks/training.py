"""Training against a plain torch loop on the same network and batches; what masks, centroids and loading photos cost.

`python -m benchmarks.training` does the steps of all in turn, in one process, and compares each with the plain step
beside it: what else the machine does slows both. The plain loop is given batches that are ready, so that this project's
time has the loading and moving of photos in it. Memory is that of fresh processes, photos on disk. Exit code 1 where
something is above what is allowed.
"""

from __future__ import annotations

import multiprocessing
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import click
import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from benchmarks.table import markdown_table
from compress.cli import console
from compress.data.augmentation import Part
from compress.data.digits import Digits
from compress.data.idx import Idx
from compress.model import Model
from compress.networks.random_init import Random
from compress.passes import Context, Prune, Share, Train
from compress.training.supervised import Training

_WARM_UP = 4
_OF_PLAIN = 1.1
"""Times a plain loop that training may take."""

_OF_TRAINING = 1.25
"""Times training that it may take with masks or centroids."""

_WAITING = 0.1
"""Share of a step that loading photos may take."""

_OF_PHOTOS = 0.2
"""Share of the bytes of more photos, of 32 x 32 pixels, by which memory may grow: their names and labels are in it."""

_FEW, _MANY = 4_000, 32_000
_CLASSES = 10
_Optimizer = Literal["sgd", "adamw"]
Step = Callable[[int, np.ndarray[tuple[int], np.dtype[np.int64]]], None]


@dataclass(frozen=True)
class _Line:
    """A figure, and what is allowed."""

    what: str
    figure: float
    allowed: float | None
    shown: str

    @property
    def missed(self) -> bool:
        return self.allowed is not None and self.figure > self.allowed


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--steps", type=click.IntRange(1), default=60, show_default=True, help="Of each.")
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True, help="Photos a step.")
@click.option("--size", type=click.IntRange(16), default=32, show_default=True, help="Of the photos, pixels a side.")
def main(steps: int, batch: int, size: int) -> None:
    """Measure seconds an epoch, what masks and centroids add, the wait for photos, and memory."""
    optimizers: tuple[_Optimizer, ...] = ("sgd", "adamw")
    lines = [line for optimizer in optimizers for line in _speed(optimizer, steps, batch, size)]
    lines += _memory(batch)
    rows = [(line.what, line.shown, "" if line.allowed is None else f"{line.allowed:g}") for line in lines]
    console.say(markdown_table(("", "measured", "allowed"), rows))
    missed = [line.what for line in lines if line.missed]
    console.say(f"missed: {', '.join(missed)}" if missed else "all within what is allowed")
    sys.exit(1 if missed else 0)


def _speed(optimizer: _Optimizer, steps: int, batch: int, size: int) -> list[_Line]:
    model = Random("squeezenet1_1", _CLASSES, size=size, resize="squash").load(0)
    context = Context(model, Digits().load(model.preprocessing, "calibration", classes=_CLASSES))
    pruned = Prune(sparsity=0.9)(model, context)
    shared = Share(bits=5, iterations=3)(pruned, context)
    options = Train(
        epochs=10_000, batch=batch, optimizer=optimizer, learning_rate=1e-4, schedule="constant", held_out=0
    )
    trainings = {
        "training": Training(options, model, context),
        "training with masks": Training(options, pruned, context),
        "training of centroids": Training(options, shared, context),
        "training on views": Training(replace(options, views=True), model, context),
    }
    plain = {
        "plain": _plain(model, context, trainings["training"], optimizer, torch.channels_last),
        "plain, channels first": _plain(model, context, trainings["training"], optimizer, torch.contiguous_format),
    }
    waited: dict[str, list[float]] = {name: [] for name in trainings}
    for name, training in trainings.items():
        _time_loading(training, waited[name])
    taken = _in_turn({**plain, **{name: training.step for name, training in trainings.items()}}, trainings, steps)
    return _lines(optimizer, taken, waited, trainings["training"].steps_an_epoch)


def _plain(
    model: Model, context: Context, training: Training, optimizer: _Optimizer, layout: torch.memory_format
) -> Step:
    """Return a step of a loop as in torch's tutorials, on batches made beforehand."""
    network = context.network(model).to(memory_format=layout).train()  # type: ignore[call-overload]
    optimiser: torch.optim.Optimizer = torch.optim.SGD(network.parameters(), 1e-4, momentum=0.9, weight_decay=2e-4)
    if optimizer == "adamw":
        optimiser = torch.optim.AdamW(network.parameters(), 1e-4, weight_decay=2e-4)
    assert context.calibration.labels is not None
    labels = torch.from_numpy(context.calibration.labels)
    first = next(iter(training.batches(0)))[1]
    inputs: Tensor = training.augmented(first, np.random.default_rng(0)).contiguous(memory_format=layout)

    def step(number: int, places: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        loss = functional.cross_entropy(network(inputs[: len(places)]), labels[places[: len(inputs)]])
        loss.item()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return step


def _time_loading(training: Training, seconds: list[float]) -> None:
    made = training.augmented

    def timed(places: NDArray[np.int64], random: np.random.Generator, part: Part | None = None) -> Tensor:
        started = time.perf_counter()
        inputs = made(places, random, part)
        seconds.append(time.perf_counter() - started)
        return inputs

    training.augmented = timed  # type: ignore[method-assign]


def _in_turn(work: Mapping[str, Step], trainings: Mapping[str, Training], steps: int) -> dict[str, list[float]]:
    """Do a step of each, then the next of each; return the seconds of all after some to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    batches = trainings["training"].batches(0)
    with console.progress("training", steps) as advance:
        for number, (step, places) in zip(range(-_WARM_UP, steps), batches, strict=False):
            for name, do in work.items():
                started = time.perf_counter()
                do(step, places)
                taken[name].append(time.perf_counter() - started)
            advance(number >= 0)
    return {name: seconds[_WARM_UP:] for name, seconds in taken.items()}


def _lines(
    optimizer: str, taken: Mapping[str, list[float]], waited: Mapping[str, list[float]], steps_an_epoch: int
) -> list[_Line]:
    found = []
    for name, seconds in taken.items():
        beside = "training" if "with masks" in name or "centroids" in name else "plain"
        times = statistics.median(one / other for one, other in zip(seconds, taken[beside], strict=True))
        allowed = {"training": _OF_PLAIN}.get(name, _OF_TRAINING if beside == "training" else None)
        epoch = statistics.median(seconds) * steps_an_epoch
        found.append(_Line(f"{optimizer}: {name}", times, allowed, f"{epoch:.2f} s an epoch, {times:.3f} x {beside}"))
    for name, loading in waited.items():
        share = statistics.median(part / all_ for part, all_ in zip(loading[_WARM_UP:], taken[name], strict=True))
        found.append(_Line(f"{optimizer}: {name}, waiting for photos", share, _WAITING, f"{share:.1%} of a step"))
    return found


def _memory(batch: int) -> list[_Line]:
    with tempfile.TemporaryDirectory() as name:
        few, many = (_in_a_process(Path(name) / str(count), count, batch) for count in (_FEW, _MANY))
        large = _in_a_process(Path(name) / str(_FEW), _FEW, 4 * batch)
    added = (_MANY - _FEW) * 32 * 32 * 3
    share = (many - few) / added
    return [
        _Line("memory for more photos", share, _OF_PHOTOS, f"{(many - few) / 1e6:.0f} MB for {added / 1e6:.0f} MB"),
        _Line("memory for a batch 4 times as large", 0, None, f"{few / 1e6:.0f} to {large / 1e6:.0f} MB"),
    ]


def _in_a_process(folder: Path, count: int, batch: int) -> float:
    """Return the bytes of its own that a fresh process has after some steps on so many photos."""
    _write_set(folder, count)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_bytes_of_training, (folder, batch))


def _bytes_of_training(folder: Path, batch: int) -> float:
    model = Random("squeezenet1_1", _CLASSES, size=32, resize="squash").load(0)
    photos = Idx(folder).load(model.preprocessing, "calibration", classes=_CLASSES, store=folder)
    training = Training(Train(epochs=1, batch=batch, held_out=0), model, Context(model, photos))
    for (step, places), _ in zip(training.batches(0), range(6), strict=False):
        training.step(step, places)
    memory = psutil.Process().memory_info()
    return float(memory.rss - memory.shared)  # pages of files are shared, those of photos among them


def _write_set(folder: Path, count: int) -> None:
    """Write random images as a set of idx files."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, 28, 28), np.uint8)
    head, sides = bytes([0, 0, 8]), struct.pack(">3I", *images.shape)
    (folder / "train-images-idx3-ubyte").write_bytes(head + b"\3" + sides + images.tobytes())
    labels = (np.arange(count) % _CLASSES).astype(np.uint8)
    (folder / "train-labels-idx1-ubyte").write_bytes(head + b"\1" + struct.pack(">I", count) + labels.tobytes())


if __name__ == "__main__":
    main()
