"""What the terminal shows: tables, progress bars, errors. Plain lines where there is no terminal."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from compress.container.inspection import Inspection
    from compress.evaluation.comparison_record import Answer, Comparison, PairedHits, PhotoAnswers, Side
    from compress.evaluation.results import Accuracy
    from compress.networks.description import LayerDescription
    from compress.pipeline import Result
    from compress.pipeline.cache_listing import Entry
    from compress.report.record import StageRecord

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)
_quiet = False
_verbose = False
_PLAIN_WIDTH = 160
_SECONDS_WORTH_A_LINE = 2.0


def set_verbosity(*, quiet: bool, verbose: bool) -> None:
    """Decide how much is shown; where output is no terminal, tables are not folded to 80 columns."""
    global _quiet, _verbose, _out  # noqa: PLW0603  one terminal, one setting
    _quiet, _verbose = quiet, verbose
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be text, nor a terminal know ä
    _out = Console(highlight=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)


def say(text: str) -> None:
    """Print a result."""
    _out.print(text, markup=False, soft_wrap=True)


def note(text: str) -> None:
    """Print how far something is, unless --quiet."""
    if not _quiet:
        _err.print(text, markup=False, soft_wrap=True)


def error(text: str) -> None:
    """Print an error; with --verbose, and its traceback."""
    _err.print(f"[bold red]error:[/] {escape(text)}", soft_wrap=True)
    if _verbose and sys.exc_info()[0] is not None:
        _err.print_exception()


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar; where there is no terminal, a line once it is done if it took over two seconds.

    Args:
        what: is going on.
        total: how many there are; 0 where that is not known.
    """
    if _quiet:
        yield lambda count: None
        return
    if not _err.is_terminal:
        started = time.perf_counter()
        yield lambda count: None
        seconds = time.perf_counter() - started
        if seconds > _SECONDS_WORTH_A_LINE or _verbose:
            _err.print(f"{what}: {seconds:.0f} s", markup=False)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=_err, transient=True) as bar:
        task = bar.add_task(what, total=total or None)
        yield lambda count: bar.advance(task, count)


def show_result(result: Result) -> None:
    """Print what a run reached: the table of stages, the goal and what a miss is owed to, the paths."""
    from compress.report.formatting import plain  # noqa: PLC0415
    from compress.report.goals import in_words, owed_to  # noqa: PLC0415  charts are drawn beside it: slow to import

    record = result.record
    labelled = record.stages[0].accuracy is not None
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("stage")
    for column in ("bytes", "zeros", "bits/weight", *(("top-1", "top-5") if labelled else ()), "agreement", "KL, nats"):
        table.add_column(column, justify="right")
    table.add_column("seconds", justify="right")
    for stage in record.stages:
        table.add_row(*_stage_row(stage, labelled))
    _out.print(table)
    file = record.file.file_bytes
    say("")
    say(f"{file:,} bytes: {record.float_bytes / file:.1f} times smaller than float32, {240e6 / file:.0f} than AlexNet")
    if not labelled:
        say("These photos have no labels: closeness to the float network was measured, not accuracy.")
    for goal in record.goals:
        say(in_words(goal))
        owed = owed_to(record, goal)
        if owed:
            say(f"  {plain(owed)}")
    say(f"model:  {result.model_path}")
    say(f"report: {result.report_path}")


def _stage_row(stage: StageRecord, labelled: bool) -> list[str]:
    row = [stage.name, f"{stage.file_bytes:,}", f"{stage.sparsity:.1%}", f"{stage.bits_per_weight:.2f}"]
    if labelled:
        row += [_interval(stage.accuracy, "top1"), _interval(stage.accuracy, "top5")]
    row += [f"{stage.fidelity.agreement.value:.1%}", f"{stage.fidelity.divergence_nats.value:.4f}"]
    return [*row, f"{stage.seconds:.1f}"]


