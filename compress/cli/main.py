"""The group of commands, its error handling, and the commands that list and copy pipelines."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import click

import compress
from compress.builtin_pipelines import SCHEMA_FILE, builtin_pipelines, find_pipeline, first_comment, with_schema
from compress.cli import console, model_commands, options, prediction_commands, setup_commands
from compress.cli.cache_commands import cache
from compress.cli.compare_command import compare
from compress.cli.compress_command import compress_weights
from compress.cli.export_command import export
from compress.cli.interruption import Interrupted, signals_interrupt, stopped_message
from compress.cli.report_command import report
from compress.cli.run_command import run
from compress.cli.search_commands import search, sensitivity
from compress.cli.system_errors import memory_message, system_error_message
from compress.errors import ConfigError, SqueezeError, torch_required

_SIGNAL_EXIT_CODE = 128
"""A process that a signal ends has the exit code 128 + signal in shells."""


class _ErrorHandlingGroup(options.Group):
    """Turns errors into one message and an exit code."""

    def main(self, *args: Any, **options: Any) -> Any:
        for stream in ("stdout", "stderr"):
            if getattr(sys, stream) is None:  # closed by the shell, as some daemons do
                setattr(sys, stream, Path(os.devnull).open("w"))  # noqa: SIM115  open until the end
        try:
            return super().main(*args, **options)
        except OSError as error:
            console.error(system_error_message(error))
            sys.exit(1)
        except (MemoryError, RuntimeError) as error:
            if (message := memory_message(error)) is None:
                raise
            console.error(message)
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with signals_interrupt(), torch_required():
                Path.cwd()  # fails if it was deleted; some libraries end the process where it is missing
                return super().invoke(ctx)
        except click.NoSuchOption as error:
            if any(error.option_name in parameter.opts for parameter in self.params):
                cure = f"it comes before the command: squeeze-compress {error.option_name} {ctx.invoked_subcommand}"
                raise click.UsageError(f"No such option {error.option_name!r} here; {cure}", error.ctx) from error
            raise
        except SqueezeError as error:
            # Every process of a machine finds the same configuration error: one reports it.
            if options.is_first_process() or not isinstance(error, ConfigError):
                console.error(memory_message(error) or str(error))
            sys.exit(error.exit_code)
        except Interrupted as interrupt:
            console.error(stopped_message(ctx.invoked_subcommand, sys.argv[1:]))
            sys.exit(_SIGNAL_EXIT_CODE + interrupt.number)


@click.group(cls=_ErrorHandlingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(compress.__version__, prog_name="squeeze-compress")
@click.option("-q", "--quiet", is_flag=True, help="Print results and errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Print more progress, and the traceback of an error.")
def main(quiet: bool, verbose: bool) -> None:
    """Compress a trained SqueezeNet or your own network, and measure how much accuracy the file keeps."""
    console.set_verbosity(quiet=quiet, verbose=verbose)
    level = logging.DEBUG if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s", handlers=[console.LogLines()], force=True)
    logging.getLogger("compress").setLevel(level if verbose or quiet else logging.INFO)
    for library in ("numba", "PIL"):
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns where there is no home folder, as in containers


@main.command()
@options.as_json
def pipelines(as_json: bool) -> None:
    """List the built-in pipelines.

    With --json, descriptions are complete: they also say which photos a pipeline needs, and how long it takes.

    Example: squeeze-compress pipelines
    """
    rows = [(name, first_comment(file.read_text("utf-8"))) for name, file in builtin_pipelines().items()]
    if as_json:
        console.say_json([{"name": name, "description": description} for name, description in rows])
    else:
        sentences = [(name, f"{description.partition('. ')[0].removesuffix('.')}.") for name, description in rows]
        console.show_table(("pipeline", "description"), sentences, text_columns=2)
        console.say(
            "\nPhotos and time: squeeze-compress run NAME --dry-run. A copy to edit: squeeze-compress init NAME"
        )


@main.command()
@click.argument("name", default="squeezenet", type=options.PipelineFile())
@click.option("-o", "--output", default="pipeline.yaml", show_default=True, type=options.NEW_FILE)
def init(name: str, output: Path) -> None:
    """Write a commented pipeline to edit.

    It is a copy of the built-in pipeline NAME. An editor with a YAML language server completes and checks it by
    pipeline.schema.json, which is written beside it if it is missing.

    Example: squeeze-compress init deep-compression -o mine.yaml
    """
    from compress.configuration.config import read_pipeline  # noqa: PLC0415
    from compress.configuration.json_schema import schema_text  # noqa: PLC0415
    from compress.runtime.atomic_files import write_atomically  # noqa: PLC0415

    source, schema = find_pipeline(name), output.with_name(SCHEMA_FILE)
    if output.exists():
        raise ConfigError("exists already; name another file with --output", file=output)
    text = read_pipeline(source).document.text  # checked: a copy of a mistake, or of another file, would not run
    write_atomically(output, with_schema(text).encode())
    console.say(f"wrote {output}; run it with: squeeze-compress run {output}")
    if not schema.exists():
        write_atomically(schema, schema_text().encode())
        console.say(f"wrote {schema}; editors complete the pipeline by it")


_OTHERS = (cache, compare, compress_weights, export, report, run, search, sensitivity)
for command in (*model_commands.COMMANDS, *prediction_commands.COMMANDS, *setup_commands.COMMANDS, *_OTHERS):
    main.add_command(command)
