"""Bytes of the same layer in several runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compress.report.breakdown import layer_bytes, layer_name, weight_layers
from compress.report.record import RunRecord


@dataclass(frozen=True)
class LayerDifference:
    """A layer with values for each run, in their order; None: the run has no such layer.

    Attributes:
        byte_counts: payload bytes of its weights.
        nonzero: fraction of the weights that are not pruned.
        distinct_values: distinct values in use, zero included.
    """

    name: str
    byte_counts: tuple[int | None, ...]
    nonzero: tuple[float | None, ...]
    distinct_values: tuple[int | None, ...]


def layer_differences(records: Sequence[RunRecord]) -> tuple[LayerDifference, ...]:
    """Return every layer with weights, in the order of the first run that has it."""
    layers = [{layer_name(layer): layer for layer in weight_layers(record)} for record in records]
    return tuple(
        LayerDifference(
            name=name,
            byte_counts=tuple(layer_bytes(each[name]) if name in each else None for each in layers),
            nonzero=tuple(
                each[name].nonzero_weights / max(each[name].weights, 1) if name in each else None for each in layers
            ),
            distinct_values=tuple(each[name].distinct_values if name in each else None for each in layers),
        )
        for name in dict.fromkeys(name for each in layers for name in each)
    )
