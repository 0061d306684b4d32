"""What a run records: the content of `report.json`.

Units are in the names; fractions run from 0 to 1. A field that is added, changes its meaning, or goes, raises
`SCHEMA_VERSION`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ConfigDict

from compress.evaluation.results import Accuracy, Fidelity, GoalRecord

SCHEMA_VERSION = 2
ALEXNET_BYTES = 240_000_000
"""AlexNet's float32 weights as the SqueezeNet paper counts them (arXiv:1602.07360, table 2)."""


@dataclass(frozen=True)
class StageRecord:
    """One stage and what it left.

    Attributes:
        name: the stage's name in the pipeline.
        kind: the pass, or `baseline` or `proof`.
        options: the options it ran with, all of them, as JSON values: lists, no tuples.
        file_bytes: the `.sqz` file, had the pipeline stopped here; everything in it.
        sparsity: share of zeros among the weights (biases not counted).
        bits_per_weight: `file_bytes` * 8 over the number of weights.
        distinct_values: distinct weight values, summed over the layers.
        seconds: the pass itself, validation not counted.
        validation_seconds: the validation after it.
        peak_memory_bytes: most resident memory of the process during the stage.
        accuracy: None where the validation photos have no labels.
        fidelity: against the float network.
        notes: sentences that the pass wants a reader to see.
    """

    name: str
    kind: str
    options: Mapping[str, object]
    file_bytes: int
    sparsity: float
    bits_per_weight: float
    distinct_values: int
    seconds: float
    validation_seconds: float
    peak_memory_bytes: int
    accuracy: Accuracy | None
    fidelity: Fidelity
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Histogram:
    """Counts between edges; `len(edges) == len(counts) + 1`."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class LayerRecord:
    """One tensor of the file.

    Attributes:
        name: torchvision's tensor name.
        shape: as in torch, output channels first.
        weights: product of the shape.
        kept: how many are not pruned.
        index_bits: bits that a plain index into the codebook takes; 32 (or 16) for values stored as they are.
        distinct_values: entries of the codebook in use, zero included; for plain values, how many differ.
        codec: name of the codec of the indices.
        order: in which they are coded: `out-in`, `in-out` or `kernel-first`.
        codec_bytes: what the indices would take with each codec, in the order that suits it best; empty for plain
            values.
        entropy_bytes: order-0 entropy of the symbols / 8, tables not counted; what an ideal static code would take.
            Of levels along a trellis that the codec knows, that of the indices in its quantizers.
        index_bytes: coded indices, their code tables included; for plain values, the values.
        position_bytes: coded positions of kept weights, where the codec keeps them apart from the indices.
        codebook_bytes: the codebook.
        scale_bytes: scales of rows, columns and kernels' coefficients.
        before: histogram of the float weights, or of the kernels' coefficients where these are shared, divided by the
            scales where there are any; None for biases.
        after: of what is not zero of them after decoding, divided likewise, on the same edges; None for biases.
        shared_values: the codebook, to be marked in the histogram; empty where no weights are shared.
    """

    name: str
    shape: tuple[int, ...]
    weights: int
    kept: int
    index_bits: int
    distinct_values: int
    codec: str
    order: str
    codec_bytes: Mapping[str, int]
    entropy_bytes: float
    index_bytes: int
    position_bytes: int
    codebook_bytes: int
    scale_bytes: int
    before: Histogram | None
    after: Histogram | None
    shared_values: tuple[float, ...] = ()


@dataclass(frozen=True)
class FileRecord:
    """The `.sqz` file on disk; the parts below sum to `file_bytes`.

    Attributes:
        sha256: of the file.
        weights_sha256: of its decoded float32 tensors, in order, little-endian.
        header_bytes: magic, version, header and checksums; class names not counted.
        label_bytes: class names.
    """

    path: str
    file_bytes: int
    sha256: str
    weights_sha256: str
    header_bytes: int
    label_bytes: int
    index_bytes: int
    position_bytes: int
    codebook_bytes: int
    scale_bytes: int
    bias_bytes: int


@dataclass(frozen=True)
class DataRecord:
    """Photos used; `labelled` says whether accuracy could be measured on them."""

    role: str
    description: str
    photos: int
    labelled: bool
    skipped: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True)
class Record:
    """One run of one pipeline.

    Attributes:
        schema_version: `SCHEMA_VERSION` of the program that wrote it.
        pipeline: name of the pipeline.
        description: its first comment, or empty.
        network: architecture's name.
        weights_source: sentence on where the float weights came from.
        weights_sha256: of the float32 tensors, as in `FileRecord`.
        parameters: weights and biases.
        float_bytes: parameters * 4.
        stages: the baseline first, the proof last.
        layers: in the network's order.
        proof_seconds: reading and decoding the file in a fresh process, imports not counted.
        command: how to run it again.
        configuration: the whole pipeline as YAML, overrides applied.
        versions: of the packages that decide the result, and of Python.
        machine: processor, cores and system.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    schema_version: int
    pipeline: str
    description: str
    network: str
    weights_source: str
    weights_sha256: str
    parameters: int
    float_bytes: int
    seed: int
    goals: tuple[GoalRecord, ...]
    data: tuple[DataRecord, ...]
    stages: tuple[StageRecord, ...]
    layers: tuple[LayerRecord, ...]
    file: FileRecord
    proof_seconds: float
    command: str
    configuration: str
    versions: Mapping[str, str]
    machine: str
