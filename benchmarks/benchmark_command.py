"""The command line of a benchmark: `-h`, and an error as one message and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from compress.cli import console
from compress.errors import SqueezeError


class _BenchmarkCommand(click.Command):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SqueezeError as error:
            console.error(str(error))
            sys.exit(error.exit_code)


def benchmark_command() -> Callable[[Callable[..., Any]], click.Command]:
    """Return the decorator of a benchmark's `main`."""
    return click.command(cls=_BenchmarkCommand, context_settings={"help_option_names": ["-h", "--help"]})
