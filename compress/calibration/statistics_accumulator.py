"""Gathering the Fisher information of a network's layers from photos without labels.

To second order, an error `E` of a layer's weights (rows: output channels; columns: input channels and kernel positions)
raises the divergence of the network's outputs by

    0.5 * sum_ij E[i] @ F[i, j] @ E[j],  F[i, j] = mean over photos of g[i] g[j]^T

F is the Fisher information: `g` is the gradient of the layer's weights for a random direction of the logits, whose
covariance is that of the softmax, or as `output_error` says. F is too large to keep. `LayerStatistics` has three parts
of it:

- the Kronecker factor over columns, as in K-FAC (Martens & Grosse 2015, arXiv:1503.05671): the sum of all row blocks
  F[i, i]. Gradients are summed over positions first, as positions share the weights (Eschenhagen et al. 2023,
  arXiv:2311.00636). Few photos suffice for it;
- each row block F[i, i] itself, which is noisier;
- the correlation of the rows' gradients over all columns, K-FAC's other factor.

The rows of the last layer are classes, and few photos tell about each class. Its row blocks are therefore not sampled:
each is the mean over photos of `p * (1 - p) * g g^T`, where `g` is the gradient of the logit of the class and `p` its
probability. A temperature raises the small probabilities, so that a photo counts for all classes that it resembles.

Other weight matrices have one gradient for all photos of a pass: matrices of attention, recurrent layers, transposed
convolutions, layers with a `forward` of their own, and weights that the network also reads itself. The directions of
different photos are independent, so the mean over passes is the same. It is noisier: such matrices have neither row
blocks nor a row correlation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.calibration.example_gradients import compact_gradients, example_gradients
from compress.calibration.layer_statistics import Floats, LayerStatistics, row_groups
from compress.calibration.output_error import OutputError
from compress.calibration.packed_triangular import symmetric
from compress.calibration.photo_batches import PhotoBatch
from compress.calibration.row_block_memory import check_row_length, row_groups_by_layer
from compress.errors import DataError, PassError
from compress.networks.layer_calls import CompressibleLayer, LayerCall, matrix_shape, record_calls, weight_matrices
from compress.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from compress.runtime.progress import Advance

Block = TypeVar("Block", Tensor, Floats)
CallGradients = list[tuple[LayerCall, Tensor]]
"""The calls of a layer, each with the gradient of its outputs."""

_MIN_ROW_FRACTION = 0.05
"""Smallest Fisher information of a row, as a fraction of the mean of its layer. A row that these photos do not use may
matter for others."""

_PHOTOS_TOGETHER = 20
"""Photos whose gradients are added to the row blocks in one step. Memory bandwidth limits smaller steps."""

_LONG_ROW = 1024
"""Length of rows from which `compact_gradients` saves much, and from which gradients are added at once."""

STRIP_ROWS = 96
"""Rows of a block that are accumulated together, from their first diagonal entry on. The entries left of it follow by
symmetry, and take neither memory nor time."""

_TEMPERATURE = 2.5
"""Divisor of the logits in the softmax that weights the photos for the last layer's row blocks."""

_MAX_DIFFERENCE = 0.01
"""Largest relative difference, by rounding, of a gradient from the sum of the gradients of a layer's calls."""

_MAX_CORRELATED_ROWS = 256
"""Largest layer whose row correlation is gathered. The time of error feedback between rows is quadratic in the rows."""


Sweep = Collection[str]
"""Names of the weight tensors whose statistics are gathered together."""


@dataclass(frozen=True, eq=False)
class _Settings:
    """Arguments of `accumulate_statistics` that all sweeps share."""

    weights: Container[str] | None
    output_error: OutputError
    row_block_bytes: int
    class_weights: Tensor | None
    half_precision: bool


class _PassGradients(NamedTuple):
    """The gradients of a forward and backward pass.

    Attributes:
        total_weight: of the photos.
        layers: all that were called, by the name of their weight tensor, in order.
        last: name of the last one; empty if there is none.
        calls: of the layers of the sweep, for sampled directions.
        class_calls: of the last layer, for its row blocks; empty if its rows are not classes.
        matrices: of other weight matrices of the sweep.
    """

    total_weight: float
    layers: dict[str, CompressibleLayer]
    last: str
    calls: CallGradients
    class_calls: CallGradients
    matrices: dict[str, Tensor]


