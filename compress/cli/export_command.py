"""The command `export`: a folder with a model, ready for another program or machine."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import click

from compress.cli import console, options

_TARGETS = {"c": ("compress.export.c_project", "write_c_project")}
"""Module and function that write a target: the path of a `.sqz` file and the folder are its arguments."""


@click.command()
@click.argument("model", type=options.ModelFile())
@click.option("--to", "target", required=True, type=click.Choice(list(_TARGETS)), help="c: a C project.")
@click.option("-o", "--output", required=True, type=options.FOLDER, help="Folder of the files.")
@click.option("--force", is_flag=True, help="Write into a folder that is not empty without a question.")
def export(model: Path, target: str, output: Path, force: bool) -> None:
    """Write a project that runs a .sqz file elsewhere.

    'c' is a C project of MODEL, the runtime and a program, for make, CMake and any C compiler.

    Example: squeeze-compress export squeezenet --to c -o project
    """
    module, function = _TARGETS[target]
    write: Callable[[Path, Path], None] = getattr(import_module(module), function)
    options.confirm_overwrite(output, force=force)
    write(model, output)
    for path in sorted(path for path in output.rglob("*") if path.is_file()):
        console.say(f"{path}: {path.stat().st_size:,} bytes")