def _interval(accuracy: Accuracy | None, which: str) -> str:
    if accuracy is None:
        return ""
    interval = getattr(accuracy, which)
    return f"{interval.value:.1%} ({interval.low * 100:.1f}-{interval.high * 100:.1f})"


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: names in the first column, figures in the others."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in header:
        table.add_column(column, justify="right" if table.columns else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    _out.print(table)


def show_layers(network: str, layers: Sequence[LayerDescription]) -> None:
    """Print a network's layers."""
    table = Table(title=network, box=None, header_style="bold", pad_edge=False, title_justify="left")
    table.add_column("layer")
    table.add_column("kind")
    for column in ("output", "parameters", "multiply-accumulates"):
        table.add_column(column, justify="right")
    for layer in layers:
        shape = "x".join(str(side) for side in layer.output)
        table.add_row(
            layer.name, layer.kind, shape, f"{layer.parameters:,}" if layer.parameters else "",
            f"{layer.multiply_accumulates:,}" if layer.multiply_accumulates else "",
        )  # fmt: skip
    table.add_section()
    parameters = sum(layer.parameters for layer in layers)
    table.add_row("total", "", "", f"{parameters:,}", f"{sum(layer.multiply_accumulates for layer in layers):,}")
    _out.print(table)


def show_inspection(found: Inspection) -> None:
    """Print what is in a file."""
    model = found.model
    say(f"{found.file}: {found.file_bytes:,} bytes, {model.architecture}, {model.classes:,} classes")
    pre = model.preprocessing
    say(f"input: {pre.height}x{pre.width} {pre.channels}, {pre.resize}; class names: {'yes' if model.labels else 'no'}")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("tensor", "shape", "form", "codec"):
        table.add_column(column)
    for column in ("kept", "values", "bits/weight", "indices", "positions", "codebook", "scales"):
        table.add_column(column, justify="right")
    for part in found.tensors:
        table.add_row(
            part.name, "x".join(map(str, part.shape)), part.form, part.codec,
            f"{part.kept / max(part.weights, 1):.1%}", f"{part.codebook_entries:,}" if part.codebook_entries else "",
            f"{part.bits_per_weight:.2f}", f"{part.index_bytes:,}", f"{part.position_bytes:,}",
            f"{part.codebook_bytes:,}", f"{part.scale_bytes:,}",
        )  # fmt: skip
    _out.print(table)
    say(f"header and checksums {found.header_bytes:,} bytes, class names {found.label_bytes:,} bytes")
    say(f"sha256 of the decoded weights: {found.weights_sha256}")


def show_accuracy(accuracy: Accuracy, skipped: Sequence[str]) -> None:
    """Print top-1 and top-5 with their 95% intervals."""
    say(f"photos {accuracy.photos:,}")
    for name, interval in (("top-1", accuracy.top1), ("top-5", accuracy.top5)):
        say(f"{name} {interval.value:.1%} (95% interval {interval.low:.1%} to {interval.high:.1%})")
    for photo in skipped:
        say(f"skipped {photo}")


def show_guesses(photo: Path, guesses: Sequence[tuple[str, float]]) -> None:
    """Print what a network sees on a photo."""
    say(str(photo))
    for name, probability in guesses:
        say(f"  {probability:6.1%}  {name}")


def show_comparison(compared: Comparison, shown: int) -> None:
    """Print what tells two models apart: bytes, accuracy, closeness, and photos of which they say different classes.

    Args:
        compared: the two models.
        shown: most photos to list.
    """
    from compress.report.goals import in_words  # noqa: PLC0415  as in show_result

    a, b = compared.a, compared.b
    for letter, side in (("A", a), ("B", b)):
        say(f"{letter}  {side.name}: {side.file_bytes:,} bytes, {side.architecture}")
    say(f"B has {b.file_bytes / a.file_bytes:.1%} of A's bytes; {_same_weights(a, b, compared.same_weights)}")
    if not compared.same_preprocessing:
        say("A and B prepare photos differently: each sees them in its own way")
    if compared.class_names_apart:
        say(f"{len(compared.class_names_apart):,} classes have other names in B than in A, the first is class "
            f"{compared.class_names_apart[0]}: are they the same classes?")  # fmt: skip
    say("")
    say(f"photos: {compared.data}")
    for name, paired, which in (("top-1", compared.top1, "top1"), ("top-5", compared.top5, "top5")):
        if paired is not None:
            say(f"{name}: A {_interval(a.accuracy, which)}, B {_interval(b.accuracy, which)}; {_paired(paired)}")
    if compared.top1 is None:
        say("These photos have no labels: which of the two is right cannot be told, only how close they are.")
    agreement, divergence = compared.agreement, compared.divergence_nats
    say(f"agreement: {agreement.value:.1%} ({agreement.low * 100:.1f}-{agreement.high * 100:.1f}) of the photos")
    say(f"KL divergence of B from A: {divergence.value:.4f} nats ({divergence.low:.4f}-{divergence.high:.4f})")
    _show_differing(compared.differing, shown, labelled=compared.top1 is not None)
    for photo in compared.skipped:
        say(f"skipped {photo}")
    for goal in compared.goals:
        say(in_words(goal))


def _same_weights(a: Side, b: Side, same: bool) -> str:
    if same:
        return f"the weights are the same, sha256 {a.weights_sha256}"
    return f"the weights differ, sha256 {a.weights_sha256[:12]}... and {b.weights_sha256[:12]}..."


def _paired(paired: PairedHits) -> str:
    low, value, high = (
        f"{share * 100:+.1f}" for share in (paired.difference.low, paired.difference.value, paired.difference.high)
    )
    return (
        f"B less A {value} points ({low} to {high}); right only in A {paired.right_only_a:,}, "
        f"only in B {paired.right_only_b:,}, McNemar p = {paired.chance:.2g}"
    )


def _show_differing(photos: Sequence[PhotoAnswers], shown: int, *, labelled: bool) -> None:
    def said(answer: Answer) -> str:
        return f"{escape(answer.name)} {answer.probability:.1%}"

    most = f"; the {shown:,} most divergent:" if 0 < shown < len(photos) else ""
    say(f"different first answers: {len(photos):,} of the photos{most}")
    if not photos or not shown:
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("photo", *(("label",) if labelled else ()), "A says", "B says"):
        table.add_column(column, overflow="fold")
    table.add_column("KL, nats", justify="right")
    for photo in photos[:shown]:
        label = (escape(photo.label_name or ""),) if labelled else ()
        table.add_row(escape(photo.photo), *label, said(photo.a), said(photo.b), f"{photo.divergence_nats:.4f}")
    _out.print(table)


def show_pipelines(described: Mapping[str, str]) -> None:
    """Print the ready pipelines."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, text in described.items():
        table.add_row(f"[bold]{escape(name)}[/]", escape(text))
    _out.print(table)


def show_cache(folder: Path, entries: Sequence[Entry]) -> None:
    """Print what is in a cache."""
    say(f"{folder}: {sum(entry.file_bytes for entry in entries):,} bytes")
    table = Table(box=None, pad_edge=False)
    table.add_column("bytes", justify="right")
    for column in ("kind", "stage", "written"):
        table.add_column(column)
    for entry in entries:
        age = f"{entry.age_seconds / 86_400:.1f} days ago"
        table.add_row(f"{entry.file_bytes:,}", entry.kind, escape(entry.about), age)
    if entries:
        _out.print(table)
