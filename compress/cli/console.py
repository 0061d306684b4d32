"""Output to the terminal: tables, progress bars, errors. Without a terminal, plain lines."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from compress.cli.live_stages import LiveStages, duration, progress_bars
from compress.runtime.file_names import escape_undecodable

if TYPE_CHECKING:
    from compress.builtin_models import BuiltinModel
    from compress.container.inspection import Inspection
    from compress.evaluation.comparison_record import ModelComparison, PairedAccuracy, PhotoPredictions
    from compress.evaluation.evaluate import Evaluation
    from compress.evaluation.results import Interval, Prediction
    from compress.networks.description import LayerDescription
    from compress.pipeline.cache_listing import CacheEntry
    from compress.pipeline.runner import RunResult, Watch
    from compress.report.record import PhotoExample, StageRecord
    from compress.runtime.progress import Progress

_out = Console(highlight=False, emoji=False)
_err = Console(stderr=True, highlight=False, emoji=False)
_quiet = False
_verbose = False
_WIDTH_WITHOUT_TERMINAL = 160
_MAX_ARCHITECTURE = 100
_MIN_TEXT_WIDTH = 16
"""Width to which a narrow terminal folds the text columns of a table."""

_MIN_REPORTED_SECONDS = 2.0
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
SECONDS_BETWEEN_LINES = 30.0
"""Between two lines about the same work without a terminal."""


def set_verbosity(*, quiet: bool, verbose: bool) -> None:
    """Set the amount of output, and the width of tables for stdout."""
    global _quiet, _verbose, _out  # noqa: PLW0603  one terminal, one setting
    _quiet, _verbose = quiet, verbose
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # File names may hold undecodable bytes, and the terminal may lack characters.
        sys.stdout.reconfigure(errors="backslashreplace")
    _out = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL)


def _visible(text: str) -> str:
    """Return text whose control characters are escaped: names in files could otherwise steer the terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def say(text: str) -> None:
    """Print a result."""
    _out.print(_visible(text), markup=False, soft_wrap=True)


def say_json(value: object) -> None:
    """Print a result as JSON, the only output on stdout."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))


def note(text: str) -> None:
    """Print progress to stderr, unless --quiet."""
    if not _quiet:
        _err.print(_visible(text), markup=False, soft_wrap=True)


def error(text: str) -> None:
    """Print an error; with --verbose, also its traceback."""
    _err.print(f"[bold red]error:[/] {escape(_visible(text))}", soft_wrap=True)
    if _verbose and sys.exc_info()[0] is not None:
        _err.print_exception()


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar of `total` items (0: unknown); without a terminal, print lines about long work."""
    if _quiet:
        yield lambda count: None
    elif _err.is_terminal:
        with progress_bars(_err) as bars:
            task = bars.add_task(title, total=total or None)
            yield lambda count: bars.advance(task, count)
    else:
        with _ProgressLines(title, total) as advance:
            yield advance


@contextmanager
def follow_run() -> Iterator[tuple[Progress, Watch | None]]:
    """Yield the arguments `progress` and `watch` of a run, with a live table of its stages if there is a terminal."""
    if _quiet or not _err.is_terminal:
        yield progress, None
    else:
        with LiveStages(_err) as live:
            yield live.progress, live.watch


class LogLines(logging.Handler):
    """Prints log records to stderr, above a progress bar or a live table."""

    def emit(self, record: logging.LogRecord) -> None:
        _err.print(_visible(self.format(record)), markup=False, soft_wrap=True)


