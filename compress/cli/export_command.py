"""The command `export`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

from compress.cli import console, options

_TARGETS = {"hub": ("compress.export.hub", "write_hub_folder")}
"""Module and function that writes a model file to a folder."""


@click.command()
@click.argument("model", type=options.ModelFile())
@click.option("--to", "target", required=True, type=click.Choice(list(_TARGETS)), help="What to write.")
@click.option("-o", "--output", required=True, type=options.FOLDER, help="Folder for the files.")
@click.option("--force", is_flag=True, help="Write into a folder that is not empty without a question.")
def export(model: Path, target: str, output: Path, force: bool) -> None:
    """Write a model with all that it needs to run elsewhere.

    hub: a folder for the Hugging Face Hub, with a model card, whose name is the name of the folder.

    Example: squeeze-compress export squeezenet --to hub -o squeezenet-500k
    """
    if output.is_dir() and any(output.iterdir()):
        options.confirm_overwrite(output, force=force)
    module, function = _TARGETS[target]
    getattr(import_module(module), function)(model, output)
    for path in sorted(path for path in output.rglob("*") if path.is_file()):
        console.say(f"{path}: {path.stat().st_size:,} bytes")
