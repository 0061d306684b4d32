"""Files of the built-in pipelines that are compared; missing files are made by running the pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from benchmarks.rate_accuracy_record import OmittedPoint
from compress import pipeline
from compress.builtin_pipelines import find_pipeline
from compress.cli import console
from compress.errors import FormatError
from compress.pipeline.environment import run_command
from compress.pipeline.runner import MODEL_FILE
from compress.report import from_json

CLASSIC_PIPELINE = "deep-compression"
PIPELINES = ("squeezenet-500k", "squeezenet-400k", "squeezenet-300k", "squeezenet-240k", CLASSIC_PIPELINE)
_WITHOUT_PASS = ("baseline", "proof")


def select_files(
    names: Iterable[str], out: Path, *, only_existing: bool
) -> tuple[dict[str, Path], tuple[OmittedPoint, ...]]:
    """Return the file of each pipeline to compare, which may not exist yet, and the omitted pipelines.

    Args:
        names: of built-in pipelines.
        out: folder with a folder for each pipeline.
        only_existing: omit pipelines without a file.
    Raises:
        ConfigError: there is no such pipeline.
    """
    files = {name: out / name / MODEL_FILE for name in names}
    missing = [name for name, file in files.items() if only_existing and not file.is_file()]
    selected = {name: file for name, file in files.items() if name not in missing}
    for name in selected:
        find_pipeline(name)
    return selected, tuple(OmittedPoint(name, f"there is no {files[name]}") for name in missing)


def ensure_file(name: str, file: Path, device: str | None) -> None:
    """Run a pipeline unless its file exists; a missed goal is reported and is no error.

    Raises:
        SqueezeError: the run failed.
    """
    if file.is_file():
        return
    console.say(f"{name}: there is no {file} yet, running the pipeline")
    spec = pipeline.read_pipeline(find_pipeline(name))
    command = run_command(name, None, ())
    result = pipeline.run(spec, file.parent, command=command, device=device, progress=console.progress)
    if not result.goal_met:
        console.say(f"{name}: missed its goal; see {result.report_path}")


def codecs_of(name: str) -> tuple[str, ...]:
    """Return the codecs that a pipeline encodes with."""
    return pipeline.read_pipeline(find_pipeline(name)).encode.codecs


def pass_seconds(file: Path) -> float | None:
    """Return the run time of all passes that made a file; None unless the report of this file is beside it."""
    try:
        record = from_json(file.with_name("report.json").read_text("utf-8"))
    except (OSError, UnicodeDecodeError, FormatError):
        return None
    if record.file.sha256 != hashlib.sha256(file.read_bytes()).hexdigest():
        return None
    return sum(stage.seconds for stage in record.stages if stage.kind not in _WITHOUT_PASS)
