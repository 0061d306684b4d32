"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import inspect
import logging
import math
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from compress.builtin_models import builtin_models, find_model
from compress.builtin_pipelines import builtin_pipelines, find_pipeline
from compress.errors import ConfigError
from compress.runtime.file_names import expand_home

if TYPE_CHECKING:
    from compress.configuration.config import Pipeline

Command = TypeVar("Command", bound=Callable[..., Any])
_log = logging.getLogger(__name__)


class Group(click.Group):
    """Commands with the first line of their help as summary, which click cuts in narrow terminals and in shells."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        cmd.short_help = inspect.cleandoc(cmd.help or "").partition("\n")[0]
        super().add_command(cmd, name)


class UserPath(click.Path):
    """A path with `~` expanded, which shells do not do after `=`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path is empty; '.' is the current folder", param, ctx)
        expanded = str(expand_home(Path(value))) if str(value).startswith("~") else value
        return super().convert(expanded, param, ctx)


class _NameOrFile(UserPath):
    """A path, or one of the names, which the shell completes too."""

    def __init__(self, names: Callable[[], Iterable[str]], **options: Any) -> None:
        super().__init__(**options)
        self.names = names

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        names = sorted(name for name in self.names() if name.startswith(incomplete))
        return [*super().shell_complete(ctx, param, incomplete), *map(CompletionItem, names)]


FOLDER = UserPath(file_okay=False, path_type=Path)
NEW_FILE = UserPath(dir_okay=False, path_type=Path)
EXISTING_PATH = UserPath(exists=True, path_type=Path)


class Text(click.types.StringParamType):
    """Text that is not empty, as an unset variable of a shell leaves it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        text = super().convert(value, param, ctx)
        return text or self.fail("it is empty; check for an unset variable, or leave the option out", param, ctx)


TEXT = Text()


class Integer(click.IntRange):
    """An integer in a range; help and errors do not call it a range, as those of `IntRange` do."""

    name = "integer"


class FiniteFloat(click.FloatRange):
    """A finite number in a range; `FloatRange` accepts NaN."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        return number if math.isfinite(number) else self.fail(f"{value!r} is not finite.", param, ctx)


class ModelFile(_NameOrFile):
    """A model file or the name of a built-in model; the value is the path of the file.

    Args:
        also: another allowed name, which stays as it is.
    """

    def __init__(self, also: str | None = None) -> None:
        super().__init__(lambda: [*builtin_models(), *filter(None, [also])], path_type=Path)
        self.also = also

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == self.also:
            return value
        try:
            return find_model(str(super().convert(value, param, ctx)))
        except ConfigError as error:
            self.fail(str(error), param, ctx)


class PipelineFile(_NameOrFile):
    """A pipeline file or the name of a built-in pipeline, as the user wrote it."""

    def __init__(self) -> None:
        super().__init__(builtin_pipelines)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value


class PathOrName(_NameOrFile):
    """An existing path, or one allowed name; the value is a `str`."""

    def __init__(self, name: str) -> None:
        super().__init__(lambda: [name], exists=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value in self.names() else super().convert(value, param, ctx)


class FileBytes(click.IntRange):
    """A number of bytes, as `Bytes` in a pipeline file."""

    name = "bytes"

    def __init__(self) -> None:
        super().__init__(min=1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from compress.runtime.option_types import ALLOWED_BYTES, parse_bytes  # noqa: PLC0415  imports pydantic: slow

        try:
            parsed = parse_bytes(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not isinstance(parsed, int):
            self.fail(f"{value!r} is not a number of bytes (allowed: {ALLOWED_BYTES})", param, ctx)
        return super().convert(parsed, param, ctx)


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON to stdout instead of text.")
device = click.option(
    "--device", type=TEXT, help="Device of the networks: cpu, cuda, ... [default: a GPU if there is one]"
)
architecture = click.option(
    "--architecture",
    type=TEXT,
    metavar="NAME",
    help="Network of a checkpoint, squeezenet1_0 or squeezenet1_1; a .sqz file names its own.",
)
labels = click.option(
    "--labels",
    type=click.Choice(["auto", "names", "order", "none"]),
    default="auto",
    show_default=True,
    help="Match folders to class names, take their sorted order for the classes, or ignore labels.",
)
label_column = click.option("--label-column", type=TEXT, metavar="NAME", help="Column of a CSV file with the class.")
max_drop = click.option(
    "--max-drop",
    type=FiniteFloat(0, 100),
    metavar="POINTS",
    help="Search for the smallest file whose top-1 drops by at most these percentage points.",
)
memory = click.option(
    "--memory",
    "memory_bytes",
    type=FileBytes(),
    metavar="BYTES",
    help="Memory that the run may use, such as 4GB. The result does not depend on it. [default: half of the machine's]",
)
limit = click.option("--limit", type=Integer(1), help="Maximum number of photos.")
factory = click.option(
    "--factory", type=TEXT, metavar="MODULE:FUNCTION", help="Function that builds your own network; its code will run."
)
max_weights = click.option(
    "--max-weights",
    type=Integer(1),
    help="Maximum number of weights to decode. [default: 1,024 for each byte, 2^24 to 2^28]",
)


def confirm_overwrite(path: Path, *, force: bool) -> None:
    """Ask at the terminal before a file, or files in a folder, are overwritten.

    Raises:
        ConfigError: the file exists or the folder is not empty, and the answer is no, or nobody can be asked.
    """
    kind = "folder" if path.is_dir() else "file"
    if force or not (any(path.iterdir()) if path.is_dir() else path.exists()):
        return
    is_asked = sys.stdin is not None and sys.stdin.isatty()  # None: closed by the shell, as some daemons do
    if not (is_asked and click.confirm(f"{path} exists; overwrite it?", err=True)):
        raise ConfigError(f"exists already; overwrite it with --force, or name another {kind}", file=path)


overrides = click.option(
    "--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Replace a value of the pipeline."
)


def pipeline(command: Command) -> Command:
    """Add the argument PIPELINE and the options `--set`, `--seed`, `--cache`, `--json` and `--device`."""
    for decorate in (
        device,
        as_json,
        click.option("--seed", type=Integer(0, 2**32 - 1), help="Replace the seed of the pipeline."),
        overrides,
        click.option("--cache", type=FOLDER, help="Folder for intermediate results. [default: OUT/cache]"),
        click.argument("pipeline", default="pipeline.yaml", type=PipelineFile()),
    ):
        command = decorate(command)
    return command


def read_pipeline(name: str, overrides: tuple[str, ...], seed: int | None) -> Pipeline:
    """Read the pipeline that the options of `pipeline` name; errors as in `config.read_pipeline`."""
    from compress.configuration import config  # noqa: PLC0415

    seeded = overrides if seed is None else (*overrides, f"seed={seed}")
    return config.read_pipeline(find_pipeline(name), seeded)


def is_first_process() -> bool:
    """Return whether this is the only process, or the first that `torchrun` started on this machine."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def warn_of_goal(pipeline: Pipeline) -> None:
    """Warn before a run that will probably miss its goal."""
    if is_first_process() and (problem := pipeline.goal_out_of_reach):
        _log.warning("%s", problem)
