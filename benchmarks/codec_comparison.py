"""What the comparison of codecs measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.codec_scale import Scale
from benchmarks.codec_subjects import Peers, Subject


@dataclass(frozen=True)
class Comparison:
    """All that was measured.

    Attributes:
        subjects: symbols of real networks, and their bytes with each codec.
        files: seconds to encode and to decode a whole file of the first subject, with each coding and with NNCodec.
        one_core: the same of `context` with one core, where there are more.
        scale: of synthetic symbols.
        startup_seconds: of a fresh process that imports `compress.container` and decodes the first subject's file.
        repeats: of which medians are taken.
    """

    subjects: tuple[Subject, ...]
    files: Mapping[str, Peers]
    one_core: Peers
    scale: tuple[Scale, ...]
    startup_seconds: float
    repeats: int
    cores: int
    command: str
    machine: str
    versions: Mapping[str, str]
    nncodec_versions: Mapping[str, str]
