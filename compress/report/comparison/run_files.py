"""Runs on disk: folders with `report.json`, or such files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compress.errors import ConfigError, FormatError, format_errors_of
from compress.report.record import RunRecord
from compress.report.report_files import PHOTO_FILES, read_report
from compress.runtime.file_names import escape_undecodable

REPORT = "report.json"


@dataclass(frozen=True)
class NamedRun:
    """A run and its name beside others.

    Attributes:
        name: of its folder, or of its file; where two are equal, the path.
        file: the `report.json`.
    """

    name: str
    file: Path
    record: RunRecord

    @property
    def own_files(self) -> tuple[Path, ...]:
        """The report, and the files that the run wrote with it and that cannot be rendered again."""
        beside = (*PHOTO_FILES, Path(self.record.file.path).name)
        return self.file, *(self.file.with_name(name) for name in beside)


@dataclass(frozen=True)
class UnreadableRun:
    """A run in a folder whose report cannot be read, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class RunIndex:
    """A folder of runs: at least one that can be read, and the others."""

    folder: Path
    runs: tuple[NamedRun, ...]
    unreadable: tuple[UnreadableRun, ...]


def read_run(path: Path) -> NamedRun:
    """Read a folder with `report.json`, or the file itself.

    Raises:
        ConfigError: there is no such path, or the folder is no run.
        FormatError: the file is no report, or one of another version; names the file.
    """
    file = _report_of(path)
    with format_errors_of(escape_undecodable(str(file))):
        record = read_report(file)
    return NamedRun(escape_undecodable(_name(file)), file, record)


def read_runs(paths: Sequence[Path]) -> list[NamedRun]:
    """Read runs; runs of one name are named by their paths. Errors as in `read_run`."""
    runs = [read_run(path) for path in paths]
    counts = Counter(run.name for run in runs)
    return [
        run if counts[run.name] == 1 else replace(run, name=escape_undecodable(str(path)))
        for run, path in zip(runs, paths, strict=True)
    ]


def read_index(folder: Path) -> RunIndex | None:
    """Read the runs directly below a folder, by name; None if there are none, or the folder itself is a run.

    Raises:
        ConfigError: none of the reports can be read; says why.
    """
    files = sorted(folder.glob(f"*/{REPORT}")) if not (folder / REPORT).exists() else []
    runs, unreadable = [], []
    for file in files:
        try:
            runs.append(read_run(file))
        except (ConfigError, FormatError, OSError) as error:
            reason = error.strerror or str(error) if isinstance(error, OSError) else error.problem
            unreadable.append(UnreadableRun(escape_undecodable(file.parent.name), reason))
    if unreadable and not runs:
        reasons = "; ".join(f"{each.name}: {each.reason}" for each in unreadable)
        raise ConfigError(f"none of its reports can be read: {reasons}", file=escape_undecodable(str(folder)))
    return RunIndex(folder, tuple(runs), tuple(unreadable)) if runs else None


def _report_of(path: Path) -> Path:
    """Return the report of a folder, or the path itself if it is a file."""
    file = path / REPORT if path.is_dir() else path
    if file.exists():
        return file
    inside = sorted(path.glob(f"*/{REPORT}"))
    if inside:
        run = escape_undecodable(str(inside[0].parent))
        problem = f"a folder of runs, not a run; name its runs, such as {run}, or give it alone for an index"
    else:
        missing = f"not a run: the folder has no {REPORT}" if path.is_dir() else "no such file or folder"
        problem = f"{missing}; squeeze-compress run writes {REPORT} into its folder --out, out/NAME by default"
    raise ConfigError(problem, file=escape_undecodable(str(path)))


def _name(file: Path) -> str:
    return file.resolve().parent.name if file.name == REPORT else file.stem