def accumulate_statistics(
    network: nn.Module,
    batches: Callable[[], Iterable[PhotoBatch]],
    advance: Advance,
    *,
    weights: Container[str] | None = None,
    output_error: OutputError = OutputError(),  # noqa: B008  it is immutable
    row_block_bytes: int = 0,
    class_weights: Tensor | None = None,
    half_precision: bool = False,
    sweeps: Iterable[Sweep | None] = (None,),
    processes: ProcessGroup = SINGLE_PROCESS,
) -> Iterator[tuple[str, LayerStatistics]]:
    """Yield the name and the statistics of every weight tensor, from a forward and backward pass of each batch.

    Args:
        network: in evaluation mode.
        batches: returns the photos, for each sweep the same. Each process has one batch at least.
        advance: called with the number of photos done.
        weights: names of the weight tensors; None: all.
        output_error: measures the error of the network's outputs.
        row_block_bytes: memory for all row blocks. Adjacent rows share a block so that they fit. 0: gather neither row
            blocks nor `row_correlation`, which the last layer, layers of more than 256 rows and grouped convolutions
            never have.
        class_weights: shape (classes,): a photo counts as much as its softmax's mean of these weights, times its sample
            weight; None: as much as its sample weight.
        half_precision: run the network, and compute the gradients of single photos, in bfloat16. Sums are in float32.
        sweeps: the layers of each sweep over the photos, in the network's order; None: all in one. More sweeps take
            less memory and more time, with the same result.
        processes: the processes that share the batches.
    Raises:
        DataError: there are no photos.
        PassError: the statistics of a layer do not fit into memory or float32, are all 0, a layer has no gradients, or
            the network does not run in half precision.
    """
    settings = _Settings(weights, output_error, row_block_bytes, class_weights, half_precision)
    is_informative = False
    for sweep in sweeps:
        for name, statistics in _sweep(network, batches(), advance, settings, sweep, processes):
            is_informative = is_informative or bool(statistics.row_fisher.any())
            yield name, statistics
    if not is_informative:
        raise PassError(
            "no weight changes the outputs on the calibration photos: the logits are constant, or so large that each "
            "softmax is 0 or 1; scale the last layer, or use passes without statistics"
        )


def _sweep(
    network: nn.Module,
    batches: Iterable[PhotoBatch],
    advance: Advance,
    settings: _Settings,
    sweep: Sweep | None,
    processes: ProcessGroup,
) -> Iterator[tuple[str, LayerStatistics]]:
    """Yield the statistics of some layers, and free their sums one by one."""
    layers: dict[str, _LayerAccumulator] = {}
    groups: dict[str, int] = {}
    total_weight, last = torch.zeros((), dtype=torch.float64), ""
    read_elsewhere: set[str] | None = None
    for batch in chain.from_iterable(batch.passes() for batch in batches):
        if batch.inputs is None:
            continue
        if read_elsewhere is None:
            read_elsewhere = _weights_read_elsewhere(network, batch, batch.inputs, settings.output_error)
        found = _gradients(network, batch, batch.inputs, settings, sweep, read_elsewhere)
        total_weight += found.total_weight
        last = found.last
        for name, gradient in found.matrices.items():  # before the calls: the last layer comes last
            if name not in layers:
                layers[name] = _LayerAccumulator(name, gradient, 1, correlated=False)
            layers[name].add_pass(gradient)
        if not groups:
            groups = row_groups_by_layer(
                {name: matrix_shape(layer.weight) for name, layer in found.layers.items()}, settings.row_block_bytes
            )
        _add_calls(layers, found, groups, settings, batch.photos)
        del found  # its activations would stay during the next pass
        advance(batch.photos)
    processes.all_reduce(total_weight)
    if not total_weight:
        raise DataError("calibration needs at least one photo")
    for layer in layers.values():
        layer.flush()
        processes.all_reduce(*layer.sums())
    for name in list(layers):
        statistics = layers.pop(name).statistics(float(total_weight))
        yield name, statistics.with_equal_rows() if name == last else statistics


def _add_calls(
    layers: dict[str, _LayerAccumulator],
    found: _PassGradients,
    groups: dict[str, int],
    settings: _Settings,
    photos: int,
) -> None:
    """Add the gradients of the layers' calls in a pass; `groups` is the number of row blocks by name."""
    for name, calls in _by_weight(found.calls).items():
        is_last = name == found.last
        if name not in layers:
            has_correlation = all(_has_row_correlation(call.layer) for call, _ in calls)
            correlated = settings.row_block_bytes > 0 and not is_last and has_correlation
            layers[name] = _LayerAccumulator(name, calls[0][0].layer.weight, groups[name], correlated=correlated)
        layers[name].add(calls, found.class_calls if is_last and found.class_calls else calls, photos)


