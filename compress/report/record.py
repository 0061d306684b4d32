"""The content of `report.json`.

Fractions run from 0 to 1. Raise `SCHEMA_VERSION` when a field is added, is removed or changes its meaning. The JSON
schema `docs/report.schema.json` contains the docstrings: write it again when they change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ConfigDict

from compress.evaluation.results import Accuracy, Fidelity, GoalRecord, PhotoOutcomes, Prediction
from compress.model import TrainingCurve
from compress.report.weight_histogram import WeightHistogram

SCHEMA_VERSION = 9

ALEXNET_BYTES = 240_000_000
"""AlexNet's float32 weights as the SqueezeNet paper counts them (arXiv:1602.07360, table 2)."""

SQUEEZENET_PAPER_BYTES = 470_000
"""SqueezeNet after Deep Compression with 6 bits, in the same table."""

_IMAGENET_CLASSES = 1000

MAX_CHANGED_PHOTOS = 24


@dataclass(frozen=True)
class StageRecord:
    """One stage and the model after it.

    Attributes:
        kind: the pass, or `baseline`, `encode` or `proof`.
        options: all options of the pass, as JSON values: lists, no tuples.
        file_bytes: size of the `.sqz` file if the pipeline ended here: before `encode`, with indices of a fixed width.
        sparsity: fraction of zeros among the weights that passes compress.
        bits_per_weight: `file_bytes` * 8 over the number of weights, those that no pass compresses among them.
        distinct_values: summed over the layers.
        seconds: the pass, validation excluded.
        validation_seconds: the validation after it.
        peak_memory_bytes: maximum resident memory during the stage.
        accuracy: None without labels.
        notes: what the stage left out, and why; of the baseline, how the network was prepared.
        from_cache: the result is of an earlier run, as are time and memory of the pass.
        training: of stages that train; None: of other stages.
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
    from_cache: bool = False
    training: TrainingCurve | None = None


@dataclass(frozen=True)
class LayerRecord:
    """One tensor of the file.

    Attributes:
        name: torchvision's tensor name.
        shape: output channels first.
        nonzero_weights: number of weights that are not pruned.
        index_bits: bits of a fixed-length index of the distinct values; 32 or 16 without a codebook.
        distinct_values: distinct values in use, zero included.
        scan_order: `out-in`, `in-out` or `kernel-first`.
        codec_bytes: size with each codec in its best scan order; empty without a codebook.
        entropy_bytes: order-0 entropy of the symbols / 8, code tables excluded; for trellis-coded levels, of the
            indices within their quantizers.
        index_bytes: coded indices and their code tables; without a codebook, the values.
        position_bytes: coded positions of the nonzero weights, if stored apart from the indices.
        scale_bytes: scales of rows, columns and kernel coefficients.
        histogram: None for biases.
        relative_error: squared error of the weights over their squared magnitude; None: not measured.
        divergence_nats: contribution of the layer's error to the divergence on calibration photos, to second order; of
            a network whose outputs are values, to the relative mean squared error. Negative within the precision of the
            measurement. None: not measured.
    """

    name: str
    shape: tuple[int, ...]
    weights: int
    nonzero_weights: int
    index_bits: int
    distinct_values: int
    codec: str
    scan_order: str
    codec_bytes: Mapping[str, int]
    entropy_bytes: float
    index_bytes: int
    position_bytes: int = 0
    codebook_bytes: int = 0
    scale_bytes: int = 0
    histogram: WeightHistogram | None = None
    relative_error: float | None = None
    divergence_nats: float | None = None


@dataclass(frozen=True)
class FileRecord:
    """The `.sqz` file on disk; the sizes from `header_bytes` on sum to `file_bytes`.

    Attributes:
        weights_sha256: hash of the decoded float32 tensors, in file order, little-endian.
        header_bytes: magic, version, header and checksums, without class names.
        label_bytes: class names.
        index_bytes: coded indices of weights in codebooks, and their code tables.
        value_bytes: weights without a codebook, as float32 or float16.
        bias_bytes: biases, norms and other tensors of one dimension.
    """

    path: str
    file_bytes: int
    sha256: str
    weights_sha256: str
    header_bytes: int
    label_bytes: int
    index_bytes: int
    value_bytes: int
    position_bytes: int
    codebook_bytes: int
    scale_bytes: int
    bias_bytes: int


@dataclass(frozen=True)
class DataRecord:
    """A set of photos.

    Attributes:
        role: `calibration` or `validation`.
        skipped: unreadable photos, each with the reason.
        fingerprint: hash of the photos' content.
    """

    role: str
    description: str
    photos: int
    labeled: bool
    skipped: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True)
class PhotoExample:
    """The most probable classes of one validation photo, best first.

    Attributes:
        photo: its name; empty: the report names no photos.
        before: of the float network.
        after: of the file.
    """

    photo: str
    before: tuple[Prediction, ...]
    after: tuple[Prediction, ...]


@dataclass(frozen=True)
class ChangedPhoto:
    """A validation photo that the file classifies differently than the float network.

    Attributes:
        label: name of its class; None: no label.
        before: answer of the float network.
        after: answer of the file.
        thumbnail: JPEG, base64; on disk, it is in a file beside the report. Empty: the file is missing.
    """

    photo: str
    label: str | None
    before: Prediction
    after: Prediction
    thumbnail: str = ""


@dataclass(frozen=True)
class RunRecord:
    """One run of one pipeline.

    Attributes:
        pipeline: name of the pipeline.
        description: the first comment of the pipeline.
        network: name of the architecture.
        weights_source: where the float weights came from.
        weights_sha256: hash of the float weights, as in `FileRecord`.
        parameters: number of weights and biases.
        uncompressed_parameters: number of them that no pass compresses.
        uncompressed_bytes: their bytes in the file.
        float_bytes: parameters * 4.
        stages: the baseline first, the proof last.
        layers: in the order of the network.
        example: the first validation photo; None: the network is no classifier.
        decode_seconds: time to read and decode the file in a fresh process, without the time to load code.
        command: command line that repeats the run.
        configuration: the pipeline as YAML, overrides applied.
        versions: Python and the packages that affect the result.
        machine: processor, cores and system.
        changed_photos: the validation photos whose answer changed, the most certain answers of both networks first,
            at most `MAX_CHANGED_PHOTOS`; None: the report shows no photos.
        outcomes: of the file, on each validation photo; on disk, in a file beside the report. None: that is missing, or
            the network is no classifier.
        compared: the compared part of the outputs, in words; empty: the logits of a classifier.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    schema_version: int
    pipeline: str
    description: str
    network: str
    weights_source: str
    weights_sha256: str
    parameters: int
    uncompressed_parameters: int
    uncompressed_bytes: int
    float_bytes: int
    seed: int
    goals: tuple[GoalRecord, ...]
    data: tuple[DataRecord, ...]
    stages: tuple[StageRecord, ...]
    layers: tuple[LayerRecord, ...]
    file: FileRecord
    example: PhotoExample | None
    decode_seconds: float
    command: str
    configuration: str
    versions: Mapping[str, str]
    machine: str
    changed_photos: tuple[ChangedPhoto, ...] | None = None
    outcomes: PhotoOutcomes | None = None
    compared: str = ""

    @property
    def is_imagenet_classifier(self) -> bool:
        """Whether the last layer has the outputs of ImageNet's 1,000 classes: AlexNet is comparable."""
        outputs = [layer.shape[0] for layer in self.layers if len(layer.shape) >= 2]
        return not self.compared and bool(outputs) and outputs[-1] == _IMAGENET_CLASSES
