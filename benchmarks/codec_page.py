"""The comparison of codecs in words: `codecs.md`."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.codec_comparison import Comparison
from benchmarks.codec_subjects import Peers, Subject
from benchmarks.table import markdown_table
from compress.report.formatting import excess, plural, seconds, thousands, times

_HEADS = ("encode", "times as fast", "decode", "times as fast")


def to_markdown(comparison: Comparison) -> str:
    """Return the page."""
    parts = [
        "# Codecs",
        f"Bytes count tables and all. Times are medians of {comparison.repeats}, on {plural(comparison.cores, 'core')};"
        " ratios are how many times as fast as NNCodec, measured in the same run.",
    ]
    for subject in comparison.subjects:
        parts += _subject(subject)
    parts += _files(comparison)
    parts += _scale(comparison)
    parts += [
        "## Start-up",
        f"A fresh process that imports `compress.container` and decodes the first file takes"
        f" {seconds(comparison.startup_seconds)}, Python's own start included, compiled code being in its cache.",
        "## How it was made",
        f"`{comparison.command}`, on {comparison.machine}; "
        + ", ".join(f"{name} {version}" for name, version in comparison.versions.items())
        + "; beside NNCodec: "
        + ", ".join(f"{name} {version}" for name, version in comparison.nncodec_versions.items())
        + ".",
    ]
    return "\n\n".join(parts) + "\n"


def _subject(subject: Subject) -> list[str]:
    peer = subject.codecs["NNCodec"]
    rows = [
        (name, thousands(coded.coded_bytes), excess(coded.coded_bytes / subject.entropy_bytes - 1),
         thousands(subject.best_order_bytes[name]) if name in subject.best_order_bytes else "", *_times(coded, peer))
        for name, coded in subject.codecs.items()
    ]  # fmt: skip
    if along := subject.along_trellis:
        told = ("context, told of the trellis", thousands(along.coded_bytes),
                excess(along.coded_bytes / subject.entropy_bytes - 1), "", *_times(along, peer))  # fmt: skip
        rows.append(told)
    smaller = subject.smaller_huffman_bytes
    return [
        f"## {subject.name}",
        f"{thousands(subject.weights)} symbols of {plural(subject.layers, 'layer')}; the order-0 entropy of each layer,"
        f" summed, is {thousands(subject.entropy_bytes)} bytes. The whole file, all codecs allowed:"
        f" {thousands(subject.file_bytes)} bytes.",
        markdown_table(
            ("", "bytes", "against entropy", "best order", *_HEADS),
            rows,
        ),
        f"Of each layer the smaller of `huffman` and `huffman-runs`: {thousands(smaller)} bytes,"
        f" {excess(smaller / subject.entropy_bytes - 1)}. On the largest layer `huffman` decodes in"
        f" {seconds(subject.huffman_decode_seconds)}, dahuffman's own decoder in"
        f" {seconds(subject.dahuffman_decode_seconds)}:"
        f" {times(subject.dahuffman_decode_seconds / subject.huffman_decode_seconds)} times as long.",
    ]


def _files(comparison: Comparison) -> list[str]:
    name, peer = next((name, coded) for name, coded in comparison.files.items() if name.startswith("NNCodec"))
    rows = [(key, thousands(coded.coded_bytes), *_times(coded, peer)) for key, coded in comparison.files.items()]
    one = comparison.one_core
    rows.append(("context, on one core", thousands(one.coded_bytes), *_times(one, peer)))
    return [
        "## Whole files",
        f"`{comparison.subjects[0].name}` with biases, scales and header, from a model to bytes and back to float32"
        f" weights; beside {name} of the float network, which is about as large.",
        markdown_table(("", "bytes", *_HEADS), rows),
    ]


def _scale(comparison: Comparison) -> list[str]:
    rows = [
        (each.codec, thousands(each.weights), f"{each.encode_nanoseconds:.1f}", f"{each.decode_nanoseconds:.1f}",
         f"{each.memory_bytes:.1f}")
        for each in comparison.scale
    ]  # fmt: skip
    return [
        "## Scale",
        "One tensor of Laplacian symbols, on one core. Memory is the most that the process held beyond what it had"
        " without them, symbols and stream included.",
        markdown_table(("", "weights", "encode, ns each", "decode, ns each", "memory, bytes each"), rows),
    ]


def _times(coded: Peers, peer: Peers) -> Sequence[str]:
    return (
        seconds(coded.encode_seconds),
        times(peer.encode_seconds / coded.encode_seconds),
        seconds(coded.decode_seconds),
        times(peer.decode_seconds / coded.decode_seconds),
    )
