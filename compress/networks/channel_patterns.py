"""Operations of a traced network that move values: shuffles of channels, slices, transpositions and padding."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from compress.networks.operations import REDUCTIONS, is_reshape, is_tensor, reduced_dimensions, shape, with_numbers

_VIEWS = {"view", "reshape", torch.reshape}
_PERMUTATIONS = {"permute", torch.permute}
_TRANSPOSES = {"transpose", torch.transpose, "swapaxes", torch.swapaxes, *_PERMUTATIONS}
_SWAPPED = {(1, 2), (2, 1), (0, 2, 1, 3, 4)}
"""Dimensions of `transpose` and `permute` that exchange groups and the channels of a group."""

_UNSQUEEZES = {"unsqueeze", torch.unsqueeze}
_SPLITS = {"chunk", torch.chunk, "split", torch.split}


@dataclass(frozen=True)
class Shuffle:
    """A channel shuffle, as in Zhang et al. 2018, arXiv:1707.01083, figure 1: view, transpose, view.

    Attributes:
        x: the node that is shuffled.
        groups: of its channels, before.
        steps: the nodes between it and the result.
    """

    x: fx.Node
    groups: int
    steps: frozenset[fx.Node]


def find_shuffles(graph: fx.Graph) -> Mapping[fx.Node, Shuffle]:
    """Return the shuffles of a graph by the node of the result."""
    return {node: found for node in graph.nodes if (found := _shuffle_of(node))}


def _shuffle_of(node: fx.Node) -> Shuffle | None:
    steps: list[fx.Node] = []

    def step_before(after: fx.Node, targets: set[object]) -> fx.Node | None:
        before = after.all_input_nodes[0] if after.all_input_nodes else None
        if before is None or before.target not in targets or len(before.users) != 1 or not is_tensor(before):
            return None
        steps.append(before)
        return before if len(shape(before)) == 5 else None

    if node.target not in _VIEWS or not is_tensor(node) or len(shape(node)) != 4:
        return None
    after = step_before(node, {"contiguous"}) or node
    swap = step_before(after, _TRANSPOSES)
    view = swap and step_before(swap, _VIEWS)
    if not swap or not view or _swapped_dimensions(swap) not in _SWAPPED:
        return None
    x = view.all_input_nodes[0]
    photos, groups, in_group, *extents = shape(view)
    if not is_tensor(x) or not shape(x) == shape(node) == (photos, groups * in_group, *extents):
        return None
    return Shuffle(x, groups, frozenset(steps))


def _swapped_dimensions(node: fx.Node) -> tuple[object, ...]:
    dimensions = node.args[1:]
    return tuple(dimensions[0]) if len(dimensions) == 1 and isinstance(dimensions[0], list | tuple) else dimensions


@dataclass(frozen=True)
class Slice:
    """Some channels of a value, or every pixel in steps.

    Attributes:
        x: the node that is read.
        first: channel.
        steps: of rows and columns.
    """

    x: fx.Node
    first: int
    steps: tuple[int, int]


def slices_of(node: fx.Node) -> list[range]:
    """Return the indices in each dimension that `x[:, 1:, ::2]` or `x[:, 0]` reads; none: it is another operation.

    A number removes its dimension, which has one index here.
    """
    if node.target is not operator.getitem or not isinstance(node.args[0], fx.Node) or not is_tensor(node.args[0]):
        return []
    extents, index = shape(node.args[0]), with_numbers(node.args[1])
    index = index if isinstance(index, tuple) else (index,)
    is_known = all(isinstance(each, slice | int) for each in index) and isinstance(index[0], slice)
    if len(index) > len(extents) or not is_known:
        return []
    ranges = [_indices(range(extent), part) for extent, part in zip(extents, index, strict=False)]
    ranges += [range(extent) for extent in extents[len(index) :]]
    return ranges if ranges[0] == range(extents[0]) and all(ranges) else []


def _indices(all_indices: range, part: slice | int) -> range:
    if isinstance(part, slice):
        return all_indices[part]
    first = all_indices[part]
    return range(first, first + 1)


def find_picks(graph: fx.Graph) -> Mapping[fx.Node, Slice]:
    """Return the choices of one channel by `x[:, 0].unsqueeze(1)`, by the node of the result."""
    picks: dict[fx.Node, Slice] = {}
    for node in graph.nodes:
        before = node.all_input_nodes[0] if node.target in _UNSQUEEZES and node.all_input_nodes else None
        ranges = slices_of(before) if before else []
        if before and len(ranges) == 4 and [len(each) for each in ranges[1:]] == [1, *shape(before)[1:]]:
            x = before.all_input_nodes[0]
            if is_tensor(node) and shape(node) == (shape(x)[0], 1, *shape(x)[2:]):
                picks[node] = Slice(x, ranges[1].start, (1, 1))
    return picks


def find_merged(graph: fx.Graph) -> Mapping[fx.Node, fx.Node]:
    """Return the maps of reductions over all positions, `x.flatten(2).mean(2)`, by the node of the result."""
    merged: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        view = node.all_input_nodes[0] if node.target in REDUCTIONS and node.all_input_nodes else None
        if view and is_tensor(view) and is_reshape(view) and len(shape(x := view.all_input_nodes[0])) == 4:
            photos, channels, height, width = shape(x)
            if shape(view) == (photos, channels, height * width) and reduced_dimensions(node) == [2]:
                merged[node] = x
    return merged


@dataclass(frozen=True)
class Piece:
    """A piece of a split value: `range` of the indices of one dimension."""

    x: fx.Node
    dimension: int
    range: range


def piece_of(node: fx.Node) -> Piece | None:
    """Return what an element of `chunk` or `split` reads, along any dimension but the photos'; None: other nodes."""
    if node.target is not operator.getitem or not isinstance(node.args[0], fx.Node):
        return None
    pieces, index = node.args[0], with_numbers(node.args[1])
    if pieces.target not in _SPLITS or not isinstance(index, int):
        return None
    x = pieces.all_input_nodes[0]
    shapes = [tuple(piece.shape) for piece in pieces.meta["tensor_meta"]]
    for dimension in range(1, len(shape(x))):
        counts = [each[dimension] for each in shapes]
        others = {(*each[:dimension], *each[dimension + 1 :]) for each in shapes}
        if sum(counts) == shape(x)[dimension] and others == {(*shape(x)[:dimension], *shape(x)[dimension + 1 :])}:
            number = range(len(counts))[index]
            return Piece(x, dimension, range(sum(counts[:number]), sum(counts[: number + 1])))
    return None