def _photo_weights(logits: Tensor, sample_weights: Tensor | None, class_weights: Tensor | None) -> Tensor:
    """Return how much each photo counts, shape (photos,)."""
    weights = logits.new_ones(len(logits)) if sample_weights is None else sample_weights.to(logits)
    if class_weights is None:
        return weights
    shares = logits.softmax(1).reshape(*logits.shape[:2], -1).mean(2)
    return weights * (shares @ class_weights.to(logits))


def _gradients(
    network: nn.Module,
    batch: PhotoBatch,
    inputs: Tensor,
    settings: _Settings,
    sweep: Sweep | None,
    read_elsewhere: Container[str],
) -> _PassGradients:
    """Return the gradients of all calls and other matrices for sampled directions, and those of `class_calls`.

    `output_error` draws the directions. For the row blocks of the last layer each logit is scaled by the root of
    its variance; there are no such gradients if rows are not classes of a photo.
    """

    def is_wanted(name: str) -> bool:
        return settings.weights is None or name in settings.weights

    with record_calls(network) as recorded:
        logits = _half_precision_logits(network, inputs) if settings.half_precision else network(inputs)
        wanted = [call for call in recorded if call.weight not in read_elsewhere and is_wanted(call.weight)]
        _check_differentiable(logits, wanted)
        weights = _photo_weights(logits.detach(), batch.weights, settings.class_weights)
        root_weights = weights.sqrt().reshape(-1, *[1] * (logits.dim() - 1))
        layers = {call.weight: call.layer for call in wanted}
        name_of_last = wanted[-1].weight if wanted else ""
        calls = [call for call in wanted if sweep is None or call.weight in sweep]
        class_gradients: CallGradients = []
        last = [call for call in calls if call.weight == name_of_last]
        is_classes = logits.dim() == 2 and settings.output_error.variance is None
        if settings.row_block_bytes and is_classes and last and len(last[0].layer.weight) == logits.shape[1]:
            softened = (logits.detach() / _TEMPERATURE).softmax(1)
            directions = root_weights * (softened * (1 - softened)).sqrt()
            class_gradients = _backward(logits, last, directions, retain_graph=True)
        directions = root_weights * settings.output_error.directions(logits, batch.noise)
        others = {
            name: weight
            for name, weight in weight_matrices(network).items()
            if name not in layers and is_wanted(name) and (sweep is None or name in sweep)
        }
        matrices = torch.autograd.grad(
            logits, list(others.values()), directions, retain_graph=bool(calls), allow_unused=True
        ) if others else ()  # fmt: skip
        found = {name: each for name, each in zip(others, matrices, strict=True) if each is not None}
        gradients = _backward(logits, calls, directions, retain_graph=False)
        return _PassGradients(float(weights.double().sum()), layers, name_of_last, gradients, class_gradients, found)


def _half_precision_logits(network: nn.Module, inputs: Tensor) -> Tensor:
    """Return the logits, in float32, of a network whose convolutions and products run in bfloat16."""
    try:
        with torch.autocast(inputs.device.type, torch.bfloat16):
            logits: Tensor = network(inputs)
    except RuntimeError as error:
        raise PassError(f"the network does not run in bfloat16: {error}; use half_precision: false") from error
    return logits.float()


def _weights_read_elsewhere(
    network: nn.Module, batch: PhotoBatch, inputs: Tensor, output_error: OutputError
) -> set[str]:
    """Return the weights that the network also uses outside their layers: the gradients of the calls are not all.

    A tied decoder does so: `F.linear(x, self.encoder.weight.t())`.
    """
    with record_calls(network) as recorded:
        logits = network(inputs)
        calls = list(recorded)  # checkpointed activations are computed again in the backward pass
        if not calls or not logits.requires_grad or not all(call.outputs.requires_grad for call in calls):
            return set()
        directions = output_error.directions(logits, batch.noise)
        weights = {call.weight: call.layer.weight for call in calls}
        whole = torch.autograd.grad(
            logits, list(weights.values()), directions, retain_graph=True, materialize_grads=True
        )
        by_weight = _by_weight(_backward(logits, calls, directions, retain_graph=False))

    def differs(gradient: Tensor, calls: CallGradients) -> bool:
        of_calls = _summed_gradients(calls, batch.photos)[0].sum(0).reshape(gradient.shape)
        return bool((gradient - of_calls).norm() > _MAX_DIFFERENCE * gradient.norm())

    return {name for name, gradient in zip(weights, whole, strict=True) if differs(gradient, by_weight[name])}


