"""The ready pipelines that are compared: their files, and runs where there are none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from benchmarks.comparison import LeftOut
from compress import pipeline
from compress.builtin_pipelines import find_pipeline
from compress.cli import console
from compress.errors import FormatError
from compress.pipeline.run import MODEL_FILE
from compress.pipeline.run_record import as_command
from compress.report import from_json

CLASSIC_PIPELINE = "squeezenet-deep-compression"
PIPELINES = ("squeezenet-500k", "squeezenet-400k", "squeezenet-300k", "squeezenet-240k", CLASSIC_PIPELINE)
_NO_PASSES = ("baseline", "proof")


def choose(names: Iterable[str], out: Path, only_existing: bool) -> tuple[dict[str, Path], tuple[LeftOut, ...]]:
    """Return the file of each pipeline that is to be compared, there or not yet, and the pipelines left out.

    Args:
        names: of ready pipelines.
        out: folder with a folder for each pipeline.
        only_existing: leave out those whose file is not there.
    Raises:
        ConfigError: there is no such pipeline.
    """
    files = {name: out / name / MODEL_FILE for name in names}
    gone = [name for name, file in files.items() if only_existing and not file.is_file()]
    mask = {name: file for name, file in files.items() if name not in gone}
    for name in mask:
        find_pipeline(name)
    return mask, tuple(LeftOut(name, f"there is no {files[name]}") for name in gone)


def make(name: str, file: Path, device: str | None) -> None:
    """Run a pipeline unless its file is there; a goal that it misses is said and no reason to stop.

    Raises:
        SqueezeError: it failed.
    """
    if file.is_file():
        return
    console.say(f"{name}: there is no {file} yet, running the pipeline")
    spec = pipeline.read_pipeline(find_pipeline(name))
    result = pipeline.run(
        spec, file.parent, command=as_command(name, None, ()), device=device, progress=console.progress
    )
    if not result.goal_met:
        console.say(f"{name}: missed its goal; {result.report_path} says by how much")


def codecs_of(name: str) -> tuple[str, ...]:
    """Return the codecs that a pipeline encodes with."""
    return pipeline.read_pipeline(find_pipeline(name)).encode.codecs


def passes_seconds(file: Path) -> float | None:
    """Return how long the passes took that made a file; None where no report of that very file lies beside it."""
    try:
        record = from_json(file.with_name("report.json").read_text("utf-8"))
    except (OSError, UnicodeDecodeError, FormatError):
        return None
    if record.file.sha256 != hashlib.sha256(file.read_bytes()).hexdigest():
        return None
    return sum(stage.seconds for stage in record.stages if stage.kind not in _NO_PASSES)
