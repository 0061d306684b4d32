"""Bytes of a file against the accuracy of its network: the pipelines of this project and NNCodec, on the same photos.

`python -m benchmarks.rate_accuracy` measures each point on the weights decoded from its bytes, compared with the float
network of its pipeline, and NNCodec on each of these float networks. It writes into `reports/rate-accuracy`:

    rate-accuracy.svg   the curves of each network
    rate-accuracy.md    the numbers, paired statistics and run times
    rate-accuracy.json  the same for programs; `benchmarks/rate_accuracy_record.py` defines its fields
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks import nncodec_peer, rate_accuracy_chart, rate_accuracy_page
from benchmarks.benchmark_command import benchmark_command
from benchmarks.pipeline_files import PIPELINES, ComparedNetwork, ensure_file, select_networks
from benchmarks.point_measurement import PointMeasurer
from benchmarks.rate_accuracy_record import (
    BOOTSTRAP_SEED,
    RATE_ACCURACY_VERSION,
    NetworkCurve,
    RateAccuracyRecord,
    sort_points,
    to_json,
)
from compress import container
from compress.cli import console
from compress.data.sources import source_at
from compress.errors import ConfigError
from compress.evaluation import intervals, metrics
from compress.evaluation.evaluate import read_labeled_photos
from compress.pipeline import environment, run_record
from compress.runtime.atomic_files import write_atomically
from compress.runtime.file_names import escape_undecodable

QPS = (-32, -30, -28, -26)
_PATH = click.Path(path_type=Path)


@dataclass(frozen=True)
class RateAccuracyOptions:
    """Points to measure, and the photos.

    Attributes:
        pipelines: names of built-in pipelines.
        photos: labeled; a folder or a CSV file.
        limit: maximum number of photos; None for all.
        out: folder of runs; the file of a pipeline is `NAME/model.sqz` in it.
        reports: folder for the results.
        only_existing: omit pipelines without a file.
        qps: quantization parameters of NNCodec; empty: without NNCodec.
        repeats: of each time measurement.
        device: device of the networks; None: a GPU if there is one.
        command: command line that repeats the measurement.
    """

    pipelines: tuple[str, ...]
    photos: Path
    limit: int | None
    out: Path
    reports: Path
    only_existing: bool
    qps: tuple[int, ...]
    repeats: int
    device: str | None
    command: str


@benchmark_command()
@click.argument("pipelines", nargs=-1)
@click.option(
    "--photos",
    type=_PATH,
    default="../shared/data/validation-1000.csv",
    show_default=True,
    help="Labeled photos: a folder or a CSV file.",
)
@click.option("--limit", type=click.IntRange(1), help="Maximum number of photos.")
@click.option("--out", type=_PATH, default="out", show_default=True, help="Folder of runs.")
@click.option(
    "--reports", type=_PATH, default="reports/rate-accuracy", show_default=True, help="Folder for the results."
)
@click.option("--only-existing", is_flag=True, help="Omit pipelines without a file.")
@click.option(
    "--qp",
    "qps",
    type=int,
    multiple=True,
    default=QPS,
    show_default=True,
    help="Quantization parameter of NNCodec; may be given several times.",
)
@click.option("--without-nncodec", is_flag=True, help="Do not measure NNCodec.")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Of each time measurement.")
@click.option("--device", help="Device of the networks. [default: a GPU if there is one]")
def main(pipelines: tuple[str, ...], qps: tuple[int, ...], without_nncodec: bool, **options: Any) -> None:  # fmt: skip
    """Compare built-in PIPELINES with each other and with NNCodec.

    The file of each is OUT/NAME/model.sqz; without that file, the pipeline is run first.
    """
    command = escape_undecodable(shlex.join(["python", "-m", "benchmarks.rate_accuracy", *sys.argv[1:]]))
    qps = () if without_nncodec else tuple(dict.fromkeys(qps))
    measure_all(RateAccuracyOptions(pipelines=pipelines or PIPELINES, qps=qps, command=command, **options))


def measure_all(options: RateAccuracyOptions) -> None:
    """Measure all points and write the three files.

    Raises:
        SqueezeError: photos or pipelines are missing, or a run failed.
    """
    if not options.photos.exists():
        raise ConfigError(
            f"there are no photos at {options.photos}", key="--photos", allowed="a folder with labels, or a CSV file"
        )
    networks, omitted = select_networks(options.pipelines, options.out, only_existing=options.only_existing)
    for point in omitted:
        console.say(f"{point.name}: omitted, {point.reason}")
    networks = [network for network in networks if network.files or options.qps]
    if not networks:
        raise ConfigError("nothing is left to compare", key="PIPELINES", allowed="pipelines with a file, or NNCodec")
    python = nncodec_peer.environment(options.out / "bench" / "nncodec") if options.qps else None
    for network in networks:
        for name, file in network.files.items():
            ensure_file(name, file, options.device)
    torch.use_deterministic_algorithms(True, warn_only=True)
    record = RateAccuracyRecord(
        schema_version=RATE_ACCURACY_VERSION,
        curves=tuple(_measure_network(network, options, python) for network in networks),
        omitted=omitted,
        bootstrap_samples=intervals.BOOTSTRAP_SAMPLES,
        bootstrap_seed=BOOTSTRAP_SEED,
        command=options.command,
        versions=environment.versions(),
        nncodec_versions=nncodec_peer.versions(python) if python else {},
        machine=environment.machine(),
    )
    write(record, options.reports)


def _measure_network(network: ComparedNetwork, options: RateAccuracyOptions, python: Path | None) -> NetworkCurve:
    """Measure the points of a float network.

    Args:
        network: with the files of its pipelines.
        options: of the run.
        python: of NNCodec's environment; None: without NNCodec.
    """
    reference, work = network.reference, options.out / "bench"
    photos = read_labeled_photos(reference, source_at(options.photos, options.limit), work / "cache", console.progress)
    measurer = PointMeasurer(reference, photos, options.device)
    points = [measurer.measure_pipeline(name, file, options.repeats) for name, file in network.files.items()]
    weights = {name: tensor.to_dense() for name, tensor in reference.tensors.items()}
    if python:
        results = nncodec_peer.code(python, weights, options.qps, work / "coded" / network.name, options.repeats)
        points += map(measurer.measure_nncodec, results)
    accuracy = metrics.accuracy(measurer.reference_outputs)
    assert accuracy is not None  # there are labels
    return NetworkCurve(
        name=network.name,
        network=reference.architecture,
        weights_source=network.weights_source,
        weights_sha256=container.weights_sha256(reference),
        float_bytes=sum(array.nbytes for array in weights.values()),
        photos=run_record.data_record("validation", photos),
        top1=accuracy.top1,
        top5=accuracy.top5,
        points=sort_points(points),
    )


def write(record: RateAccuracyRecord, folder: Path) -> None:
    """Write the chart, the page and the JSON, each atomically."""
    for suffix, text in (
        ("svg", rate_accuracy_chart.to_svg(record)),
        ("md", rate_accuracy_page.to_markdown(record)),
        ("json", to_json(record)),
    ):
        write_atomically(folder / f"rate-accuracy.{suffix}", text.encode())
    for curve in record.curves:
        console.say(f"{curve.name}\n\n{rate_accuracy_page.rate_table(curve)}\n")
    console.say(f"results: {folder / 'rate-accuracy.md'}")


if __name__ == "__main__":
    main()
