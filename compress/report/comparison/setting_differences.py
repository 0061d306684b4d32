"""Settings in which runs differ: keys of their pipelines, photos, weights, versions, machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    """Return the settings that are not equal in all runs: keys of the pipelines first, each section in one place."""
    pipelines, origins = [_pipeline_settings(record.configuration) for record in records], [*map(_origin, records)]
    settings = [pipeline | origin for pipeline, origin in zip(pipelines, origins, strict=True)]
    keys = dict.fromkeys([*_by_section(pipelines), *(key for origin in origins for key in origin)])
    rows = (SettingDifference(key, tuple(each.get(key) for each in settings)) for key in keys)
    return tuple(row for row in rows if len(set(row.values)) > 1)


def _by_section(pipelines: Iterable[Iterable[str]]) -> list[str]:
    """Return dotted keys in the order of their first pipeline; keys of a section or a stage stand together."""
    sections = {key: _sections(key) for pipeline in pipelines for key in pipeline}
    places: dict[str, int] = {}
    for section in (section for each in sections.values() for section in each):
        places.setdefault(section, len(places))
    return sorted(sections, key=lambda key: [places[section] for section in sections[key]])


def _sections(key: str) -> list[str]:
    """Return the starts of a key: `stages`, `stages.prune`, and the key."""
    parts = key.split(".", 2)
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _origin(record: RunRecord) -> dict[str, str]:
    return {
        "float weights": f"{record.weights_source}, sha256 {record.weights_sha256[:12]}",
        **{f"{data.role} photos": f"{data.description}, sha256 {data.fingerprint[:12]}" for data in record.data},
        **{f"version of {name}": version for name, version in record.versions.items()},
        "machine": record.machine,
    }


def _pipeline_settings(configuration: str) -> dict[str, str]:
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
