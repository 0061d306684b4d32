"""The results of the codec comparison, and their page of Markdown, `codecs.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.codec_scale import ScaleResult
from benchmarks.codec_subjects import CodecCost, CodecSubject
from compress.report.formatting import excess, plural, seconds, thousands, times
from compress.report.markdown import markdown_table

_TIME_HEADINGS = ("encode", "times as fast", "decode", "times as fast")


@dataclass(frozen=True)
class CodecComparison:
    """All results.

    Attributes:
        subjects: symbols of real networks, with the cost of each codec.
        files: cost of a whole file of the first subject, for each coding and for NNCodec.
        one_core: cost of the same file with `context` on one core.
        scale: results for synthetic symbols.
        startup_seconds: time of a fresh process that imports `compress.container` and decodes the first subject's file.
        repeats: number of runs behind each median.
    """

    subjects: tuple[CodecSubject, ...]
    files: Mapping[str, CodecCost]
    one_core: CodecCost
    scale: tuple[ScaleResult, ...]
    startup_seconds: float
    repeats: int
    cores: int
    command: str
    machine: str
    versions: Mapping[str, str]
    nncodec_versions: Mapping[str, str]


def to_markdown(comparison: CodecComparison) -> str:
    """Return the page."""
    sections = [
        "# Codecs",
        f"Bytes include tables. Times are medians of {comparison.repeats} runs on {plural(comparison.cores, 'core')};"
        " `times as fast` compares with NNCodec in the same run.",
    ]
    for subject in comparison.subjects:
        sections += _subject_section(subject)
    sections += _files_section(comparison)
    sections += _scale_section(comparison)
    sections += [
        "## Start-up",
        f"A fresh process imports `compress.container` and decodes the first file in"
        f" {seconds(comparison.startup_seconds)}. This includes the start of Python; compiled code is in the cache.",
        "## How it was made",
        f"`{comparison.command}`, on {comparison.machine}; {_list_of(comparison.versions)}; NNCodec's environment:"
        f" {_list_of(comparison.nncodec_versions)}.",
    ]
    return "\n\n".join(sections) + "\n"


def _subject_section(subject: CodecSubject) -> list[str]:
    peer = subject.codecs["NNCodec"]
    costs = dict(subject.codecs)
    if subject.with_trellis:
        costs["context, with the trellis"] = subject.with_trellis
    rows = [
        (name, thousands(cost.coded_bytes), excess(cost.coded_bytes / subject.entropy_bytes - 1),
         thousands(subject.best_order_bytes[name]) if name in subject.best_order_bytes else "", *_times(cost, peer))
        for name, cost in costs.items()
    ]  # fmt: skip
    smaller = subject.smaller_huffman_bytes
    return [
        f"## {subject.name}",
        f"{thousands(subject.weights)} symbols of {plural(subject.layers, 'layer')}. The order-0 entropies of the"
        f" layers sum up to {thousands(subject.entropy_bytes)} bytes. The whole file, all codecs allowed:"
        f" {thousands(subject.file_bytes)} bytes.",
        markdown_table(("", "bytes", "against entropy", "best scan order", *_TIME_HEADINGS), rows),
        f"With the smaller of `huffman` and `huffman-runs` for each layer: {thousands(smaller)} bytes,"
        f" {excess(smaller / subject.entropy_bytes - 1)}. `huffman` decodes the largest layer in"
        f" {seconds(subject.huffman_decode_seconds)}, dahuffman's own decoder in"
        f" {seconds(subject.dahuffman_decode_seconds)}:"
        f" {times(subject.dahuffman_decode_seconds / subject.huffman_decode_seconds)} times as long.",
    ]


def _files_section(comparison: CodecComparison) -> list[str]:
    name, peer = next((name, cost) for name, cost in comparison.files.items() if name.startswith("NNCodec"))
    costs = {**comparison.files, "context, on one core": comparison.one_core}
    rows = [(key, thousands(cost.coded_bytes), *_times(cost, peer)) for key, cost in costs.items()]
    return [
        "## Whole files",
        f"`{comparison.subjects[0].name}` with biases, scales and header, from a model to bytes and back to float32"
        f" weights. {name} codes the float network in about as many bytes.",
        markdown_table(("", "bytes", *_TIME_HEADINGS), rows),
    ]


def _scale_section(comparison: CodecComparison) -> list[str]:
    rows = [
        (each.codec, thousands(each.weights), f"{each.encode_nanoseconds:.1f}", f"{each.decode_nanoseconds:.1f}",
         f"{each.memory_bytes:.1f}")
        for each in comparison.scale
    ]  # fmt: skip
    return [
        "## Scale",
        "One tensor of Laplacian symbols, on one core. Memory is the peak of the process beyond its memory without"
        " symbols; it includes the symbols and the stream.",
        markdown_table(("", "weights", "encode, ns each", "decode, ns each", "memory, bytes each"), rows),
    ]


def _times(cost: CodecCost, peer: CodecCost) -> Sequence[str]:
    return (
        seconds(cost.encode_seconds),
        times(peer.encode_seconds / cost.encode_seconds),
        seconds(cost.decode_seconds),
        times(peer.decode_seconds / cost.decode_seconds),
    )


def _list_of(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
