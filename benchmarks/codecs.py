"""The codecs compared with NNCodec and dahuffman: bytes, times, scale and start-up, in one run.

`python -m benchmarks.codecs` takes the symbols of two real networks, SqueezeNet v1.1 of `squeezenet-500k` and v1.0 as
released with Deep Compression (`squeezenet1_0-lossless`), and writes into `reports/codecs`:

    codecs.md    the results as a page
    codecs.json  the results as JSON: the fields of `CodecComparison`

Symbols are those that the file codes: with a trellis, the indices in its quantizers. NNCodec codes the same integers
without loss. Times are medians; a codec may use all cores.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks import nncodec_peer
from benchmarks.benchmark_command import benchmark_command
from benchmarks.codec_page import CodecComparison, to_markdown
from benchmarks.codec_scale import WEIGHTS, measure_scale
from benchmarks.codec_subjects import CodecCost, measure_files, measure_subject
from benchmarks.pipeline_files import ensure_file
from benchmarks.timing import timed
from compress import container
from compress.cli import console
from compress.pipeline import environment
from compress.pipeline.runner import MODEL_FILE
from compress.runtime.atomic_files import write_atomically
from compress.runtime.file_names import escape_undecodable
from compress.runtime.threads import available_cores
from compress.weights.embedded_weights import EmbeddedWeights

SUBJECTS = ("squeezenet-500k", "squeezenet1_0-lossless")
_SCALED_CODECS = ("huffman", "context")
_DECODE = "import sys, compress.container; compress.container.read(sys.argv[1])"


@benchmark_command()
@click.option("--out", type=click.Path(path_type=Path), default="out", show_default=True, help="Folder of results.")
@click.option(
    "--reports",
    type=click.Path(path_type=Path),
    default="reports/codecs",
    show_default=True,
    help="Folder for the page and the JSON file.",
)
@click.option("--repeats", type=click.IntRange(1), default=7, show_default=True, help="Runs of each timing.")
@click.option(
    "--weights",
    type=click.IntRange(1),
    multiple=True,
    default=WEIGHTS,
    show_default=True,
    help="Number of synthetic weights for the scale; may be given several times.",
)
def main(out: Path, reports: Path, repeats: int, weights: Sequence[int]) -> None:
    """Compare the codecs with each other, with NNCodec and with dahuffman.

    Reads OUT/NAME/model.sqz, and runs the pipeline NAME first if that file does not exist.
    """
    command = escape_undecodable(shlex.join(["python", "-m", "benchmarks.codecs", *sys.argv[1:]]))
    comparison = compare(out, repeats, tuple(weights), command)
    write_atomically(reports / "codecs.json", (json.dumps(dataclasses.asdict(comparison), indent=2) + "\n").encode())
    write_atomically(reports / "codecs.md", to_markdown(comparison).encode())
    console.say(f"comparison: {reports / 'codecs.md'}")


def compare(out: Path, repeats: int, weights: Sequence[int], command: str) -> CodecComparison:
    """Measure everything.

    Raises:
        SqueezeError: a pipeline, NNCodec or a process of the comparison failed.
    """
    python = nncodec_peer.environment(out / "bench" / "nncodec")
    folder = out / "bench" / "symbols"
    paths = {name: out / name / MODEL_FILE for name in SUBJECTS}
    subjects = []
    for name, path in paths.items():
        ensure_file(name, path, None)
        console.say(f"{name}: coding its symbols")
        subjects.append(measure_subject(name, container.read(path), python, folder, repeats))
    console.say("coding whole files")
    files, one_core = measure_files(container.read(paths[SUBJECTS[0]]), repeats)
    float_weights = {name: tensor.to_dense() for name, tensor in EmbeddedWeights().load().tensors.items()}
    (coded,) = nncodec_peer.code(python, float_weights, (nncodec_peer.QP_OF_500_KB,), folder, repeats)
    files[f"NNCodec, qp {coded.qp}"] = CodecCost(coded.file_bytes, coded.encode_seconds, coded.decode_seconds)
    decode = [sys.executable, "-c", _DECODE, str(paths[SUBJECTS[0]])]
    _, startup = timed(lambda: subprocess.run(decode, check=True), repeats)
    scale = []
    for codec in _SCALED_CODECS:
        for count in weights:
            console.say(f"{codec}: {count:,} synthetic weights")
            scale.append(measure_scale(codec, count))
    return CodecComparison(
        subjects=tuple(subjects),
        files=files,
        one_core=one_core,
        scale=tuple(scale),
        startup_seconds=startup,
        repeats=repeats,
        cores=available_cores(),
        command=command,
        machine=environment.machine(),
        versions=environment.versions(),
        nncodec_versions=nncodec_peer.versions(python),
    )


if __name__ == "__main__":
    main()