class _ProgressLines:
    """Prints a line every 30 seconds about work that is not done, and its time when it is done.

    A thread prints them, so that logs stay alive even if the work is one long step.
    """

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total, self._done = title, total, 0
        self._started, self._finished = time.perf_counter(), threading.Event()
        self._thread = threading.Thread(target=self._print_lines, daemon=True)

    def __enter__(self) -> Callable[[int], None]:
        self._thread.start()
        return self._advance

    def __exit__(self, *error: object) -> None:
        self._finished.set()
        self._thread.join()
        seconds = time.perf_counter() - self._started
        if error[0] is None and (seconds > _MIN_REPORTED_SECONDS or _verbose):
            self._print(duration(seconds))

    def _advance(self, count: int) -> None:
        self._done += count

    def _print_lines(self) -> None:
        while not self._finished.wait(SECONDS_BETWEEN_LINES):
            seconds = time.perf_counter() - self._started
            elapsed = duration(seconds)
            if not self._total:
                self._print(f"{self._done:,} done in {elapsed}" if self._done else f"{elapsed} so far")
            elif not self._done:
                self._print(f"0 of {self._total:,} done in {elapsed}")
            else:
                left = duration(seconds / self._done * (self._total - self._done))
                self._print(f"{self._done:,} of {self._total:,} done in {elapsed}, about {left} left")

    def _print(self, text: str) -> None:
        _err.print(f"{self._title}: {text}", markup=False)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> None:
    """Print a table; the columns after the first `text_columns` are numbers, aligned to the right.

    Text folds where the terminal is narrow, and numbers are never cut: then the table is wider than the terminal.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    for index, column in enumerate(columns):
        if index < text_columns:
            table.add_column(column, overflow="fold", min_width=min(_widest(index, columns, rows), _MIN_TEXT_WIDTH))
        else:
            table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(escape(_visible(cell)) for cell in row))
    widest = [_widest(index, columns, rows) for index in range(len(columns))]
    needed = sum(min(width, _MIN_TEXT_WIDTH) for width in widest[:text_columns]) + sum(widest[text_columns:])
    width = max(_out.width, needed + 2 * len(columns))
    Console(highlight=False, emoji=False, width=width).print(table, soft_wrap=False, crop=False)


def _widest(index: int, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    return max(cell_len(row[index]) for row in (columns, *rows))


def show_result(result: RunResult, *, as_json: bool = False) -> None:
    """Print the record as JSON, or the stages of a run, its goals with the causes of misses, and the paths."""
    # `compress.report` imports jinja2 and scipy, which are slow.
    from compress.report.formatting import to_ascii  # noqa: PLC0415
    from compress.report.goal_shortfall import explain_miss, goal_line  # noqa: PLC0415
    from compress.report.record import ALEXNET_BYTES  # noqa: PLC0415
    from compress.report.report_json import to_json  # noqa: PLC0415

    record = result.record
    if as_json:
        click.echo(to_json(record), nl=False)
        return
    labeled = record.stages[0].accuracy is not None
    accuracy = ("top-1", "top-5") if labeled else ()
    fidelity = record.stages[-1].fidelity
    agreement = ("agreement",) if fidelity.agreement else ()
    columns = ("stage", "bytes", "zeros", "bits/weight", *accuracy, *agreement, fidelity.error_name, "seconds")
    show_table(columns, [_stage_row(stage, labeled=labeled) for stage in record.stages])
    _show_stage_notes(record.stages)
    file_bytes = record.file.file_bytes
    if fidelity.agreement:
        say("KL: how far the class probabilities are from those of the float network; 0 is the same")
    else:
        say("relative MSE: mean squared error over the variance of the float network's outputs; 0 is the same")
    say("")
    alexnet = f", {ALEXNET_BYTES / file_bytes:.0f} than AlexNet" if record.is_imagenet_classifier else ""
    say(f"{file_bytes:,} bytes: {record.float_bytes / file_bytes:.1f} times smaller than float32{alexnet}")
    if left := record.uncompressed_parameters:
        say(f"No pass compresses {left:,} of {record.parameters:,} parameters ({left / record.parameters:.1%}): "
            f"they take {record.uncompressed_bytes:,} bytes as they are.")  # fmt: skip
    for data in record.data:
        say(f"{data.role}: {data.description}")
    if record.compared:
        say(f"Compared with the float network: {record.compared}.")
    elif not labeled:
        say("These photos have no labels: fidelity to the float network was measured, not accuracy.")
    if record.example:
        _show_example(record.example)
    for goal in record.goals:
        say(goal_line(goal))
        if cause := explain_miss(record, goal):
            say(f"  {to_ascii(cause)}")
    say(f"model:  {result.model_path}")
    say(f"report: {result.report_path}")


def _show_stage_notes(stages: Sequence[StageRecord]) -> None:
    if cached := [stage.name for stage in stages if stage.from_cache]:
        say(f"from the cache: {', '.join(cached)}; seconds are those of the run that computed them")
    for stage in stages:
        for text in stage.notes:
            say(f"{stage.name}: {text}")


def _show_example(example: PhotoExample) -> None:
    say("")
    say(f"{example.photo}:")
    rows = [
        (f"{before.probability:.1%}", before.name, f"{after.probability:.1%}", after.name)
        for before, after in zip(example.before, example.after, strict=True)
    ]
    show_table(("float network", "", "the file", ""), rows, text_columns=4)
    say("")


def _stage_row(stage: StageRecord, *, labeled: bool) -> list[str]:
    accuracy = [""] * 2 if labeled else []
    if stage.accuracy:
        accuracy = [_percent(stage.accuracy.top1), _percent(stage.accuracy.top5)]
    agreement, error = stage.fidelity.agreement, stage.fidelity.error
    return [
        stage.name, f"{stage.file_bytes:,}", f"{stage.sparsity:.1%}", f"{stage.bits_per_weight:.2f}", *accuracy,
        *([f"{agreement.value:.1%}"] if agreement else []), f"{error.value:.4f}", f"{stage.seconds:.1f}",
    ]  # fmt: skip


def _percent(interval: Interval) -> str:
    return f"{interval.value:.1%} ({interval.low * 100:.1f} to {interval.high * 100:.1f})"


def show_layers(network: str, layers: Sequence[LayerDescription]) -> None:
    """Print a network's layers."""

    def count(number: int) -> str:
        return f"{number:,}" if number else ""

    rows = [
        (layer.name, layer.kind, "x".join(map(str, layer.output)), count(layer.parameters),
         count(layer.multiply_accumulates))
        for layer in layers
    ]  # fmt: skip
    parameters = sum(layer.parameters for layer in layers)
    multiply_accumulates = sum(layer.multiply_accumulates for layer in layers)
    say(network)
    total = ("total", "", "", f"{parameters:,}", f"{multiply_accumulates:,}")
    show_table(("layer", "kind", "output", "parameters", "multiply-accumulates"), [*rows, total], text_columns=2)


