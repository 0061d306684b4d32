"""The values of a search, where they can be counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice, product

from compress.configuration.search_space import SearchParameter, Value

_MAX_POINTS = 10_000
"""Number of points among which an untried one is looked for."""


def untried_values(
    parameters: Sequence[SearchParameter], tried: Sequence[Mapping[str, Value]]
) -> Mapping[str, Value] | None:
    """Return values that no trial had; None if there are none, or infinitely many."""
    grids = [_grid(parameter) for parameter in parameters]
    if not all(grids):
        return None
    points = (dict(zip((each.key for each in parameters), values, strict=True)) for values in product(*grids))
    return next((point for point in islice(points, _MAX_POINTS) if point not in tried), None)


def _grid(parameter: SearchParameter) -> Sequence[Value]:
    """Return all values of a parameter; none if it is continuous."""
    limits = parameter.range
    if limits is None:
        return parameter.choices
    step = limits.step or (1 if parameter.is_whole else None)
    if step is None:
        return ()
    count = int((limits.max - limits.min) / step + 1e-9) + 1
    return [parameter.rounded(limits.min + index * step) for index in range(min(count, _MAX_POINTS))]
