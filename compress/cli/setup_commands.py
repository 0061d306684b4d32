"""The commands that check a pipeline and an installation, and that help editors and shells."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from compress.cli import console, options
from compress.errors import ConfigError

_PROGRAM = "squeeze-compress"


@click.command()
@click.argument("pipelines", metavar="[PIPELINE]...", nargs=-1, type=options.PipelineFile())
@options.overrides
def validate(pipelines: tuple[str, ...], overrides: tuple[str, ...]) -> None:
    """Check pipelines without running them.

    Finds unknown keys and values that are not allowed, and names file, line and column. Reads no photos and no weights.
    PIPELINE is ./pipeline.yaml by default. A mistake in one does not keep the others from being checked.

    Example: squeeze-compress validate pipeline.yaml
    """
    errors = [error for name in pipelines or ("pipeline.yaml",) if (error := _mistake(name, overrides))]
    for error in errors[:-1]:
        console.error(str(error))
    if errors:
        raise errors[-1]


def _mistake(pipeline: str, overrides: tuple[str, ...]) -> ConfigError | None:
    """Print the stages of a valid pipeline, or return its error, with the place as compilers write it."""
    try:
        spec = options.read_pipeline(pipeline, overrides, None)
    except ConfigError as error:
        if error.column is None:
            return error
        place = f"{error.file}:{error.line}:{error.column}"  # editors turn it into a link
        return ConfigError(error.problem, file=place, key=error.key, allowed=error.allowed)
    names = ", ".join(stage.name for stage in spec.stages) or "none"
    console.say(f"{pipeline}: valid; stages: {names}")
    options.warn_of_goal(spec)
    return None


@click.command()
def schema() -> None:
    """Print the JSON schema of pipeline files.

    With it, an editor completes and checks keys. A pipeline names its schema in the first line, as those that init
    writes: "# yaml-language-server: $schema=pipeline.schema.json".

    Example: squeeze-compress schema > pipeline.schema.json
    """
    from compress.configuration.json_schema import schema_text  # noqa: PLC0415

    click.echo(schema_text(), nl=False)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    It completes commands, options, files, and the names of built-in models and pipelines.

    Example: squeeze-compress completion bash >> ~/.bashrc
    """
    completer = get_completion_class(shell)
    assert completer, shell
    click.echo(completer(context.find_root().command, {}, _PROGRAM, "_SQUEEZE_COMPRESS_COMPLETE").source())


@click.command()
@options.as_json
def doctor(as_json: bool) -> None:
    """Check the installation.

    Shows versions, the installed weights and photos, the devices, and what to do where something is missing. Exit code
    1: something that `run` needs is missing.

    Example: squeeze-compress doctor
    """
    from compress.pipeline.installation import check_installation  # noqa: PLC0415  imports torch

    checks = check_installation()
    if as_json:
        console.say_json([check._asdict() for check in checks])
    else:
        rows = [(check.subject, "ok" if check.ok else "missing", check.finding) for check in checks]
        console.show_table(("check", "", "found"), rows, text_columns=3)
    if not all(check.ok for check in checks if check.required):
        raise click.exceptions.Exit(1)


COMMANDS = (validate, schema, completion, doctor)
