"""Kinds of values on the command line that click does not have."""

from __future__ import annotations

import math
from typing import Any

import click


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