def _shortened(architecture: str) -> str:
    """Return an architecture in one line; the arguments of a function may be long."""
    return architecture if len(architecture) <= _MAX_ARCHITECTURE else f"{architecture[:_MAX_ARCHITECTURE]}..."


def show_inspection(inspection: Inspection) -> None:
    """Print the content of a file."""
    from compress.networks.network_class_names import describe_outputs  # noqa: PLC0415  imports pydantic

    model, layout = inspection.model, inspection.layout
    preprocessing = model.preprocessing
    say(f"{inspection.file}: {layout.file_bytes:,} bytes, {_shortened(model.architecture)}, {describe_outputs(model)}")
    has_labels, runs_in_c = ("yes" if each else "no" for each in (model.labels, inspection.runs_in_c))
    say(f"input: {preprocessing.height}x{preprocessing.width} {preprocessing.channels}, {preprocessing.resize}; "
        f"class names: {has_labels}; runs in C: {runs_in_c}")  # fmt: skip
    parts = {
        "indices": [tensor.index_bytes for tensor in layout.tensors],
        "positions": [tensor.position_bytes for tensor in layout.tensors],
        "codebook": [tensor.codebook_bytes for tensor in layout.tensors],
        "scales": [tensor.scale_bytes for tensor in layout.tensors],
    }
    used = {name: sizes for name, sizes in parts.items() if any(sizes)}
    rows = [
        (
            tensor.name, "x".join(map(str, tensor.shape)), tensor.form, tensor.codec,
            f"{tensor.nonzero_weights / max(tensor.weights, 1):.1%}",
            f"{tensor.codebook_entries:,}" if tensor.codebook_entries else "", f"{tensor.bits_per_weight:.2f}",
            *(f"{sizes[index]:,}" for sizes in used.values()),
        )
        for index, tensor in enumerate(layout.tensors)
    ]  # fmt: skip
    columns = ("tensor", "shape", "form", "codec", "nonzero", "values", "bits/weight", *used)
    show_table(columns, rows, text_columns=4)
    say(f"header and checksums {layout.header_bytes:,} bytes, class names {layout.label_bytes:,} bytes")
    say(f"sha256 of the decoded weights: {inspection.weights_sha256}")


def show_written(files: Iterable[Path], *, as_json: bool) -> None:
    """Print files that a command wrote, with their bytes."""
    sizes = {str(file): file.stat().st_size for file in files}
    if as_json:
        say_json([{"file": escape_undecodable(file), "file_bytes": size} for file, size in sizes.items()])
    else:
        for file, size in sizes.items():
            say(f"{file}: {size:,} bytes")


def show_prediction(photo: Path, classes: Sequence[Prediction]) -> None:
    """Print the most probable classes of a photo."""
    say(str(photo))
    for each in classes:
        say(f"  {each.probability:6.1%}  {each.name}")


def show_models(models: Iterable[BuiltinModel]) -> None:
    """Print the built-in models with the accuracy of their files."""
    columns = ("model", "bytes", "top-1", "change", "top-5", "change", "agreement", "KL, nats")
    show_table(
        columns,
        [
            [
                model.name, f"{model.file_bytes:,}",
                f"{model.top1:.1%}", f"{(model.top1 - model.float_top1) * 100:+.1f}",
                f"{model.top5:.1%}", f"{(model.top5 - model.float_top5) * 100:+.1f}",
                f"{model.agreement:.1%}", f"{model.divergence_nats:.3f}",
            ]
            for model in models
        ],
    )  # fmt: skip
    say(
        "\nMeasured on 1,000 labeled photos. Change (points), agreement and KL are from the float network."
        "\nClassify a photo: squeeze-compress predict NAME photo.jpg"
    )


