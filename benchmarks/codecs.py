"""The codecs beside NNCodec and dahuffman: bytes, times, scale and start-up, in one run.

`python -m benchmarks.codecs` takes the symbols of two real networks, SqueezeNet v1.1 after `squeezenet-500k` and v1.0
as released with Deep Compression (`squeezenet1_0-lossless`), and writes into `reports/codecs`:

    codecs.md    the figures
    codecs.json  the same for programs, by the dataclasses here and in `benchmarks/codec_subjects.py`

Symbols are those that the file codes: of levels along a trellis, the indices in its quantizers. NNCodec codes the same
whole numbers without loss. Times are medians, on all cores where a codec can use them.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from benchmarks import codec_page, nncodec_peer
from benchmarks.codec_comparison import Comparison
from benchmarks.codec_scale import WEIGHTS, measure
from benchmarks.codec_startup import fresh_decode_seconds
from benchmarks.codec_subjects import Peers, network_times, subject_of, weights_of
from benchmarks.ready import make
from compress import container
from compress.cli import console
from compress.errors import SqueezeError
from compress.evaluation.text import as_text
from compress.networks.weight_sources import Embedded
from compress.pipeline import run_record
from compress.pipeline.run import MODEL_FILE
from compress.runtime.atomic_files import write_atomically
from compress.runtime.threads import cores

SUBJECTS = ("squeezenet-500k", "squeezenet1_0-lossless")
_QP = -26
"""At which NNCodec's file of SqueezeNet v1.1 is about as large as that of squeezenet-500k."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--out", type=click.Path(path_type=Path), default="out", show_default=True, help="Folder of results.")
@click.option(
    "--reports",
    type=click.Path(path_type=Path),
    default="reports/codecs",
    show_default=True,
    help="Folder to write into.",
)
@click.option("--repeats", type=click.IntRange(1), default=7, show_default=True, help="Of what is timed.")
@click.option(
    "--weights",
    type=click.IntRange(1),
    multiple=True,
    default=WEIGHTS,
    show_default=True,
    help="Synthetic weights to see how it scales; may be given several times.",
)
def main(out: Path, reports: Path, repeats: int, weights: Sequence[int]) -> None:
    """Compare the codecs with each other, with NNCodec and with dahuffman.

    Files are taken from OUT/NAME/model.sqz, and their pipelines run first where these are not there.
    """
    command = as_text(shlex.join(["python", "-m", "benchmarks.codecs", *sys.argv[1:]]))
    try:
        comparison = compare(out, repeats, tuple(weights), command)
        write_atomically(
            reports / "codecs.json", (json.dumps(dataclasses.asdict(comparison), indent=2) + "\n").encode()
        )
        write_atomically(reports / "codecs.md", codec_page.to_markdown(comparison).encode())
    except SqueezeError as error:
        console.error(str(error))
        sys.exit(error.exit_code)
    console.say(f"comparison: {reports / 'codecs.md'}")


def compare(out: Path, repeats: int, weights: Sequence[int], command: str) -> Comparison:
    """Measure everything.

    Raises:
        SqueezeError: a pipeline, NNCodec or a process of the comparison failed.
    """
    python = nncodec_peer.environment(out / "bench" / "nncodec")
    folder = out / "bench" / "symbols"
    paths = {name: out / name / MODEL_FILE for name in SUBJECTS}
    subjects = []
    versions: Mapping[str, str] = {}
    for name, path in paths.items():
        make(name, path, None)
        console.say(f"{name}: coding its symbols")
        subject, versions = subject_of(name, container.read(path), python, folder, repeats)
        subjects.append(subject)
    console.say("coding whole files")
    model = container.read(paths[SUBJECTS[0]])
    files, one_core = network_times(model, repeats)
    coded, _ = nncodec_peer.code(python, weights_of(Embedded().load()), (_QP,), folder, repeats)
    files[f"NNCodec, qp {_QP}"] = Peers(coded[0].file_bytes, coded[0].encode_seconds, coded[0].decode_seconds)
    startup = fresh_decode_seconds(paths[SUBJECTS[0]], repeats)
    scale = []
    for codec in ("huffman", "ans", "context"):
        for count in weights:
            console.say(f"{codec}: {count:,} synthetic weights")
            scale.append(measure(codec, count))
    return Comparison(
        subjects=tuple(subjects),
        files=files,
        one_core=one_core,
        scale=tuple(scale),
        startup_seconds=startup,
        repeats=repeats,
        cores=cores(),
        command=command,
        machine=run_record.machine(),
        versions=run_record.versions(),
        nncodec_versions=versions,
    )


if __name__ == "__main__":
    main()