def _check_differentiable(logits: Tensor, calls: Sequence[LayerCall]) -> None:
    """Raise a PassError where no gradient reaches a layer: `torch.no_grad` hides the layers before it, too."""
    hidden = next((call.weight for call in calls if not call.outputs.requires_grad), None)
    if hidden or not logits.requires_grad:
        raise PassError(
            "the network runs it without gradients, so it has no statistics; remove torch.no_grad from its forward, or "
            "use passes without statistics, as prune by magnitude and share by k-means",
            tensor=hidden,
        )


def _backward(logits: Tensor, calls: Sequence[LayerCall], directions: Tensor, *, retain_graph: bool) -> CallGradients:
    """Return the gradient of each call's outputs; 0 if they are not used."""
    if not calls:
        return []
    outputs = [call.outputs for call in calls]
    gradients = torch.autograd.grad(logits, outputs, directions, retain_graph=retain_graph, materialize_grads=True)
    return [(call, _without_float16(gradient)) for call, gradient in zip(calls, gradients, strict=True)]


def _without_float16(gradient: Tensor) -> Tensor:
    """Return the gradient; in float32 if it is in float16, whose range is too small for sums."""
    return gradient.float() if gradient.dtype == torch.float16 else gradient


def _by_weight(gradients: CallGradients) -> dict[str, CallGradients]:
    found: dict[str, CallGradients] = {}
    for call, gradient in gradients:
        found.setdefault(call.weight, []).append((call, gradient))
    return found


def _has_row_correlation(layer: CompressibleLayer) -> bool:
    """Return whether the rows are few enough and read the same channels."""
    return len(layer.weight) <= _MAX_CORRELATED_ROWS and getattr(layer, "groups", 1) == 1


def waiting_photos(columns: int) -> int:
    """Return the number of photos that are added to the row blocks in one step, twice as many in half precision."""
    return _PHOTOS_TOGETHER if columns < _LONG_ROW else 0


