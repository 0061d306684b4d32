"""Statistics of a network on photos: what an error in a weight costs.

To second order, changing a layer's weights by `E` (rows: output channels; columns: input channel and kernel position)
raises the divergence of the network's outputs by

    0.5 * sum_ij E[i] @ F[i, j] @ E[j],  F[i, j] = mean over photos of g[i] g[j]^T

where `g` is the gradient of the layer's weights when the logits are pulled along a random direction whose covariance
is the softmax's: F is the Fisher information. No photo needs a label. Within a row, what all rows of the layer say
together is the part of it that is known well from few photos (as K-FAC's input factor, Martens & Grosse 2015,
arXiv:1503.05671, but with gradients summed over positions first, as weights are shared over them: Eschenhagen et al.
2023, arXiv:2311.00636). What one row says by itself is noisier, and is mixed in. Between rows, what all columns say
together is known (K-FAC's output factor), as if it were the same in each; of that a part is believed.

In the last layer each row is a class, and of each class few photos say something. So nothing is left to a draw there:
a row's moment is the mean over photos of `p * (1 - p) * g g^T`, where `g` is the gradient of that class' logit. And the
softmax `p` is softened, so that a photo says something of all the classes that it resembles.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.calibration.example_gradients import photo_gradients
from compress.calibration.layer_statistics import LayerStatistics, group_of_rows
from compress.calibration.packed_triangular import symmetric
from compress.errors import DataError, PassError
from compress.networks.layer_calls import Call, Layer, recorded
from compress.runtime.distributed import ALONE, Ranks
from compress.runtime.progress import Advance

Floats = NDArray[np.float64]
Block = TypeVar("Block", Tensor, Floats)

_LEAST_SHARE = 0.05
"""A row's cost is at least this share of its layer's mean."""

_MOST_OWN_ENTRIES = 264 * 10**6
"""Entries that the rows' own moments of one layer may have, of which little more than half take memory: as many as
those of a classifier of 1,000 classes and 512 channels. Rows of larger layers are put into groups of neighbours, as
classes are mostly in an order in which neighbours are alike."""

_MOST_ENTRIES_IN_ALL = 58 * 10**7
"""Those of all layers together; a SqueezeNet has 570 million."""

_BLOCK = 96
"""Rows of a moment that are gathered together, from the first of their diagonal on: what lies before is known by
symmetry, and takes neither memory nor time."""

_TEMPERATURE = 2.5
"""Divides the logits before the softmax that says of which classes a photo tells something."""

_MOST_COUPLED_ROWS = 256
"""Rows of a layer for which it is gathered how their errors go together: making up for them takes time with the square
of their number."""

_Runs = list[tuple[Call, Tensor]]
"""A layer's runs, and the gradients of their outputs."""


class Batch(NamedTuple):
    """Photos that run together.

    Attributes:
        photos: how many.
        inputs: (photos, channels, height, width), on the network's device; None where another process runs them.
        weights: shape (photos,), how much each counts; None for all alike.
    """

    photos: int
    inputs: Tensor | None
    weights: Tensor | None = None


def collect(
    network: nn.Module,
    batches: Iterable[Batch],
    generator: torch.Generator,
    advance: Advance,
    *,
    own: bool = False,
    ranks: Ranks = ALONE,
) -> dict[str, LayerStatistics]:
    """Run photos through a network, forth and back, and gather the statistics of every weight tensor.

    Args:
        network: in evaluation mode; its weights are not changed.
        batches: the photos.
        generator: draws the directions in which the logits are pulled.
        advance: called with the number of photos done.
        own: gather the rows' own moments too, in groups where those of each row would take more than 620 MB a layer or
            1.4 GB in all; and the correlation between rows, but of the last layer, whose rows are classes, of layers
            of more than 256, and where channels are in groups.
        ranks: processes whose photos are taken together; each has a batch at least.
    Returns:
        statistics by the name of the weight tensor.
    Raises:
        DataError: there were no photos.
        PassError: a layer's statistics would not fit into memory.
    """
    sums: dict[str, _Sums] = {}
    counted, elsewhere, groups = 0.0, list[int](), dict[str, int]()
    for photos, inputs, weights in batches:
        counted += photos if weights is None else float(weights.sum())
        if inputs is None:
            elsewhere.append(photos)
            continue
        with recorded(network) as calls:
            logits = network(inputs)
            outputs = [call.outputs for call in calls]
            for others in elsewhere:  # their directions are drawn too, so that each photo has the same whoever runs it
                torch.randn((others, logits.shape[1]), generator=generator)
            elsewhere.clear()
            roots = logits.new_ones(photos) if weights is None else weights.to(logits).sqrt()
            pulled = roots[:, None] * _direction(logits.detach(), generator)
            last = calls[-1].weight
            within_rows = _by_class(logits, [call for call in calls if call.weight == last], roots) if own else {}
            gradients = torch.autograd.grad(logits, outputs, pulled, allow_unused=True)
        for name, runs in _by_weight(calls, gradients).items():
            if name not in sums:
                groups = groups or (_groups({call.weight: call.layer for call in calls}) if own else {})
                coupled = own and name != last and all(_rows_go_together(call.layer) for call, _ in runs)
                sums[name] = _Sums(name, runs[0][0].layer, groups.get(name, 1), coupled)
            sums[name].add(runs, photos, within_rows.get(name, runs))
        advance(photos)
    if not counted:
        raise DataError("calibration needs at least one photo")
    for total in sums.values():
        ranks.sum(*total.sums())
    statistics = {name: sums.pop(name).statistics(counted) for name in list(sums)}  # each makes room for the next
    statistics[last] = statistics[last].pooled()
    return statistics


