"""The command `compress`: from weights and photos to a file, without a pipeline to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from compress.builtin_models import EMBEDDED, SAMPLES
from compress.cli import console, options
from compress.cli.run_command import run
from compress.errors import ConfigError, DataError


@click.command("compress")
@click.argument("weights", type=options.PathOrName(EMBEDDED))
@click.option(
    "--data", required=True, type=options.PathOrName(SAMPLES), help="Photos: a folder, a CSV file, or 'samples'."
)
@click.option("--validation", type=options.EXISTING_PATH, help="Photos to measure with. [default: a fifth of --data]")
@click.option("--bytes", "max_bytes", type=options.FileBytes(), metavar="BYTES", help="Maximum size of the file.")
@options.max_drop
@click.option("-o", "--output", type=options.FOLDER, help="Folder for the results. [default: out/WEIGHTS]")
@options.labels
@options.label_column
@options.limit
@options.architecture
@options.factory
@options.overrides
@click.option("--force", is_flag=True, help="Overwrite another pipeline in the folder without a question.")
@options.as_json
@options.device
@click.pass_context
def compress_weights(
    context: click.Context, /, weights: str, data: str, validation: Path | None, max_bytes: int | None,
    max_drop: float | None, output: Path | None, architecture: str | None, factory: str | None,
    overrides: tuple[str, ...], force: bool, as_json: bool, device: str | None, **photos: Any,
) -> None:  # fmt: skip
    """Compress a network without writing a pipeline.

    WEIGHTS is a checkpoint, or 'embedded' for the installed SqueezeNet. Give either --bytes or --max-drop, which needs
    labeled photos. The recipe is chosen by the size. It is written beside the results as a YAML file, which `run`
    repeats and you can edit.

    Example: squeeze-compress compress resnet.pth --factory birds:resnet18 --data photos --bytes 2MB
    """
    if (max_bytes is None) == (max_drop is None):
        raise click.UsageError("give either --bytes or --max-drop")
    from compress.configuration import recipes  # noqa: PLC0415
    from compress.runtime.atomic_files import write_atomically  # noqa: PLC0415

    name = Path(weights).name.lstrip(".").partition(".")[0]  # of a hidden file too
    folder = output or Path("out") / name
    file = folder / f"{name}.yaml"
    model = recipes.model_options(weights, architecture, factory)
    goal = {"bytes": max_bytes} if max_drop is None else {"max_top1_drop": max_drop}
    pipeline = recipes.pipeline_for(file, model, recipes.data_options(data, validation, **photos), goal, overrides)
    text, is_new = pipeline.configuration, not file.exists()
    if is_new or file.read_bytes() != text.encode():
        options.confirm_overwrite(file, force=force)
        write_atomically(file, text.encode())
    console.note(f"{file}: {pipeline.description}")
    try:
        context.invoke(run, pipeline=str(file), out=folder, device=device, as_json=as_json)
    except (ConfigError, DataError):
        if is_new:  # else it would be in the way of the corrected command
            file.unlink(missing_ok=True)
        raise
