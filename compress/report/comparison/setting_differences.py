"""Settings in which runs differ: keys of their pipelines, photos, weights, versions, machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from compress.report.record import RunRecord

_MAX_SETTINGS = 10_000
"""More than a pipeline file may have; aliases in YAML could stand for any number."""


@dataclass(frozen=True)
class SettingDifference:
    """One setting with a value for each run, in their order; None: the run does not set it."""

    key: str
    values: tuple[str | None, ...]


def setting_differences(records: Sequence[RunRecord]) -> tuple[SettingDifference, ...]:
    """Return the settings that are not equal in all runs, in the order of the first run that has them."""
    settings = [_settings(record) for record in records]
    keys = dict.fromkeys(key for each in settings for key in each)
    rows = (SettingDifference(key, tuple(each.get(key) for each in settings)) for key in keys)
    return tuple(row for row in rows if len(set(row.values)) > 1)


def _settings(record: RunRecord) -> Mapping[str, str]:
    return {
        **_pipeline_settings(record.configuration),
        "float weights": f"{record.weights_source}, sha256 {record.weights_sha256[:12]}",
        **{f"{data.role} photos": f"{data.description}, sha256 {data.fingerprint[:12]}" for data in record.data},
        **{f"version of {name}": version for name, version in record.versions.items()},
        "machine": record.machine,
    }


def _pipeline_settings(configuration: str) -> Mapping[str, str]:
    """Return the values of a pipeline by dotted key; a text that is no YAML is one value."""
    try:
        return dict(islice(_flatten(YAML(typ="safe").load(configuration), ""), _MAX_SETTINGS))
    except (YAMLError, RecursionError, ValueError, LookupError):
        return {"pipeline": configuration}


def _flatten(value: object, key: str) -> Iterator[tuple[str, str]]:
    """Yield dotted keys with their values as text; stages are named as in `--set`."""
    prefix = f"{key}." if key else ""
    if isinstance(value, Mapping) and value:
        for name, each in value.items():
            yield from _flatten(each, f"{prefix}{name}")
    elif isinstance(value, list) and any(isinstance(each, Mapping | list) for each in value):
        for index, each in enumerate(value):
            yield from _flatten(each, f"{prefix}{_stage_name(each) or index}")
    else:
        yield key, _text(value)


def _stage_name(stage: object) -> object:
    return stage.get("name", stage.get("pass")) if isinstance(stage, Mapping) else None


def _text(value: object) -> str:
    """Return a scalar, or a list of scalars, as YAML writes it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
