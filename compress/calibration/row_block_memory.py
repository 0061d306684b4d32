"""Row blocks in a fixed memory: rows of large layers share a block, the same ones on every machine."""

from __future__ import annotations

import math
from collections.abc import Mapping

from compress.errors import PassError

ROW_BLOCK_BYTES = 1_200_000_000
"""Default memory for the row blocks of all layers together. SqueezeNet takes 1.14 GB."""

_MAX_LAYER_ENTRIES = 264 * 10**6
"""Largest number of entries in the row blocks of a layer: a classifier of 1,000 classes and 512 channels. Slightly more
than half are stored. Adjacent rows of larger layers, often similar classes, share a block."""

_BYTES_PER_ENTRY = 2
"""Bytes of an entry of a row block: half of the entries are stored, as float32."""


def check_row_length(name: str, columns: int) -> None:
    """Check that a row of a layer is short enough for statistics.

    Raises:
        PassError: it is not.
    """
    if columns**2 > _MAX_LAYER_ENTRIES:
        raise PassError(
            f"statistics of a row of {columns:,} weights take {columns**2 * 8 / 1e9:,.1f} GB (allowed: rows up to "
            f"{math.isqrt(_MAX_LAYER_ENTRIES):,} weights); use passes without statistics, as prune by magnitude",
            tensor=name,
        )


def row_groups_by_layer(shapes: Mapping[str, tuple[int, int]], row_block_bytes: int) -> dict[str, int]:
    """Return the number of row blocks of each layer: as many as fit into memory, fewer for the largest layers.

    Args:
        shapes: rows and columns of each layer, by name.
        row_block_bytes: memory for the row blocks of all layers; 0: one for each layer.
    """
    if row_block_bytes == 0:
        return dict.fromkeys(shapes, 1)
    groups = {name: max(1, min(rows, _MAX_LAYER_ENTRIES // columns**2)) for name, (rows, columns) in shapes.items()}
    while True:
        entries = {name: count * shapes[name][1] ** 2 for name, count in groups.items()}
        divided = [name for name, count in groups.items() if count > 1]
        if not divided or sum(entries.values()) * _BYTES_PER_ENTRY <= row_block_bytes:
            return groups
        groups[max(divided, key=lambda name: entries[name])] //= 2
