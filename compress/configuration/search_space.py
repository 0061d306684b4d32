"""The section `search` of a pipeline file: the values that `squeeze-compress search` chooses, and their ranges."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Any

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from compress.configuration.key_paths import Key, has_key, join_keys
from compress.configuration.renamed_keys import suggestion
from compress.configuration.schema_errors import validate
from compress.configuration.yaml_document import Document
from compress.errors import ConfigError
from compress.evaluation.results import significant
from compress.runtime.option_types import OPTIONS

Value = bool | int | float | str
_Number = Annotated[int, Field()] | Annotated[float, Field(allow_inf_nan=False)]
_FORMS = "{min: ..., max: ...} with an optional 'log: true', or a list of choices"
_CODING = ["encode", "coding"]


@dataclass(frozen=True, config=OPTIONS)
class Range:
    """Numbers from `min` to `max`, both included; whole numbers if both limits and the initial value are whole.

    Attributes:
        min: the smallest number.
        max: the largest number.
        log: spread by logarithm: as many trials from 0.001 to 0.01 as from 0.01 to 0.1.
    """

    min: _Number
    max: _Number
    log: bool = False

    @model_validator(mode="after")
    def _check(self) -> Range:
        if not self.min < self.max:
            raise ValueError(f"min must be less than max: {self.min} is not less than {self.max}")
        if self.log and self.min <= 0:
            raise ValueError("with log, min must be more than 0")
        return self


@plain_dataclass(frozen=True)
class SearchParameter:
    """A value that the search chooses.

    Attributes:
        key: dotted, as in `--set`.
        initial: the value in the file, which the search tries first.
        range: the allowed numbers; None: there are choices.
        choices: the allowed values; empty: there is a range.
    """

    key: str
    initial: Value
    range: Range | None = None
    choices: tuple[Value, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether the value is a whole number."""
        numbers = (self.initial, self.range.min, self.range.max) if self.range else (0.5,)
        return all(isinstance(number, int) for number in numbers)

    @property
    def extremes(self) -> tuple[Value, ...]:
        """Both limits of the range, or all choices: if they are valid, all values are."""
        return (self.range.min, self.range.max) if self.range else self.choices

    def first_values(self, limit: int) -> Sequence[Value]:
        """Return the choices, or at most `limit` whole numbers from the smallest on; none for other numbers."""
        if self.range is None:
            return self.choices
        if not self.is_whole:
            return ()
        return range(int(self.range.min), int(self.range.max) + 1)[:limit]

    def rounded(self, value: Value) -> Value:
        """Return a value with four significant digits, within the range."""
        if self.range is None or isinstance(value, str | bool) or self.is_whole:
            return value
        return min(max(significant(value), self.range.min), self.range.max)


def override(key: str, value: Value) -> str:
    """Return the override that sets a key, as `--set` takes it."""
    return f"{key}={json.dumps(value)}"


def read_search(document: Document, check: Callable[[Document], object]) -> tuple[SearchParameter, ...]:
    """Return the values of the section `search`, in the order of the file.

    Args:
        document: the pipeline file, overrides applied.
        check: builds the pipeline from a document without its section `search`.
    Raises:
        ConfigError: a key is not in the file, a range is wrong, or an extreme value is not allowed in the pipeline.
    """
    given = document.root.get("search")
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise document.error(["search"], "not a mapping", f"dotted keys, each with {_FORMS}")
    parameters = [_parameter(document, str(key), spec) for key, spec in given.items()]
    _check_once(document, [parameter.key for parameter in parameters])
    for parameter in parameters:
        for value in parameter.extremes:
            _check_value(document, parameter.key, value, check)
    return tuple(parameters)


def _check_once(document: Document, keys: Sequence[str]) -> None:
    """Check that no two keys are spellings of one, by the name and by the index of a stage."""
    first: dict[str, str] = {}
    for key in keys:
        if (other := first.setdefault(join_keys(document.path_of(key)), key)) != key:
            raise document.error(["search", key], f"the same key as {other}; keep one of the two")


def _check_value(document: Document, key: str, value: Value, check: Callable[[Document], object]) -> None:
    try:
        check(document.with_overrides([override(key, value)]))
    except ConfigError as error:
        problem = f"with the value {_shown(value)}: {error.problem}"
        raise document.error(["search", key], problem, error.allowed) from error


def _parameter(document: Document, key: str, spec: object) -> SearchParameter:
    place: list[Key] = ["search", key]
    initial = _initial_value(document, key)
    if isinstance(spec, list):
        choices = tuple(_scalar(document, place, value) for value in spec)
        if len(choices) < 2 or len(set(choices)) < len(choices):
            raise document.error(place, "at least two different choices are needed", _FORMS)
        if initial not in choices:
            raise document.error(place, f"the value in the file, {_shown(initial)}, must be one of the choices")
        return SearchParameter(key, initial, choices=choices)
    if not isinstance(spec, Mapping):
        raise document.error(place, f"{spec!r} is not a range", _FORMS)
    range_: Range = validate(document, place, Range, spec)
    _check_initial(document, place, initial, range_)
    return SearchParameter(key, initial, range=range_)


def _check_initial(document: Document, place: Sequence[Key], initial: Value, range_: Range) -> None:
    if isinstance(initial, str | bool) or not range_.min <= initial <= range_.max:
        problem = f"the value in the file, {_shown(initial)}, must be between {range_.min} and {range_.max}"
        raise document.error(place, problem)


def _initial_value(document: Document, key: str) -> Value:
    """Return the value that the file has at a searched key.

    Raises:
        ConfigError: the file has no value there, or the key cannot be searched.
    """
    keys = document.path_of(key)
    if keys[0] != "stages" and keys != _CODING:
        raise document.error(["search", key], "this key cannot be searched", "keys of stages, and encode.coding")
    *above, last = keys
    options = document.at(above)
    if not has_key(options, last) or last in ("pass", "name"):
        names = [str(name) for name in options if name not in ("pass", "name")] if isinstance(options, Mapping) else []
        instead = suggestion(document.root, above, str(last), names)
        problem = f"the file has no such value under {join_keys(above)}; add it there{instead}"
        raise document.error(["search", key], problem, ", ".join(names) or None)
    return _scalar(document, ["search", key], options[last])


def _scalar(document: Document, place: Sequence[Key], value: Any) -> Value:
    """Return a YAML scalar as a plain Python value."""
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            scalar: Value = kind(value)  # drops the comments and the number format of the YAML parser
            return scalar
    raise document.error(place, "only numbers, words, true and false can be searched", _FORMS)


def _shown(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
