"""Kinds of values on the command line that click does not have."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import click


def device_option(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the option that says where networks run."""
    return click.option("--device", help="Where networks run: cpu, cuda, ... [default: a GPU if there is one]")(command)


class Number(click.FloatRange):
    """A number in a range; neither infinite nor NaN, which no range refuses."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        return number if math.isfinite(number) else self.fail(f"{value!r} is not finite.", param, ctx)


class PathOr(click.Path):
    """A path that exists, or a word that stands for what comes with installed packages; as text."""

    def __init__(self, word: str, *, dir_okay: bool) -> None:
        super().__init__(exists=True, dir_okay=dir_okay)
        self.word = word

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == self.word else super().convert(value, param, ctx)


class FileBytes(click.IntRange):
    """Bytes as pipelines say them: a number, or one with a decimal unit (`400kB`)."""

    name = "bytes"

    def __init__(self) -> None:
        super().__init__(min=1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from compress.runtime.byte_size import to_bytes  # noqa: PLC0415  pydantic takes a while, and most commands need none

        found = to_bytes(value)
        if not isinstance(found, int):
            self.fail(f"{value!r} is no number of bytes; allowed: 400000, 400kB, 0.4 MB.", param, ctx)
        return super().convert(int(str(found)), param, ctx)