def transposed_dimensions(node: fx.Node) -> list[int]:
    """Return the order of dimensions after `transpose` or `permute`, with the photos first; none: other operations."""
    dimensions = _swapped_dimensions(node) if node.target in _TRANSPOSES and not node.kwargs else ()
    count = len(shape(node))
    if not dimensions or not all(isinstance(each, int) for each in dimensions):
        return []
    order = [int(str(each)) % count for each in dimensions]
    if len(order) == 2 and node.target not in _PERMUTATIONS:
        first, second = order
        order = [second if each == first else first if each == second else each for each in range(count)]
    return order if order[0] == 0 and sorted(order) == [*range(count)] else []


def slice_of(node: fx.Node) -> Slice | None:
    """Return what `x[:, a:b]`, `x[:, :, ::2, ::2]`, or an element of `chunk` and `split` reads; None: other nodes."""
    if node.target is not operator.getitem or not isinstance(node.args[0], fx.Node):
        return None
    if piece := piece_of(node):
        return Slice(piece.x, piece.range.start, (1, 1)) if piece.dimension == 1 else None
    ranges = slices_of(node)
    if len(ranges) not in {2, 4} or len(ranges) != len(shape(node)):
        return None
    _, channels, *pixels = ranges
    x, reads_all = node.args[0], all(each.start == 0 for each in pixels)
    covers = all(each == range(extent)[:: each.step] for each, extent in zip(pixels, shape(x)[2:], strict=True))
    if not reads_all or not covers or channels.step != 1:
        return None
    rows, columns = (each.step for each in pixels) if pixels else (1, 1)
    return Slice(x, channels.start, (rows, columns))


@dataclass(frozen=True)
class Padding:
    """Zeros around a value, before and behind its channels, rows and columns."""

    channels: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]


def padding_of(node: fx.Node, module: nn.Module | None) -> Padding | None:
    """Return the zeros that `F.pad` or a layer adds; None: it is another operation, or adds no zeros."""
    call: dict[str, Any] = {}
    if isinstance(module, nn.ZeroPad2d):
        call["pad"] = module.padding
    elif node.target is functional.pad:
        call = dict(zip(("pad", "mode", "value"), node.args[1:], strict=False)) | dict(node.kwargs)
    sides = [*with_numbers(call.get("pad", ()))]
    sides += [0] * (6 - len(sides))
    is_zeros = bool(call) and call.get("mode", "constant") == "constant" and not call.get("value")
    is_whole = len(sides) == 6 and all(isinstance(side, int) and side >= 0 for side in sides)
    if not is_zeros or not is_whole or len(shape(node)) != 4:
        return None
    return Padding((sides[4], sides[5]), (sides[2], sides[3]), (sides[0], sides[1]))