class _LayerAccumulator:
    """Sums over photos for one layer: row blocks as strips of their upper triangles, row correlation, and traces."""

    def __init__(self, name: str, weight: Tensor, groups: int, *, correlated: bool) -> None:
        rows, columns = matrix_shape(weight)
        check_row_length(name, columns)
        self._row_fisher = torch.zeros(rows, dtype=torch.float64)
        self._bias_fisher: Tensor | None = torch.zeros(rows, dtype=torch.float64)
        self._name, self._groups, self._columns = name, groups, columns
        self._group_rows: list[int] = np.bincount(row_groups(rows, groups)).tolist()
        self._strips = [
            torch.zeros(groups, min(STRIP_ROWS, columns - start), columns - start, device=weight.device)
            for start in range(0, columns, STRIP_ROWS)
        ]
        self._row_products = torch.zeros(rows, rows, device=weight.device) if correlated else None
        self._waiting: list[Tensor] = []

    def sums(self) -> list[Tensor]:
        """Return all sums over photos."""
        sums = (*self._strips, self._row_products, self._row_fisher, self._bias_fisher)
        return [each for each in sums if each is not None]

    def add(self, calls: CallGradients, row_block_calls: CallGradients, photos: int) -> None:
        """Add photos: row blocks from the gradients of `row_block_calls`, all else from `calls`."""
        weight_gradients, bias_gradients = _summed_gradients(calls, photos)
        assert self._bias_fisher is not None
        exact = weight_gradients.float()
        self._row_fisher += exact.square().sum((0, 2)).double().cpu()
        self._bias_fisher += bias_gradients.square().sum(0).double().cpu()
        if row_block_calls is not calls:
            weight_gradients, _ = _summed_gradients(row_block_calls, photos)
        if self._row_products is not None:
            flat = exact.transpose(0, 1).flatten(1)
            self._row_products.addmm_(flat, flat.T)
        compact = self._compact(row_block_calls, photos)
        self._wait(weight_gradients.transpose(0, 1) if compact is None else compact)

    def _compact(self, calls: CallGradients, photos: int) -> Tensor | None:
        """Return `compact_gradients` of a layer of long rows that sees each photo once."""
        if self._columns < _LONG_ROW or len(calls) > 1 or len(calls[0][1]) != photos:
            return None
        return compact_gradients(*calls[0], self._group_rows)

    def add_pass(self, weight_gradient: Tensor) -> None:
        """Add the gradient of all photos of a pass, in the shape of the weights; bias gradients are unknown."""
        by_row = weight_gradient.flatten(1)[:, None]
        self._bias_fisher = None
        self._row_fisher += by_row.square().sum((1, 2)).double().cpu()
        self._wait(by_row)

    def _wait(self, by_row: Tensor) -> None:
        """Keep gradients, shape (rows or groups, photos, columns), until enough wait."""
        self._waiting.append(by_row.contiguous())
        waiting_bytes = sum(gradients.shape[1] * gradients.itemsize for gradients in self._waiting)
        if waiting_bytes >= 4 * waiting_photos(self._columns):
            self.flush()

    def flush(self) -> None:
        """Add the waiting gradients to the strips, in place."""
        if not self._waiting:
            return
        gradients = torch.cat(self._waiting, 1).float()  # (rows or groups, photos, columns)
        self._waiting.clear()
        if self._groups == len(gradients):
            for start, strip in self._strips_from():
                within = gradients[..., start : start + STRIP_ROWS]
                torch.baddbmm(strip, within.transpose(1, 2), gradients[..., start:], out=strip)
            return
        for group, rows in enumerate(torch.split(gradients, self._group_rows)):
            flat = rows.flatten(0, 1)
            for start, strip in self._strips_from():
                strip[group].addmm_(flat[:, start : start + STRIP_ROWS].T, flat[:, start:])

    def _strips_from(self) -> Iterator[tuple[int, Tensor]]:
        """Yield the first row of each strip, and the strip."""
        yield from zip(range(0, self._columns, STRIP_ROWS), self._strips, strict=True)

    def statistics(self, total_weight: float) -> LayerStatistics:
        """Return the statistics of photos with this sum of sample weights. The strips are freed.

        Raises:
            PassError: they do not fit into float32.
        """
        if not torch.isfinite(self._row_fisher).all() or not all(bool(each.isfinite().all()) for each in self._strips):
            raise PassError(
                "its gradients are too large for statistics in float32; scale the layer up and the next one down, so "
                "that the weights of both are near 1, or use passes without statistics",
                tensor=self._name,
            )
        input_factor = self._input_factor()
        row_blocks = self._row_blocks() if self._groups > 1 else None
        row_fisher, bias_fisher = (
            None if sums is None else _with_minimum((sums / total_weight).numpy())
            for sums in (self._row_fisher, self._bias_fisher)
        )
        assert row_fisher is not None
        row_correlation = None if self._row_products is None else _correlation(self._row_products)
        return LayerStatistics(input_factor, row_fisher, bias_fisher, row_blocks, row_correlation)

    def _input_factor(self) -> Floats:
        strips = [sum(group.double() for group in strip).cpu().numpy() for strip in self._strips]
        matrix = symmetric(np.concatenate(list(_triangle_rows(strips))))
        trace = float(np.trace(matrix))
        return matrix / trace if trace > 0 else matrix

    def _row_blocks(self) -> NDArray[np.float32]:
        """Return the packed row blocks, each scaled to a trace of 1.

        The strips are freed one by one, since there is no room for both. Torch allocates the result page by page.
        """
        diagonals = torch.cat([strip.diagonal(dim1=1, dim2=2) for strip in self._strips], 1)
        # The sum runs over a strided copy: torch adds contiguous numbers in another order, with other rounding.
        traces = torch.stack([diagonals, diagonals], 2)[..., 0].sum(1)
        triangles = torch.empty(self._groups, self._columns * (self._columns + 1) // 2)
        end = 0
        for row in _triangle_rows(self._strips.pop(0) for _ in range(len(self._strips))):
            begin, end = end, end + row.shape[1]
            triangles[:, begin:end] = row
        packed: NDArray[np.float32] = triangles.div_(
            traces.clamp(min=float(np.finfo(np.float32).tiny)).cpu()[:, None]
        ).numpy()
        return packed


def _triangle_rows(strips: Iterable[Block]) -> Iterator[Block]:
    """Yield the rows of the upper triangles, shape (..., columns from the diagonal on), from their strips."""
    for strip in strips:
        for row in range(strip.shape[-2]):
            yield strip[..., row, row:]


def _summed_gradients(calls: CallGradients, photos: int) -> tuple[Tensor, Tensor]:
    """Return the gradients of weights and biases of each photo, summed over the calls of the layer."""
    weight_gradients, bias_gradients = zip(*(example_gradients(*call, photos) for call in calls), strict=True)
    return sum(weight_gradients[1:], weight_gradients[0]), sum(bias_gradients[1:], bias_gradients[0])


def _correlation(products: Tensor) -> NDArray[np.float32]:
    deviations = products.diagonal().sqrt()
    inverse = torch.where(deviations > 0, 1 / deviations, 0.0)  # a row without gradients correlates with no other
    correlation = (inverse[:, None] * products * inverse).clamp(-1, 1)
    found: NDArray[np.float32] = correlation.fill_diagonal_(1).cpu().numpy()
    return found


def _with_minimum(fisher: Floats) -> Floats:
    raised: Floats = np.maximum(fisher, _MIN_ROW_FRACTION * fisher.mean())
    return raised
