"""The pipelines that come with the package, found by name."""

from __future__ import annotations

from pathlib import Path

from compress.errors import ConfigError, nearest

_INSTALLED = Path(__file__).parent / "ready_pipelines"
_CHECKOUT = Path(__file__).parents[1] / "pipelines"


def ready_pipelines() -> dict[str, Path]:
    """Return the files of the ready pipelines by name, in alphabetical order.

    An installed wheel carries them inside the package; a checkout has them in `pipelines/`.
    """
    folder = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
    return {file.stem: file for file in sorted(folder.glob("*.yaml"), key=lambda file: file.stem)}


def find_pipeline(name: str) -> Path:
    """Return the file of a pipeline: a path as it is, or a ready one by name.

    Raises:
        ConfigError: there is neither such a file nor such a ready pipeline.
    """
    file = Path(name)
    if file.is_file():
        return file
    ready = ready_pipelines()
    if name in ready:
        return ready[name]
    raise ConfigError(
        f"no pipeline file {name!r}, and no ready pipeline of that name{nearest(name, ready)}",
        allowed="a YAML file, such as 'squeeze-compress init' writes, or one of " + ", ".join(ready),
    )


def first_comment(text: str) -> str:
    """Return the comment that a pipeline file opens with, as one line."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("#").strip())
    return " ".join(line for line in lines if line)
