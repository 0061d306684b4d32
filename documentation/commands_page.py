"""The help texts of all commands as a Markdown page."""

from __future__ import annotations

from collections.abc import Iterator

import click

_PROGRAM = "squeeze-compress"


def commands_page(program: click.Group) -> str:
    """Return a page with a section for each command, as `--help` prints it."""
    context = click.Context(program, info_name=_PROGRAM, max_content_width=100, **program.context_settings)
    return "# Help texts\n\n" + "\n".join(_sections(program, context))


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## `{context.command_path}`\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            subcommand = command.get_command(context, name)
            assert subcommand
            inner = click.Context(subcommand, parent=context, info_name=name, max_content_width=100)
            yield from _sections(subcommand, inner)
