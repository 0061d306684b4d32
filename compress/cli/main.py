"""The command line: parses, calls, prints."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import compress
from compress.cli import console
from compress.cli.cache import cache
from compress.cli.param_types import Number, PathOr, device_option
from compress.cli.search import search, sensitivity
from compress.errors import ConfigError, SqueezeError

if TYPE_CHECKING:
    from compress.export import WeightsForm
    from compress.model import Model

# Heavy imports (torch, scikit-learn, matplotlib) are made in the commands that need them: `--help` and `inspect`
# answer at once.

_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


class _Commands(click.Group):
    """Turns this package's errors into one message and an exit code; the only place that does."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SqueezeError as error:
            if not (isinstance(error, ConfigError) and os.environ.get("LOCAL_RANK", "0") != "0"):
                console.error(str(error))  # what is wrong with the configuration one process of a machine tells for all
            sys.exit(error.exit_code)
        except OSError as error:
            named = f"{error.filename}: " if error.filename else ""
            console.error(f"{named}{error.strerror or error}")
            sys.exit(1)
        except KeyboardInterrupt:
            console.error("stopped; files of an earlier run are as they were")
            sys.exit(130)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(compress.__version__, prog_name="squeeze-compress")
@click.option("-q", "--quiet", is_flag=True, help="Only results and errors.")
@click.option("-v", "--verbose", is_flag=True, help="More about what is done, and the traceback of an error.")
def main(quiet: bool, verbose: bool) -> None:
    """Make a trained SqueezeNet tiny without losing accuracy, and prove the accuracy of the file."""
    console.set_verbosity(quiet=quiet, verbose=verbose)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, stream=sys.stderr)
    for chatty in ("matplotlib", "numba", "PIL"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


_max_weights_option = click.option(
    "--max-weights", type=click.IntRange(1), help="Most weights to decode. [1,024 a byte, 2^24 to 2^28]"
)


_factory_option = click.option(
    "--factory", metavar="MODULE:FUNCTION", help="Makes the network, where the file names it: its code will run."
)


@main.command()
@click.argument("pipeline", default="pipeline.yaml")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder of the results. [out/NAME]")
@click.option(
    "--cache", type=click.Path(file_okay=False, path_type=Path), help="Folder of what runs share. [OUT/cache]"
)
@click.option("--fresh", is_flag=True, help="Do everything anew; the cache is neither read nor written.")
@click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Replace a value of the pipeline.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Replace the pipeline's seed.")
@device_option
def run(
    pipeline: str,
    out: Path | None,
    cache: Path | None,
    fresh: bool,
    overrides: tuple[str, ...],
    seed: int | None,
    device: str | None,
) -> None:
    """Run PIPELINE, a YAML file or the name of a ready one; ./pipeline.yaml if none is given.

    What its stages leave is kept in the cache: changed and run again, it goes on from the first stage that is another.

    Exit codes: 0 done, 1 failed, 2 bad configuration, 3 the goal was missed.
    """
    from compress import pipeline as pipelines  # noqa: PLC0415
    from compress.builtin_pipelines import find_pipeline  # noqa: PLC0415
    from compress.pipeline.run_record import as_command  # noqa: PLC0415
    from compress.report.goals import check_met  # noqa: PLC0415
    from compress.runtime import distributed as processes  # noqa: PLC0415
    from compress.runtime.devices import find_device  # noqa: PLC0415

    seeded = overrides if seed is None else (*overrides, f"seed={seed}")
    spec = pipelines.read_pipeline(find_pipeline(pipeline), seeded)
    folder = out or Path("out") / spec.name
    command = as_command(pipeline, seed, overrides)
    place = find_device(processes.own_device(device))
    with processes.joined(place) as ranks:
        if not ranks.first:
            console.set_verbosity(quiet=True, verbose=False)
        result = pipelines.run(
            spec, folder, cache=cache, fresh=fresh, command=command, device=str(place),
            progress=console.progress, ranks=ranks,
        )  # fmt: skip
    if not ranks.first:
        return
    console.show_result(result)
    check_met(result.record.goals)


@main.command()
@click.argument("network")
@click.option("--classes", type=click.IntRange(1), default=1000, show_default=True)
@click.option("--input", "side", type=click.IntRange(32), default=227, show_default=True, help="Rows and columns.")
@_factory_option
def describe(network: str, classes: int, side: int, factory: str | None) -> None:
    """Print the layers, output shapes, parameters and multiply-accumulates of NETWORK, a name or a model file."""
    from compress.networks.description import describe_model, describe_network  # noqa: PLC0415

    if Path(network).is_file():
        model = _load(Path(network), None, factory)
        console.show_layers(model.architecture, describe_model(model))
    else:
        console.show_layers(network, describe_network(network, classes, side, side))


@main.command()
@click.argument("model", type=_EXISTING)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@_max_weights_option
def inspect(model: Path, as_json: bool, max_weights: int | None) -> None:
    """Show what is in MODEL.sqz: per tensor shape, kept weights, bits, codec, and where the bytes go."""
    from compress.container.inspection import inspect_file  # noqa: PLC0415

    inspection = inspect_file(model, max_weights)
    if as_json:
        click.echo(json.dumps(inspection.to_json(), indent=2))
    else:
        console.show_inspection(inspection)


@main.command()
@click.argument("model", type=_EXISTING)
@click.option(
    "--data", required=True, type=click.Path(exists=True, path_type=Path), help="Labelled photos: folder/CSV."
)
@click.option("--architecture", help="Of a checkpoint; a .sqz file knows its own.")
@click.option("--limit", type=click.IntRange(1), help="At most so many photos.")
@_factory_option
@device_option
def evaluate(
    model: Path, data: Path, architecture: str | None, limit: int | None, factory: str | None, device: str | None
) -> None:
    """Measure top-1 and top-5 of MODEL (.sqz, .safetensors, .pth) on labelled photos."""
    from compress.evaluation.evaluate import evaluate_model  # noqa: PLC0415

    console.show_accuracy(*evaluate_model(_load(model, architecture, factory), data, limit, device, console.progress))


@main.command()
@click.argument("a", type=PathOr("embedded", dir_okay=False))
@click.argument("b", type=PathOr("embedded", dir_okay=False))
@click.option("--data", required=True, type=PathOr("samples", dir_okay=True), help="Photos: folder, CSV, or 'samples'.")
@click.option("--architecture", help="Of a checkpoint; a .sqz file knows its own.")
@click.option("--limit", type=click.IntRange(1), help="At most so many photos.")
@click.option(
    "--cache", type=click.Path(file_okay=False, path_type=Path), help="Folder for decoded photos, a run's too."
)
@click.option("--show", type=click.IntRange(0), default=10, show_default=True, help="Most photos to list.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all of it there.")
@click.option("--max-top1-drop", type=Number(0, 100), help="Points of top-1 that B may lose.")
@click.option("--max-top5-drop", type=Number(0, 100), help="Points of top-5 that B may lose.")
@click.option("--min-agreement", type=Number(0, 1), help="Least share of photos with A's first answer.")
@click.option("--max-divergence", type=Number(0), help="Most mean KL divergence of B from A, nats.")
@_factory_option
@device_option
def compare(
    a: str, b: str, data: str, show: int, json_file: Path | None,
    max_top1_drop: float | None, max_top5_drop: float | None, min_agreement: float | None,
    max_divergence: float | None, **options: Any,
) -> None:  # fmt: skip
    """Tell models A and B (.sqz, .safetensors, .pth, or 'embedded') apart on the same photos, labelled or not.

    Exit code 3 where B is further from A than --max-top1-drop, --max-top5-drop, --min-agreement or
    --max-divergence allow.
    """
    from compress.evaluation.compare import compare_models  # noqa: PLC0415
    from compress.evaluation.goals import Goal  # noqa: PLC0415
    from compress.report.goals import check_met  # noqa: PLC0415
    from compress.runtime.atomic_files import write_atomically  # noqa: PLC0415

    goal = Goal(None, max_top1_drop, max_top5_drop, min_agreement, max_divergence)
    compared = compare_models(a, b, data, goal=goal, progress=console.progress, **options)
    if json_file:
        write_atomically(json_file, compared.to_json().encode())
    console.show_comparison(compared, show)
    check_met(compared.goals)


@main.command()
@click.argument("model", type=_EXISTING)
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--weights",
    type=click.Choice(["float32", "codebook"]),
    default="float32",
    show_default=True,
    help="In .onnx: as float32, or as small integers that the runtime turns into the same float32.",
)
@_factory_option
@_max_weights_option
def decompress(model: Path, output: Path, weights: WeightsForm, factory: str | None, max_weights: int | None) -> None:
    """Write MODEL.sqz for other programs: .safetensors, .pth or .onnx.

    .safetensors and .pth hold float32 weights under torchvision's tensor names; .onnx holds the whole network.
    """
    from compress import container  # noqa: PLC0415
    from compress.export import write_weights  # noqa: PLC0415
    from compress.model import trusting  # noqa: PLC0415

    write_weights(trusting(container.read(model, max_weights), factory), output, weights)
    console.say(f"{output}: {output.stat().st_size:,} bytes")


