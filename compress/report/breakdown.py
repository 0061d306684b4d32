"""What the bytes of a file are used for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from compress.report.record import FileRecord, LayerRecord, RunRecord, StageRecord


@dataclass(frozen=True)
class FileComponent:
    """Bytes of one kind.

    Attributes:
        color: CSS variable of the page.
    """

    name: str
    color: str
    byte_count: int
    description: str = ""


def file_components(file: FileRecord) -> tuple[FileComponent, ...]:
    """Return the components of a file in drawing order; their bytes sum to the file's."""
    return (
        FileComponent("indices", "part-indices", file.index_bytes, "coded codebook index or level of each weight"),
        FileComponent(
            "values", "part-values", file.value_bytes, "weights in floating point, without codebook or levels"
        ),
        FileComponent("positions", "part-positions", file.position_bytes, "positions of the nonzero weights"),
        FileComponent("codebooks", "part-codebooks", file.codebook_bytes, "values that the indices stand for"),
        FileComponent("scales", "part-scales", file.scale_bytes, "factors of rows, columns or kernel coefficients"),
        FileComponent("biases", "part-biases", file.bias_bytes, "biases and norms, never pruned"),
        FileComponent("class names", "part-names", file.label_bytes, "names of the network's classes"),
        FileComponent("header", "part-header", file.header_bytes, "layout, preprocessing and checksums"),
    )


def layer_components(layer: LayerRecord) -> tuple[FileComponent, ...]:
    """Return the components of one tensor."""
    has_codebook = layer.histogram is not None and bool(layer.histogram.codebook_marks)
    kind = "indices" if has_codebook else "values"
    return (
        FileComponent(kind, f"part-{kind}", layer.index_bytes),
        FileComponent("positions", "part-positions", layer.position_bytes),
        FileComponent("codebook", "part-codebooks", layer.codebook_bytes),
        FileComponent("scales", "part-scales", layer.scale_bytes),
    )


def layer_name(layer: LayerRecord) -> str:
    """Return the tensor's name without `.weight`."""
    return layer.name.removesuffix(".weight")


def layer_bytes(layer: LayerRecord) -> int:
    """Return the payload bytes of one tensor."""
    return sum(component.byte_count for component in layer_components(layer))


def entropy_excess(layer: LayerRecord) -> float:
    """Return the coded size of the symbols over their entropy, minus 1."""
    return (layer.index_bytes + layer.position_bytes) / layer.entropy_bytes - 1 if layer.entropy_bytes else 0.0


def weight_layers(record: RunRecord) -> list[LayerRecord]:
    """Return the tensors that passes compress: at least two dimensions."""
    return [layer for layer in record.layers if len(layer.shape) >= 2]


def used_columns(layers: list[LayerRecord]) -> list[tuple[str, str]]:
    """Return heading and attribute of the components of layers, without the ones that no layer has."""
    columns = [("Indices, values", "index_bytes"), ("Positions", "position_bytes")]
    columns += [("Codebook", "codebook_bytes"), ("Scales", "scale_bytes")]
    return [(title, key) for title, key in columns if any(getattr(layer, key) for layer in layers)]


def any_larger(stages: Sequence[StageRecord]) -> bool:
    """Return whether the file is larger after a stage than before it."""
    return any(before.file_bytes < after.file_bytes for before, after in pairwise(stages))
