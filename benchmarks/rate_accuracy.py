"""Bytes of a file against the accuracy of the network in it: this project's pipelines and NNCodec, on the same photos.

`python -m benchmarks.rate_accuracy` measures each point on what was decoded from its bytes, against the same float
network (SqueezeNet v1.1, `embedded`), and writes into `reports/rate-accuracy`:

    rate-accuracy.svg   the two curves
    rate-accuracy.md    the figures, paired statistics and times
    rate-accuracy.json  the same for programs

`rate-accuracy.json` holds, by the dataclasses in `benchmarks/comparison.py` (shares run from 0 to 1, units are in the
names, an interval is a `value` with the ends `low` and `high` of its 95% confidence interval):

    network, weights_source, weights_sha256, float_bytes, top1, top5   the float network
    photos      how many, their description and fingerprint
    points      each: series, name, file_bytes; top1 and top5, each with its share, the paired difference from the float
                network's, the photos right only before and only after, and McNemar's exact p; agreement and
                divergence_nats; seconds of the passes (null for NNCodec), of encoding and of decoding
    left_out    each: name and reason
    bootstrap_resamples, bootstrap_seed, command, machine              how it was made
    versions, nncodec_versions                                         of packages here, and in NNCodec's environment
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks import chart, nncodec_peer, table
from benchmarks.comparison import SCHEMA_VERSION, SEED, Comparison, LeftOut, Point, in_order, to_json
from benchmarks.judge import Judge, read_photos
from benchmarks.ready import PIPELINES, choose, make
from compress import container
from compress.cli import console
from compress.errors import ConfigError, SqueezeError
from compress.evaluation import metrics
from compress.evaluation.text import as_text
from compress.networks.weight_sources import Embedded
from compress.pipeline import run_record
from compress.runtime.atomic_files import write_atomically

QPS = (-32, -30, -28, -26)
_PATH = click.Path(path_type=Path)


@dataclass(frozen=True)
class Options:
    """What to compare, on what.

    Attributes:
        pipelines: names of ready pipelines.
        photos: labelled; a folder or a CSV file.
        limit: at most so many photos; None for all.
        out: folder of results; `NAME/model.sqz` in it is a pipeline's file.
        reports: folder that the comparison is written into.
        only_existing: leave out pipelines whose file is not there.
        qps: quantization parameters of NNCodec; none leave it out.
        repeats: of all that is timed.
        device: where networks run; a GPU if there is one, unless told otherwise.
        command: how to make the comparison again.
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


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("pipelines", nargs=-1)
@click.option(
    "--photos",
    type=_PATH,
    default="../shared/data/validation-1000.csv",
    show_default=True,
    help="Labelled photos: folder/CSV.",
)
@click.option("--limit", type=click.IntRange(1), help="At most so many photos.")
@click.option("--out", type=_PATH, default="out", show_default=True, help="Folder of results.")
@click.option(
    "--reports",
    type=_PATH,
    default="reports/rate-accuracy",
    show_default=True,
    help="Folder to write the comparison into.",
)
@click.option("--only-existing", is_flag=True, help="Leave out pipelines whose file is not there.")
@click.option(
    "--qp",
    "qps",
    type=int,
    multiple=True,
    default=QPS,
    show_default=True,
    help="Quantization parameter of NNCodec; may be given several times.",
)
@click.option("--without-nncodec", is_flag=True, help="Leave NNCodec out.")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Of what is timed.")
@click.option("--device", help="Where networks run. [default: a GPU if there is one]")
def main(pipelines: tuple[str, ...], qps: tuple[int, ...], without_nncodec: bool, **options: Any) -> None:  # fmt: skip
    """Compare PIPELINES, names of ready ones, with each other and with NNCodec.

    Each is taken from OUT/NAME/model.sqz, and run first where that is not there.
    """
    command = as_text(shlex.join(["python", "-m", "benchmarks.rate_accuracy", *sys.argv[1:]]))
    chosen = () if without_nncodec else tuple(dict.fromkeys(qps))
    try:
        compare(Options(pipelines=pipelines or PIPELINES, qps=chosen, command=command, **options))
    except SqueezeError as error:
        console.error(str(error))
        sys.exit(error.exit_code)


def compare(options: Options) -> None:
    """Measure all points and write the three files.

    Raises:
        SqueezeError: photos or pipelines are not there, or something failed.
    """
    if not options.photos.exists():
        raise ConfigError(
            f"there are no photos at {options.photos}", key="--photos", allowed="a labelled folder or CSV"
        )
    files, left_out = choose(options.pipelines, options.out, options.only_existing)
    for gone in left_out:
        console.say(f"{gone.name}: left out, {gone.reason}")
    if not files and not options.qps:
        raise ConfigError("nothing is left to compare", key="PIPELINES", allowed="pipelines with a file, or NNCodec")
    bench = options.out / "bench"
    python = nncodec_peer.environment(bench / "nncodec") if options.qps else None
    for name, file in files.items():
        make(name, file, options.device)
    torch.use_deterministic_algorithms(True, warn_only=True)
    reference = Embedded().load()
    judge = Judge(reference, read_photos(options.photos, options.limit, reference, bench / "cache"), options.device)
    points = [judge.pipeline(name, file, options.repeats) for name, file in files.items()]
    versions: Mapping[str, str] = {}
    if python:
        weights = {name: tensor.to_dense() for name, tensor in reference.tensors.items()}
        coded, versions = nncodec_peer.code(python, weights, options.qps, bench / "coded", options.repeats)
        points += [judge.nncodec(result) for result in coded]
    write(_comparison(options, judge, points, left_out, versions), options.reports)


def _comparison(options: Options, judge: Judge, points: Sequence[Point], left_out: tuple[LeftOut, ...],
                peer_versions: Mapping[str, str]) -> Comparison:  # fmt: skip
    accuracy = metrics.accuracy(judge.expected)
    assert accuracy is not None  # there are labels
    source = Embedded()
    return Comparison(
        schema_version=SCHEMA_VERSION,
        network=judge.reference.architecture,
        weights_source=source.description,
        weights_sha256=container.weights_sha256(judge.reference),
        float_bytes=sum(tensor.to_dense().nbytes for tensor in judge.reference.tensors.values()),
        photos=run_record.data_record("validation", judge.photos),
        top1=accuracy.top1,
        top5=accuracy.top5,
        points=in_order(points),
        left_out=left_out,
        bootstrap_resamples=metrics.RESAMPLES,
        bootstrap_seed=SEED,
        command=options.command,
        versions=run_record.versions(),
        nncodec_versions=peer_versions,
        machine=run_record.machine(),
    )


def write(comparison: Comparison, folder: Path) -> None:
    """Write the drawing, the page and the JSON, each whole or not at all."""
    for name, text in (
        ("svg", chart.to_svg(comparison)),
        ("md", table.to_markdown(comparison)),
        ("json", to_json(comparison)),
    ):
        write_atomically(folder / f"rate-accuracy.{name}", text.encode())
    console.say(table.rates(comparison))
    console.say(f"comparison: {folder / 'rate-accuracy.md'}")


if __name__ == "__main__":
    main()