@main.command()
@click.argument("model", type=_EXISTING)
@click.argument("photos", nargs=-1, required=True, type=_EXISTING)
@click.option("--architecture", help="Of a checkpoint; a .sqz file knows its own.")
@_factory_option
@device_option
def predict(
    model: Path, photos: tuple[Path, ...], architecture: str | None, factory: str | None, device: str | None
) -> None:
    """Name what MODEL.sqz sees on each PHOTO: five classes, the likeliest first."""
    from compress.evaluation.evaluate import predict_photos  # noqa: PLC0415

    for photo, guesses in predict_photos(_load(model, architecture, factory), photos, device):
        console.show_guesses(photo, guesses)


@main.command()
@click.argument("model", type=_EXISTING)
@_max_weights_option
def verify(model: Path, max_weights: int | None) -> None:
    """Check MODEL.sqz in full and print the hash of its decoded weights."""
    from compress import container  # noqa: PLC0415

    decoded = container.read(model, max_weights)
    console.say(f"{model}: sound; {len(decoded.tensors)} tensors, {model.stat().st_size:,} bytes")
    console.say(f"sha256 of the decoded weights: {container.weights_sha256(decoded)}")


@main.command()
def pipelines() -> None:
    """List the ready pipelines; `run` takes them by name."""
    from compress.builtin_pipelines import first_comment, ready_pipelines  # noqa: PLC0415

    console.show_pipelines({name: first_comment(file.read_text("utf-8")) for name, file in ready_pipelines().items()})


@main.command()
@click.argument("name", default="squeezenet")
@click.option("-o", "--output", default="pipeline.yaml", type=click.Path(dir_okay=False, path_type=Path))
def init(name: str, output: Path) -> None:
    """Write a commented pipeline to edit, a copy of the ready pipeline NAME."""
    from compress.builtin_pipelines import find_pipeline  # noqa: PLC0415
    from compress.runtime.atomic_files import write_atomically  # noqa: PLC0415

    source = find_pipeline(name)
    if output.exists():
        raise ConfigError("is there already; name another file with --output", file=output)
    write_atomically(output, source.read_bytes())
    console.say(f"wrote {output}; run it with: squeeze-compress run {output}")


main.add_command(cache)
main.add_command(search)
main.add_command(sensitivity)


def _load(path: Path, architecture: str | None, factory: str | None) -> Model:
    from compress.networks.model_files import load_model  # noqa: PLC0415

    return load_model(path, architecture, factory)


if __name__ == "__main__":
    main()
