"""Results of the codec comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.codec_scale import ScaleResult
from benchmarks.codec_subjects import CodecCost, CodecSubject


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