def show_evaluation(evaluation: Evaluation) -> None:
    """Print top-1 and top-5 with their 95% intervals, and where the labels came from."""
    accuracy = evaluation.accuracy
    say(f"photos: {evaluation.data}")
    for name, interval in (("top-1", accuracy.top1), ("top-5", accuracy.top5)):
        say(f"{name} {interval.value:.1%} (95% interval {interval.low:.1%} to {interval.high:.1%})")
    for photo in evaluation.skipped:
        say(f"skipped {photo}")


def show_comparison(comparison: ModelComparison, max_shown: int) -> None:
    """Print bytes, accuracy and fidelity of two models, and the first photos with different top-1 classes."""
    from compress.report.goal_shortfall import goal_line  # noqa: PLC0415  as in show_result

    a, b = comparison.a, comparison.b
    for letter, model in (("A", a), ("B", b)):
        say(f"{letter}  {model.name}: {model.file_bytes:,} bytes, {_shortened(model.architecture)}")
    hashes = (f"are the same, sha256 {a.weights_sha256}" if comparison.same_weights
              else f"differ, sha256 {a.weights_sha256[:12]}... and {b.weights_sha256[:12]}...")  # fmt: skip
    say(f"B has {b.file_bytes / a.file_bytes:.1%} of A's bytes; the weights {hashes}")
    if not comparison.same_preprocessing:
        say("A and B have different preprocessing: each uses its own")
    if renamed := comparison.differing_class_names:
        say(f"{len(renamed):,} classes have different names in A and B, the first is class {renamed[0]}: "
            "check that the classes are the same")  # fmt: skip
    say("")
    say(f"photos: {comparison.data}")
    _show_metrics(comparison)
    if not comparison.compared:
        _show_differing(comparison.differing, max_shown, labeled=comparison.top1 is not None)
    for photo in comparison.skipped:
        say(f"skipped {photo}")
    for goal in comparison.goals:
        say(goal_line(goal))


def _show_metrics(comparison: ModelComparison) -> None:
    accuracy_a, accuracy_b = comparison.a.accuracy, comparison.b.accuracy
    if accuracy_a and accuracy_b and comparison.top1 and comparison.top5:
        for name, a, b, paired in (
            ("top-1", accuracy_a.top1, accuracy_b.top1, comparison.top1),
            ("top-5", accuracy_a.top5, accuracy_b.top5, comparison.top5),
        ):
            say(f"{name}: A {_percent(a)}, B {_percent(b)}; {_paired(paired)}")
    elif comparison.compared:
        say(f"Compared: {comparison.compared}.")
    else:
        say("These photos have no labels: the comparison has no accuracy, only fidelity.")
    if agreement := comparison.agreement:
        say(f"agreement: {_percent(agreement)} of the {'positions' if comparison.compared else 'photos'}")
    if divergence := comparison.divergence_nats:
        say(f"KL divergence of B from A: {divergence.value:.4f} nats ({divergence.low:.4f} to {divergence.high:.4f})")
    if error := comparison.relative_mse:
        say(f"mean squared error of B over the variance of A: {error.value:.4f} ({error.low:.4f} to {error.high:.4f})")


def _paired(paired: PairedAccuracy) -> str:
    interval = paired.difference
    value, low, high = (f"{end * 100:+.1f}" for end in (interval.value, interval.low, interval.high))
    return (
        f"B minus A {value} points ({low} to {high}); correct only in A {paired.correct_only_a:,}, "
        f"only in B {paired.correct_only_b:,}, McNemar p = {paired.p_value:.2g}"
    )


def _show_differing(photos: Sequence[PhotoPredictions], max_shown: int, *, labeled: bool) -> None:
    def words(prediction: Prediction | None) -> str:
        return f"{prediction.name} {prediction.probability:.1%}" if prediction else ""

    shown = f"; the {max_shown:,} with the highest divergence:" if 0 < max_shown < len(photos) else ""
    say(f"different top-1 classes: {len(photos):,} of the photos{shown}")
    if photos and max_shown:
        columns = ("photo", *(("label",) if labeled else ()), "A", "B", "KL, nats")
        rows = [
            (photo.photo, *((photo.label_name or "",) if labeled else ()), words(photo.a), words(photo.b),
             f"{photo.divergence_nats:.4f}")
            for photo in photos[:max_shown]
        ]  # fmt: skip
        show_table(columns, rows, text_columns=len(columns) - 1)


def show_cache(folder: Path, entries: Sequence[CacheEntry]) -> None:
    """Print the content of a cache."""
    say(f"{folder}: {sum(entry.file_bytes for entry in entries):,} bytes")
    rows = [
        (entry.kind, entry.stage, f"{entry.age_seconds / 86_400:.1f} days ago", f"{entry.file_bytes:,}")
        for entry in entries
    ]
    if rows:
        show_table(("kind", "stage", "written", "bytes"), rows, text_columns=3)
