"""The command `export`: a folder with a model, ready for another program or machine."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import click

from compress.cli import console, options

_TARGETS = {
    "c": ("compress.export.c_project", "write_c_project"),
    "hub": ("compress.export.hub", "write_hub_folder"),
    "web": ("compress.export.web", "write_web_page"),
}
"""Module and function that write a target: from the path of a `.sqz` file and a folder to the paths of its files."""


@click.command()
@click.argument("model", type=options.ModelFile())
@click.option("--to", "target", required=True, type=click.Choice(list(_TARGETS)), help="What to write.")
@click.option("-o", "--output", required=True, type=options.FOLDER, help="Folder for the files.")
@click.option("--force", is_flag=True, help="Write into a folder that is not empty without a question.")
@options.as_json
def export(model: Path, target: str, output: Path, force: bool, as_json: bool) -> None:
    """Write a model with all that it needs to run elsewhere.

    c: a project of MODEL, the runtime and a program, for make, CMake and any C compiler.

    hub: a folder for the Hugging Face Hub, with a model card, whose name is the name of the folder.

    web: a page that classifies photos in the browser; any static web server shows it.

    Example: squeeze-compress export squeezenet --to web -o page
    """
    module, function = _TARGETS[target]
    write: Callable[[Path, Path], list[Path]] = getattr(import_module(module), function)
    options.confirm_overwrite(output, force=force)
    console.show_written(write(model, output), as_json=as_json)