def _by_weight(calls: Sequence[Call], gradients: Sequence[Tensor | None]) -> dict[str, _Runs]:
    """Return each weight tensor's runs and the gradients of their outputs, zero where nothing reads an output."""
    found: dict[str, _Runs] = {}
    for call, gradient in zip(calls, gradients, strict=True):
        given = torch.zeros_like(call.outputs) if gradient is None else gradient
        found.setdefault(call.weight, []).append((call, given))
    return found


def _by_class(logits: Tensor, calls: Sequence[Call], roots: Tensor) -> dict[str, _Runs]:
    """Return the last layer's runs, each class pulled as far as photos suggest it; none if its rows are no classes.

    Args:
        logits: of the photos.
        calls: of the last layer.
        roots: shape (photos,), of how much each photo counts.
    """
    if len(calls[0].layer.weight) != logits.shape[1]:
        return {}
    suggested = (logits.detach() / _TEMPERATURE).softmax(1)
    pulled = roots[:, None] * (suggested * (1 - suggested)).sqrt()
    outputs = [call.outputs for call in calls]
    return _by_weight(calls, torch.autograd.grad(logits, outputs, pulled, retain_graph=True, allow_unused=True))


def _groups(layers: Mapping[str, Layer]) -> dict[str, int]:
    """Return into how many groups the rows of each layer are put, so that their own moments fit into memory."""
    shapes = {name: layer.weight.flatten(1).shape for name, layer in layers.items()}
    most = _MOST_OWN_ENTRIES
    while True:
        groups = {name: max(1, min(rows, most // columns**2)) for name, (rows, columns) in shapes.items()}
        entries = sum(count * shapes[name][1] ** 2 for name, count in groups.items())
        if entries <= _MOST_ENTRIES_IN_ALL or max(groups.values()) == 1:
            return groups
        most //= 2


def _rows_go_together(layer: Layer) -> bool:
    """Tell whether a layer's rows are few enough, and read the same channels, so that their errors can be compared."""
    return len(layer.weight) <= _MOST_COUPLED_ROWS and getattr(layer, "groups", 1) == 1


def _direction(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Draw directions with the covariance of the softmax's Fisher information, diag(p) - p p^T."""
    probabilities = logits.softmax(1)
    drawn = torch.randn(probabilities.shape, generator=generator).to(logits) * probabilities.sqrt()
    return drawn - probabilities * drawn.sum(1, keepdim=True)


class _Sums:
    """Running sums of one layer."""

    def __init__(self, name: str, layer: Layer, groups: int, coupled: bool) -> None:
        rows, columns = layer.weight.flatten(1).shape
        if columns**2 > _MOST_OWN_ENTRIES:
            raise PassError(
                f"a row of {columns:,} weights: its statistics would take {columns**2 * 8 / 1e9:,.1f} GB (allowed: "
                f"rows up to {math.isqrt(_MOST_OWN_ENTRIES):,}); take passes that need none, as prune by magnitude",
                tensor=name,
            )
        self.row_fisher = torch.zeros(rows, dtype=torch.float64)
        self.bias_fisher = torch.zeros(rows, dtype=torch.float64)
        self.groups, self.columns = groups, columns
        self.own = [
            torch.zeros(groups, min(_BLOCK, columns - start), columns - start, device=layer.weight.device)
            for start in range(0, columns, _BLOCK)
        ]
        self.between = torch.zeros(rows, rows, device=layer.weight.device) if coupled else None

    def sums(self) -> list[Tensor]:
        """Return all that is summed over photos."""
        summed = (*self.own, self.between, self.row_fisher, self.bias_fisher)
        return [each for each in summed if each is not None]

    def add(self, runs: _Runs, photos: int, within_rows: _Runs) -> None:
        """Add photos: what errors cost by the gradients of `runs`, where in a row by those of `within_rows`."""
        weight_gradients, bias_gradients = _summed_gradients(runs, photos)
        self.row_fisher += weight_gradients.square().sum((0, 2)).double().cpu()
        self.bias_fisher += bias_gradients.square().sum(0).double().cpu()
        if within_rows is not runs:
            weight_gradients, _ = _summed_gradients(within_rows, photos)
        by_row = weight_gradients.transpose(0, 1)
        if self.between is not None:
            together = by_row.flatten(1)
            self.between.addmm_(together, together.T)
        if self.groups == len(by_row):
            for start, part in self._blocks():
                within = by_row[..., start : start + _BLOCK]
                torch.baddbmm(part, within.transpose(1, 2), by_row[..., start:], out=part)  # in place
            return
        sizes = np.bincount(group_of_rows(len(by_row), self.groups)).tolist()
        for group, rows in enumerate(torch.split(by_row, sizes)):
            flat = rows.flatten(0, 1)
            for start, part in self._blocks():
                part[group].addmm_(flat[:, start : start + _BLOCK].T, flat[:, start:])

    def _blocks(self) -> Iterator[tuple[int, Tensor]]:
        """Yield the blocks of rows of the moments, and which row each begins with."""
        yield from zip(range(0, self.columns, _BLOCK), self.own, strict=True)

    def statistics(self, counted: float) -> LayerStatistics:
        """Return the statistics of so many photos, once: the sums go."""
        summed = [sum(group.double() for group in part).cpu().numpy() for part in self.own]
        moment = symmetric(np.concatenate(list(_rows_of_triangles(summed))))
        total = float(np.trace(moment))
        moment = moment / total if total > 0 else moment
        own = None
        if self.groups > 1:
            diagonals = torch.cat([part.diagonal(dim1=1, dim2=2) for part in self.own], 1)
            # With a stride, as along a whole matrix: torch adds up numbers that lie together in another order.
            traces = torch.stack([diagonals, diagonals], 2)[..., 0].sum(1)
            own = self._triangles().div_(traces.clamp(min=float(np.finfo(np.float32).tiny)).cpu()[:, None]).numpy()
        output_cost, bias_cost = (_at_least((sums / counted).numpy()) for sums in (self.row_fisher, self.bias_fisher))
        between = None if self.between is None else _correlation(self.between)
        return LayerStatistics(moment, output_cost, bias_cost, own, between)

    def _triangles(self) -> Tensor:
        """Return the moments as `triangles`. Their blocks go one by one, as there is no room for both."""
        # Torch takes memory page by page, numpy much of it at once.
        triangles = torch.empty(self.groups, self.columns * (self.columns + 1) // 2)
        end = 0
        for row in _rows_of_triangles(self.own.pop(0) for _ in range(len(self.own))):
            begin, end = end, end + row.shape[1]
            triangles[:, begin:end] = row
        return triangles


def _rows_of_triangles(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield the rows of `triangles`, shape (..., columns from the diagonal on), of the blocks that hold them."""
    for block in blocks:
        for row in range(block.shape[-2]):
            yield block[..., row, row:]


def _summed_gradients(runs: _Runs, photos: int) -> tuple[Tensor, Tensor]:
    weight_gradients, bias_gradients = photo_gradients(*runs[0], photos)
    for run in runs[1:]:
        more = photo_gradients(*run, photos)
        weight_gradients, bias_gradients = weight_gradients + more[0], bias_gradients + more[1]
    return weight_gradients, bias_gradients


def _correlation(moment: Tensor) -> NDArray[np.float32]:
    deviation = moment.diagonal().sqrt()
    inverse = torch.where(deviation > 0, 1 / deviation, 0.0)  # a row that never fires goes with no other
    correlation = (inverse[:, None] * moment * inverse).clamp(-1, 1)
    found: NDArray[np.float32] = correlation.fill_diagonal_(1).cpu().numpy()
    return found


def _at_least(cost: Floats) -> Floats:
    """Return costs of rows: one that never mattered on these photos may matter on others."""
    least: Floats = np.maximum(cost, _LEAST_SHARE * cost.mean())
    return least
