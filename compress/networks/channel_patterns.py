"""Operations on the channels of a traced network that are written in several steps: shuffles, slices and padding."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from compress.networks.operations import is_tensor, shape, with_numbers

_VIEWS = {"view", "reshape", torch.reshape}
_TRANSPOSES = {"transpose", torch.transpose, "permute", torch.permute, "swapaxes", torch.swapaxes}
_SWAPPED = {(1, 2), (2, 1), (0, 2, 1, 3, 4)}
"""Dimensions of `transpose` and `permute` that exchange groups and the channels of a group."""

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


def slice_of(node: fx.Node) -> Slice | None:
    """Return what `x[:, a:b]`, `x[:, :, ::2, ::2]`, or an element of `chunk` and `split` reads; None: other nodes."""
    if node.target is not operator.getitem or not isinstance(node.args[0], fx.Node):
        return None
    x, index = node.args[0], with_numbers(node.args[1])
    if isinstance(index, int) and x.target in _SPLITS:
        return _piece(x, index)
    if not is_tensor(x) or len(shape(x)) not in {2, 4} or not isinstance(index, tuple) or len(index) > len(shape(x)):
        return None
    if not all(isinstance(each, slice) for each in index):
        return None
    ranges = [range(extent)[part] for extent, part in zip(shape(x), index, strict=False)]
    ranges += [range(extent) for extent in shape(x)[len(index) :]]
    photos, channels, *pixels = ranges
    reads_all = photos == range(shape(x)[0]) and all(each.start == 0 for each in pixels)
    covers = all(each == range(extent)[:: each.step] for each, extent in zip(pixels, shape(x)[2:], strict=True))
    if not reads_all or not covers or channels.step != 1:
        return None
    rows, columns = (each.step for each in pixels) if pixels else (1, 1)
    return Slice(x, channels.start, (rows, columns))


def _piece(pieces: fx.Node, index: int) -> Slice | None:
    """Return a piece of the channels; None: other dimensions are split."""
    x = pieces.all_input_nodes[0]
    shapes = [tuple(piece.shape) for piece in pieces.meta["tensor_meta"]]
    photos, channels, *extents = shape(x)
    counts = [each[1] for each in shapes]
    if sum(counts) != channels or any(each != (photos, each[1], *extents) for each in shapes):
        return None
    return Slice(x, sum(counts[: range(len(counts))[index]]), (1, 1))


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
