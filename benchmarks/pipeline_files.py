"""Float networks and files of the built-in pipelines that are compared; a missing file is made by a run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.rate_accuracy_record import OmittedPoint
from compress import container
from compress.builtin_pipelines import find_pipeline
from compress.cli import console
from compress.configuration.config import read_pipeline
from compress.errors import ConfigError
from compress.export.hub import record_of
from compress.model import Model
from compress.pipeline import runner
from compress.pipeline.environment import run_command
from compress.pipeline.runner import MODEL_FILE

CLASSIC_PIPELINE = "deep-compression"
PIPELINES = (
    "squeezenet-500k",
    "squeezenet-400k",
    "squeezenet-300k",
    "squeezenet-240k",
    CLASSIC_PIPELINE,
    "mcunet-300k",
    "mcunet-240k",
)
_WITHOUT_PASS = ("baseline", "proof")
_SIZE = re.compile(r"-\d+k$")


@dataclass(frozen=True, eq=False)
class ComparedNetwork:
    """A float network and the files made from it.

    Attributes:
        name: of its first pipeline, without the size.
        weights_source: origin of the weights.
        reference: the float network.
        files: by pipeline; they may not exist yet.
    """

    name: str
    weights_source: str
    reference: Model
    files: dict[str, Path] = field(default_factory=dict)


def select_networks(
    names: Iterable[str], out: Path, *, only_existing: bool
) -> tuple[list[ComparedNetwork], tuple[OmittedPoint, ...]]:
    """Return the float networks of pipelines with the files to compare, and the omitted pipelines.

    A pipeline is omitted if a file of its float network is missing.

    Args:
        names: of built-in pipelines.
        out: folder with a folder for each pipeline.
        only_existing: also omit pipelines without a file; their float networks stay.
    Raises:
        ConfigError: there is no such pipeline.
        SqueezeError: the weights of a float network are damaged.
    """
    networks: dict[object, ComparedNetwork] = {}
    omitted = []
    for name, spec in {name: read_pipeline(find_pipeline(name)) for name in names}.items():
        try:
            reference = spec.model.load(spec.seed)
        except ConfigError as error:
            omitted.append(OmittedPoint(name, str(error)))
            continue
        key = reference.architecture, reference.preprocessing, container.weights_sha256(reference)
        network = networks.setdefault(key, ComparedNetwork(_SIZE.sub("", name), spec.model.description, reference))
        file = out / name / MODEL_FILE
        if only_existing and not file.is_file():
            omitted.append(OmittedPoint(name, f"there is no {file}"))
        else:
            network.files[name] = file
    return list(networks.values()), tuple(omitted)


def ensure_file(name: str, file: Path, device: str | None) -> None:
    """Run a pipeline unless its file exists; a missed goal is reported and is no error.

    Raises:
        SqueezeError: the run failed.
    """
    if file.is_file():
        return
    console.say(f"{name}: there is no {file} yet, running the pipeline")
    spec = read_pipeline(find_pipeline(name))
    command = run_command(name, None, ())
    result = runner.run(spec, file.parent, command=command, device=device, progress=console.progress)
    if not result.goal_met:
        console.say(f"{name}: missed its goal; see {result.report_path}")


def codecs_of(name: str) -> tuple[str, ...]:
    """Return the codecs that a pipeline encodes with."""
    return read_pipeline(find_pipeline(name)).encode.codecs


def pass_seconds(file: Path) -> float | None:
    """Return the run time of all passes that made a file; None unless the report of this file is beside it."""
    record = record_of(file.with_name("report.json"), hashlib.sha256(file.read_bytes()).hexdigest())
    if record is None:
        return None
    return sum(stage.seconds for stage in record.stages if stage.kind not in _WITHOUT_PASS)
