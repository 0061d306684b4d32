"""The commands on models."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compress.builtin_models import EMBEDDED, SAMPLES, builtin_models
from compress.cli import console, options
from compress.runtime.file_names import escape_undecodable

if TYPE_CHECKING:
    from compress.export import WeightFormat
    from compress.model import Model

_model_argument = click.argument("model", type=options.ModelFile())
_named_model_argument = click.argument("model", type=options.ModelFile(also=EMBEDDED))


@click.command()
@options.as_json
def models(as_json: bool) -> None:
    """List the built-in models.

    Every command takes their names in place of a file. Accuracy is measured on labeled photos of ImageNet's classes.

    Example: squeeze-compress models --json
    """
    builtin = builtin_models().values()
    if as_json:
        console.say_json([asdict(model) for model in builtin])
    else:
        console.show_models(builtin)


@click.command()
@_model_argument
@options.as_json
@options.max_weights
def inspect(model: Path, as_json: bool, max_weights: int | None) -> None:
    """List the tensors of a .sqz file and their bytes.

    Shows for each tensor of MODEL the shape, the nonzero weights, the codec and the bytes of each component.

    Example: squeeze-compress inspect model.sqz
    """
    from compress.container.inspection import inspect_file  # noqa: PLC0415

    inspection = inspect_file(model, max_weights)
    if as_json:
        console.say_json(inspection.to_json())
    else:
        console.show_inspection(inspection)


@click.command()
@_model_argument
@options.as_json
@options.max_weights
def verify(model: Path, as_json: bool, max_weights: int | None) -> None:
    """Check a .sqz file and print the hash of its weights.

    Decodes all of MODEL and checks every checksum.

    Example: squeeze-compress verify model.sqz
    """
    from compress import container  # noqa: PLC0415

    decoded = container.read(model, max_weights)
    file_bytes, sha256 = model.stat().st_size, container.weights_sha256(decoded)
    if as_json:
        record = {
            "file": str(model),
            "file_bytes": file_bytes,
            "tensors": len(decoded.tensors),
            "weights_sha256": sha256,
        }
        console.say_json(record)
    else:
        console.say(f"{model}: valid; {len(decoded.tensors)} tensors, {file_bytes:,} bytes")
        console.say(f"sha256 of the decoded weights: {sha256}")


@click.command()
@_model_argument
@click.option("-o", "--output", required=True, type=options.NEW_FILE)
@click.option(
    "--weights",
    type=click.Choice(["float32", "codebook"]),
    default="float32",
    show_default=True,
    help="In .onnx: float32 values, or small integers that the runtime converts to the same float32 values.",
)
@click.option("--force", is_flag=True, help="Overwrite OUTPUT without a question.")
@options.as_json
@options.factory
@options.max_weights
def decompress(
    model: Path, output: Path, weights: WeightFormat, force: bool, as_json: bool, factory: str | None,
    max_weights: int | None,
) -> None:  # fmt: skip
    """Convert a .sqz file to .safetensors, .pth or .onnx.

    .safetensors and .pth hold the float32 weights of MODEL under torchvision's tensor names; .onnx holds the network.

    Example: squeeze-compress decompress model.sqz -o model.onnx
    """
    from compress import container  # noqa: PLC0415
    from compress.export import write_weights  # noqa: PLC0415
    from compress.model import trust_factory  # noqa: PLC0415

    decoded = trust_factory(container.read(model, max_weights), factory)
    options.confirm_overwrite(output, force=force)
    write_weights(decoded, output, weights)
    console.show_written([output], as_json=as_json)


@click.command()
@click.argument("network")
@click.option("--classes", type=click.IntRange(1), default=1000, show_default=True, help="Number of classes.")
@click.option("--input", "side", type=click.IntRange(32), default=227, show_default=True, help="Input side, pixels.")
@options.as_json
@options.factory
def describe(network: str, classes: int, side: int, as_json: bool, factory: str | None) -> None:
    """List the layers of a network.

    Shows output shapes, parameters and multiply-accumulates of NETWORK, the name of a network or a built-in model, or a
    model file.

    Example: squeeze-compress describe squeezenet1_1
    """
    from compress.networks.description import describe_model, describe_network  # noqa: PLC0415

    if Path(network).is_file() or network in builtin_models():
        model = _load(network, None, factory)
        network, layers = model.architecture, describe_model(model)
    else:
        layers = describe_network(network, classes, side, side)
    if as_json:
        console.say_json({"network": network, "layers": [asdict(layer) for layer in layers]})
    else:
        console.show_layers(network, layers)


@click.command()
@_named_model_argument
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

    unreadable: list[str] = []

    def report(error: Exception) -> None:
        unreadable.append(str(error))
        console.error(str(error))

    found = predict_photos(_load(model, architecture, factory), photos, device, on_error=report)
    if as_json:
        records = [{"photo": escape_undecodable(str(photo)), "classes": [*map(asdict, each)]} for photo, each in found]
        console.say_json({"photos": records, "unreadable": [*map(escape_undecodable, unreadable)]})
    else:
        for photo, classes in found:
            console.show_prediction(photo, classes)
    if unreadable:
        sys.exit(1)


@click.command()
@_named_model_argument
@click.option(
    "--data",
    required=True,
    type=options.EXISTING_PATH,
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

    loaded = _load(model, architecture, factory)
    evaluation = evaluate_model(loaded, data, limit, device, console.progress, **more)
    if as_json:
        console.say_json(evaluation._asdict() | {"accuracy": asdict(evaluation.accuracy)})
    else:
        console.show_evaluation(evaluation)


@click.command()
@click.argument("a", type=options.ModelFile(also=EMBEDDED))
@click.argument("b", type=options.ModelFile(also=EMBEDDED))
@click.option(
    "--data",
    required=True,
    type=options.PathOrName(SAMPLES),
    help="Photos: a folder, a CSV, or 'samples'.",
)
@options.labels
@options.label_column
@options.architecture
@options.limit
@click.option("--cache", type=options.FOLDER, help="Folder for decoded photos; may be the cache of a run.")
@click.option("--show", "max_shown", type=click.IntRange(0), default=10, show_default=True, help="Photos to list.")
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

    Exit code 3: B exceeds a limit such as --max-top1-drop, or is below --min-agreement.

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
        console.show_comparison(comparison, max_shown)
    check_goals(comparison.goals)


COMMANDS = (models, inspect, verify, decompress, describe, predict, evaluate, compare)


def _load(name: str, architecture: str | None, factory: str | None) -> Model:
    from compress.weights.model_files import load_named_model  # noqa: PLC0415

    return load_named_model(name, architecture, factory)
