"""Where the bytes of a file went."""

from __future__ import annotations

from dataclasses import dataclass

from compress.report.record import FileRecord, LayerRecord, Record


@dataclass(frozen=True)
class Part:
    """Bytes of one kind.

    Attributes:
        name: what they hold, in words.
        tone: the page's CSS variable for it.
        meaning: one sentence.
    """

    name: str
    tone: str
    bytes: int
    meaning: str


def parts_of(file: FileRecord) -> tuple[Part, ...]:
    """Return the parts of a file, in the order in which they are drawn; they sum to its bytes."""
    return (
        Part("indices", "part-indices", file.index_bytes, "which shared value each weight takes, entropy-coded"),
        Part("positions", "part-positions", file.position_bytes, "where the kept weights are"),
        Part("codebooks", "part-codebooks", file.codebook_bytes, "the shared values themselves"),
        Part("scales", "part-scales", file.scale_bytes, "one factor per row, column or coefficient, where used"),
        Part("biases", "part-biases", file.bias_bytes, "never pruned"),
        Part("class names", "part-names", file.label_bytes, "so that the file can say what it sees"),
        Part("header", "part-header", file.header_bytes, "layout, preprocessing and checksums"),
    )


def layer_parts(layer: LayerRecord) -> tuple[Part, ...]:
    """Return the parts of one tensor."""
    return (
        Part("indices", "part-indices", layer.index_bytes, ""),
        Part("positions", "part-positions", layer.position_bytes, ""),
        Part("codebook", "part-codebooks", layer.codebook_bytes, ""),
        Part("scales", "part-scales", layer.scale_bytes, ""),
    )


def layer_name(layer: LayerRecord) -> str:
    """Return a tensor's name as readers know the layer: without `.weight`."""
    return layer.name.removesuffix(".weight")


def layer_bytes(layer: LayerRecord) -> int:
    """Return all payload bytes of one tensor."""
    return sum(part.bytes for part in layer_parts(layer))


def entropy_excess(layer: LayerRecord) -> float:
    """Return by what share the coded symbols are larger than their entropy; negative where they are smaller."""
    return (layer.index_bytes + layer.position_bytes) / layer.entropy_bytes - 1 if layer.entropy_bytes else 0.0


def weight_layers(record: Record) -> list[LayerRecord]:
    """Return the tensors that passes compress: two dimensions or more."""
    return [layer for layer in record.layers if len(layer.shape) >= 2]


def bias_layers(record: Record) -> list[LayerRecord]:
    """Return the other tensors."""
    return [layer for layer in record.layers if len(layer.shape) < 2]
