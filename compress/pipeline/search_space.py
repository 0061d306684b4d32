"""The section `search` of a pipeline file: values that `squeeze-compress search` may choose, and between what."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from compress.errors import ConfigError
from compress.pipeline.schema_errors import checked
from compress.pipeline.yaml_document import Document, Key, has, parts_of, resolved

Value = bool | int | float | str
_Number = Annotated[int, Field()] | Annotated[float, Field(allow_inf_nan=False)]
_SHOWN = "{min: ..., max: ...}, with `step` or `log: true` if wanted, or a list of choices"
_WHOLE = ("encode", "coding")
_DIGITS = 4


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Range:
    """Numbers from `min` to `max`, both included; whole ones where both ends and the file's own value are whole.

    Attributes:
        min: the least.
        max: the largest.
        step: between one number and the next, counted from `min`; any number in between if not given.
        log: by their logarithms: as many from 0.001 to 0.01 as from 0.01 to 0.1.
    """

    min: _Number
    max: _Number
    step: Annotated[_Number, Field(gt=0)] | None = None
    log: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if not self.min < self.max:
            raise ValueError(f"min must be less than max, and {self.min} is not less than {self.max}")
        if self.log and self.min <= 0:
            raise ValueError("with log, min must be more than 0")
        if self.log and self.step is not None:
            raise ValueError("give step or log, not both")
        return self


@plain_dataclass(frozen=True)
class Searchable:
    """A value that may be chosen.

    Attributes:
        key: dotted, as `--set` takes it.
        own: the file's own value, which is tried first.
        range: numbers that it may be; None where it has choices.
        choices: values that it may be; empty where it has a range.
    """

    key: str
    own: Value
    range: Range | None = None
    choices: tuple[Value, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether it is a whole number."""
        numbers = (self.own, self.range.min, self.range.max, self.range.step or 1) if self.range else (0.5,)
        return all(isinstance(number, int) for number in numbers)

    @property
    def ends(self) -> tuple[Value, ...]:
        """The least and the largest value, or all choices: where these can be, all others can."""
        return (self.range.min, self.range.max) if self.range else self.choices

    def rounded(self, value: Value) -> Value:
        """Return a value as a pipeline file shows it: of four digits that count, and within the range."""
        if self.range is None or isinstance(value, str | bool) or self.whole:
            return value
        return min(max(float(f"{value:.{_DIGITS}g}"), self.range.min), self.range.max)


def override(key: str, value: Value) -> str:
    """Return the override that sets a key, as `--set` takes it."""
    return f"{key}={json.dumps(value)}"


def read_search(document: Document, check: Callable[[Document], object]) -> tuple[Searchable, ...]:
    """Read the section `search`.

    Args:
        document: the pipeline file, overrides applied.
        check: builds the pipeline from a document, its section `search` left out; raises `ConfigError` where it cannot.
    Returns:
        what may be chosen, in the file's order.
    Raises:
        ConfigError: a key names no value of the file, its range is none, or an end of it cannot be; says where.
    """
    given = document.root.get("search")
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise document.error(["search"], "not a mapping", f"dotted keys, each with {_SHOWN}")
    found = [_searchable(document, str(key), value) for key, value in given.items()]
    for each in found:
        for value in each.ends:
            try:
                check(document.with_overrides([override(each.key, value)]))
            except ConfigError as error:
                problem = str(error).removeprefix("--set: ").removeprefix(f"{each.key}: ")
                raise document.error(["search", each.key], f"with the value {_shown(value)}: {problem}") from error
    return tuple(found)


def _searchable(document: Document, dotted: str, given: object) -> Searchable:
    place: list[Key] = ["search", dotted]
    own = _own_value(document, dotted)
    if isinstance(given, list):
        choices = tuple(_plain(document, place, value) for value in given)
        if len(choices) < 2 or len(set(choices)) < len(choices):
            raise document.error(place, "the choices are at least two, and different", _SHOWN)
        if own not in choices:
            raise document.error(place, f"the file's own value {_shown(own)} is none of the choices; it is tried first")
        return Searchable(dotted, own, choices=choices)
    if not isinstance(given, Mapping):
        raise document.error(place, f"{given!r} is no range", _SHOWN)
    wanted: Range = checked(document, place, Range, given)
    if isinstance(own, str | bool) or not wanted.min <= own <= wanted.max:
        problem = f"the file's own value {_shown(own)} is not between {wanted.min} and {wanted.max}; it is tried first"
        raise document.error(place, problem)
    if wanted.step is not None:
        steps = (own - wanted.min) / wanted.step
        if not math.isclose(steps, round(steps), abs_tol=1e-9):
            raise document.error(place, f"the file's own value {_shown(own)} is no whole number of steps above min")
    return Searchable(dotted, own, range=wanted)


def _own_value(document: Document, dotted: str) -> Value:
    parts = parts_of(dotted)
    if parts[0] != "stages" and tuple(parts) != _WHOLE:
        raise document.error(["search", dotted], "cannot be searched", "keys of stages, and encode.coding")
    keys = resolved(document.root, parts)
    above = document.at(keys[:-1])
    if not has(above, keys[-1]) or keys[-1] in ("pass", "name"):
        where = ".".join(str(key) for key in keys[:-1])
        names = [str(key) for key in above if key not in ("pass", "name")] if isinstance(above, Mapping) else []
        problem = f"the file has no such value under {where}; give it there: it is tried first"
        raise document.error(["search", dotted], problem, ", ".join(names) or None)
    return _plain(document, ["search", dotted], above[keys[-1]])


def _plain(document: Document, place: Sequence[Key], value: Any) -> Value:
    if isinstance(value, bool):
        return bool(value)
    for kind in (int, float, str):
        if isinstance(value, kind):
            plain: Value = kind(value)  # without the comments and the form that the YAML reader keeps with it
            return plain
    raise document.error(place, "only numbers, words, true and false can be searched", _SHOWN)


def _shown(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
