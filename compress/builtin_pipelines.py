"""The built-in pipelines, by name."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

from compress.errors import ConfigError, nearest
from compress.runtime.file_names import expand_home

_IN_WHEEL = Path(__file__).parent / "ready_pipelines"
_IN_CHECKOUT = Path(__file__).parents[1] / "pipelines"

SCHEMA_FILE = "pipeline.schema.json"
_SCHEMA_COMMENT = "# yaml-language-server: "
"""Start of the line that tells an editor the schema of a YAML file."""


def builtin_pipelines() -> dict[str, Path]:
    """Return the files of the built-in pipelines by name, in alphabetical order."""
    folder = _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CHECKOUT
    return {file.stem: file for file in sorted(folder.glob("*.yaml"), key=lambda file: file.stem)}


def find_pipeline(name: str) -> Path:
    """Return the pipeline file at a path, or the file of a built-in pipeline.

    Raises:
        ConfigError: there is neither.
    """
    file = expand_home(Path(name))
    if file.exists() and not file.is_dir():  # also a pipe, such as /dev/stdin
        return file
    builtin = builtin_pipelines()
    if name in builtin:
        return builtin[name]
    if file.is_symlink():
        raise ConfigError("a link to a file that does not exist", file=file)
    if file.is_dir():
        raise ConfigError("a folder; name a pipeline file in it", file=file)
    beside = [str(each) for suffix in (".yaml", ".yml") for each in file.parent.glob(f"*{suffix}")]
    raise ConfigError(
        f"{name!r} is neither a pipeline file nor a built-in pipeline{nearest(name, [*builtin, *beside])}",
        allowed="a YAML file, such as 'squeeze-compress init' writes, or one of " + ", ".join(builtin),
    )


def with_schema(text: str) -> str:
    """Add the line by which an editor finds `SCHEMA_FILE` beside the pipeline file."""
    return f"{_SCHEMA_COMMENT}$schema={SCHEMA_FILE}\n{text}"


def first_comment(text: str) -> str:
    """Return the comment at the start of a pipeline file, as one line, without that for editors."""
    lines = (line for line in text.splitlines() if not line.startswith(_SCHEMA_COMMENT))
    comment = takewhile(lambda line: line.startswith("#"), lines)
    return " ".join(filter(None, (line.lstrip("#").strip() for line in comment)))
