"""The commands `predict` and `evaluate`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compress.builtin_models import EMBEDDED, SAMPLES
from compress.cli import console, options

if TYPE_CHECKING:
    from compress.evaluation.evaluate import Evaluation
    from compress.evaluation.results import Prediction


class _LabeledPhotos(options.UserPath):
    """An existing path; the name of the sample photos, which other commands take, gets a message of its own."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == SAMPLES and not Path(value).exists():
            remedy = "give labeled photos, or measure fidelity: squeeze-compress compare embedded MODEL --data samples"
            self.fail(f"the sample photos have no labels, which accuracy needs; {remedy}", param, ctx)
        return super().convert(value, param, ctx)


_model_argument = click.argument("model", type=options.ModelFile(also=EMBEDDED))


@click.command()
@_model_argument
@click.argument("photos", nargs=-1, required=True, type=options.EXISTING_PATH)
@options.as_json
@options.architecture
@options.factory
@options.device
def predict(
    model: str,
    photos: tuple[Path, ...],
    as_json: bool,
    architecture: str | None,
    factory: str | None,
    device: str | None,
) -> None:
    """Classify photos with a model.

    Prints for each of the PHOTOS, which may be folders, the five most probable classes, highest probability first.
    MODEL is a .sqz, .safetensors or .pth file, the name of a built-in model, or 'embedded' for the installed float
    weights.

    Exit code 1: a photo cannot be read; the others are classified.

    Example: squeeze-compress predict squeezenet cat.jpg
    """
    from compress.evaluation.evaluate import predict_photos  # noqa: PLC0415
    from compress.weights.model_files import load_named_model  # noqa: PLC0415

    unreadable: list[str] = []

    def report(error: Exception) -> None:
        unreadable.append(str(error))
        console.error(str(error))

    found = predict_photos(load_named_model(model, architecture, factory), photos, device, on_error=report)
    if as_json:
        records = [{"photo": str(photo), "classes": [*map(asdict, each)]} for photo, each in found]
        console.say_json({"photos": records, "unreadable": unreadable})
    else:
        for photo, classes in found:
            _show_prediction(photo, classes)
    if unreadable:
        sys.exit(1)


@click.command()
@_model_argument
@click.option(
    "--data",
    required=True,
    type=_LabeledPhotos(exists=True, path_type=Path),
    help="Labeled photos: a folder with one subfolder for each class, or a CSV file.",
)
@options.labels
@options.label_column
@options.as_json
@options.architecture
@options.limit
@options.factory
@options.device
def evaluate(
    model: str, data: Path, as_json: bool, architecture: str | None, limit: int | None, factory: str | None,
    device: str | None, **more: Any,
) -> None:  # fmt: skip
    """Measure top-1 and top-5 accuracy on labeled photos.

    MODEL is a .sqz, .safetensors or .pth file, the name of a built-in model, or 'embedded' for the installed float
    weights.

    Example: squeeze-compress evaluate model.sqz --data photos
    """
    from compress.evaluation.evaluate import evaluate_model  # noqa: PLC0415
    from compress.weights.model_files import load_named_model  # noqa: PLC0415

    loaded = load_named_model(model, architecture, factory)
    evaluation = evaluate_model(loaded, data, limit, device, console.progress, **more)
    if as_json:
        console.say_json(evaluation._asdict() | {"accuracy": asdict(evaluation.accuracy)})
    else:
        _show_evaluation(evaluation)


COMMANDS = (predict, evaluate)


def _show_prediction(photo: Path, classes: Sequence[Prediction]) -> None:
    console.say(str(photo))
    for each in classes:
        console.say(f"  {each.probability:6.1%}  {each.name}")


def _show_evaluation(evaluation: Evaluation) -> None:
    """Print top-1 and top-5 with their 95% intervals, and where the labels came from."""
    accuracy = evaluation.accuracy
    console.say(f"photos: {evaluation.data}")
    for name, interval in (("top-1", accuracy.top1), ("top-5", accuracy.top5)):
        console.say(f"{name} {interval.value:.1%} (95% interval {interval.low:.1%} to {interval.high:.1%})")
    for photo in evaluation.skipped:
        console.say(f"skipped {photo}")
