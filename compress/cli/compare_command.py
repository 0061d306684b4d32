"""The command `compare`, and its result as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from compress.builtin_models import EMBEDDED, SAMPLES
from compress.cli import console, options

if TYPE_CHECKING:
    from compress.evaluation.comparison_record import ModelComparison, PairedAccuracy, PhotoPredictions
    from compress.evaluation.results import Prediction


@click.command()
@click.argument("a", type=options.ModelFile(also=EMBEDDED))
@click.argument("b", type=options.ModelFile(also=EMBEDDED))
@click.option("--data", required=True, type=options.PathOrName(SAMPLES), help="Photos: a folder, a CSV, or 'samples'.")
@options.labels
@options.label_column
@options.architecture
@options.limit
@click.option("--cache", type=options.FOLDER, help="Folder for decoded photos; may be the cache of a run.")
@click.option("--show", "max_shown", type=options.Integer(0), default=10, show_default=True, help="Photos to list.")
@options.as_json
@click.option("--max-top1-drop", type=options.FiniteFloat(0, 100), help="Maximum drop of top-1, percentage points.")
@click.option("--max-top5-drop", type=options.FiniteFloat(0, 100), help="Maximum drop of top-5, percentage points.")
@click.option("--min-agreement", type=options.FiniteFloat(0, 1), help="Minimum fraction with A's top-1 class.")
@click.option("--max-divergence", type=options.FiniteFloat(0), help="Maximum mean KL divergence of B from A, nats.")
@click.option(
    "--max-relative-mse", type=options.FiniteFloat(0), help="Maximum mean squared error of values over their variance."
)
@options.factory
@options.device
def compare(
    a: str, b: str, data: str, max_shown: int, as_json: bool,
    max_top1_drop: float | None, max_top5_drop: float | None, min_agreement: float | None,
    max_divergence: float | None, max_relative_mse: float | None, **more: Any,
) -> None:  # fmt: skip
    """Compare two models on the same photos.

    A is the reference, B the model to judge: .sqz, .safetensors or .pth files, names of built-in models, or 'embedded'
    for the installed float weights. The photos need no labels.

    Exit code 3: B misses a limit, such as --min-agreement.

    Example: squeeze-compress compare embedded model.sqz --data samples
    """
    from compress.evaluation.compare import compare_models  # noqa: PLC0415
    from compress.evaluation.goals import Goal  # noqa: PLC0415
    from compress.report.goal_shortfall import check_goals  # noqa: PLC0415

    goal = Goal(None, max_top1_drop, max_top5_drop, min_agreement, max_divergence, max_relative_mse)
    comparison = compare_models(str(a), str(b), data, goal=goal, progress=console.progress, **more)
    if as_json:
        console.say_json(asdict(comparison))
    else:
        _show_comparison(comparison, max_shown)
    check_goals(comparison.goals)


def _show_comparison(comparison: ModelComparison, max_shown: int) -> None:
    """Print bytes, accuracy and fidelity of two models, and the first photos with different top-1 classes."""
    from compress.report.goal_shortfall import goal_line  # noqa: PLC0415  imports jinja2 and scipy: slow

    a, b = comparison.a, comparison.b
    for letter, model in (("A", a), ("B", b)):
        console.say(f"{letter}  {model.name}: {model.file_bytes:,} bytes, {console.shortened(model.architecture)}")
    hashes = (f"are the same, sha256 {a.weights_sha256}" if comparison.same_weights
              else f"differ, sha256 {a.weights_sha256[:12]}... and {b.weights_sha256[:12]}...")  # fmt: skip
    console.say(f"B has {b.file_bytes / a.file_bytes:.1%} of A's bytes; the weights {hashes}")
    if not comparison.same_preprocessing:
        console.say("A and B have different preprocessing: each uses its own")
    if renamed := comparison.differing_class_names:
        console.say(f"{len(renamed):,} classes have different names in A and B, the first is class {renamed[0]}: "
            "check that the classes are the same")  # fmt: skip
    console.say("")
    console.say(f"photos: {comparison.data}")
    _show_metrics(comparison)
    if not comparison.compared:
        _show_differing(comparison.differing, max_shown, labeled=comparison.top1 is not None)
    for photo in comparison.skipped:
        console.say(f"skipped {photo}")
    for goal in comparison.goals:
        console.say(goal_line(goal))


def _show_metrics(comparison: ModelComparison) -> None:
    accuracy_a, accuracy_b = comparison.a.accuracy, comparison.b.accuracy
    if accuracy_a and accuracy_b and comparison.top1 and comparison.top5:
        for name, a, b, paired in (
            ("top-1", accuracy_a.top1, accuracy_b.top1, comparison.top1),
            ("top-5", accuracy_a.top5, accuracy_b.top5, comparison.top5),
        ):
            console.say(f"{name}: A {console.in_percent(a)}, B {console.in_percent(b)}; {_paired(paired)}")
    elif comparison.compared:
        console.say(f"Compared: {comparison.compared}.")
    else:
        console.say("These photos have no labels: the comparison has no accuracy, only fidelity.")
    if agreement := comparison.agreement:
        console.say(
            f"agreement: {console.in_percent(agreement)} of the {'positions' if comparison.compared else 'photos'}"
        )
    if nats := comparison.divergence_nats:
        console.say(f"KL divergence of B from A: {nats.value:.4f} nats ({nats.low:.4f} to {nats.high:.4f})")
    if mse := comparison.relative_mse:
        console.say(
            f"mean squared error of B over the variance of A: {mse.value:.4f} ({mse.low:.4f} to {mse.high:.4f})"
        )


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
    console.say(f"different top-1 classes: {len(photos):,} of the photos{shown}")
    if photos and max_shown:
        columns = ("photo", *(("label",) if labeled else ()), "A", "B", "KL, nats")
        rows = [
            (photo.photo, *((photo.label_name or "",) if labeled else ()), words(photo.a), words(photo.b),
             f"{photo.divergence_nats:.4f}")
            for photo in photos[:max_shown]
        ]  # fmt: skip
        console.show_table(columns, rows, text_columns=len(columns) - 1)
