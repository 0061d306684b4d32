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
blocks nor a row correlation. Layers that do not see one photo after another have one gradient for a pass, too.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from itertools import chain

import torch
from torch import nn

from compress.calibration.hidden_influence import check_no_hidden_influence
from compress.calibration.layer_accumulator import LayerAccumulator, LayerForm
from compress.calibration.layer_statistics import LayerStatistics
from compress.calibration.own_gradients import warn_of_own_gradients
from compress.calibration.pass_gradients import (
    GradientOptions,
    PassGradients,
    Sweep,
    WeightUses,
    by_weight,
    pass_gradients,
    weight_uses,
)
from compress.calibration.photo_batches import PhotoBatch
from compress.calibration.row_block_memory import row_groups_by_layer
from compress.errors import DataError, PassError
from compress.networks.layer_calls import CompressibleLayer, matrix_shape
from compress.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from compress.runtime.progress import Advance

_MAX_CORRELATED_ROWS = 256
"""Largest layer whose row correlation is gathered. The time of error feedback between rows is quadratic in the rows."""


def accumulate_statistics(
    network: nn.Module,
    batches: Callable[[], Iterable[PhotoBatch]],
    advance: Advance,
    options: GradientOptions,
    sweeps: Iterable[Sweep | None] = (None,),
    processes: ProcessGroup = SINGLE_PROCESS,
) -> Iterator[tuple[str, LayerStatistics]]:
    """Yield the name and the statistics of every weight tensor, from a forward and backward pass of each batch.

    Args:
        network: in evaluation mode.
        batches: returns the photos, for each sweep the same. Each process has one batch at least.
        advance: called with the number of photos done.
        options: which gradients are summed. Adjacent rows share a row block so that all fit into `row_block_bytes`. The
            last layer, layers of more than 256 rows and grouped convolutions never have a `row_correlation`.
        sweeps: the layers of each sweep over the photos, in the network's order; None: all in one. More sweeps take
            less memory and more time, with the same result.
        processes: the processes that share the batches.
    Raises:
        DataError: there are no photos.
        PassError: the statistics of a layer do not fit into memory or float32, are all 0, a layer has no gradients
            although the outputs depend on it, or the network does not run in half precision.
    """
    uses: WeightUses | None = None
    is_informative = False
    hidden: dict[str, bool] = {}
    for sweep in sweeps:
        sums = _SweepSums(options.row_block_bytes)
        for batch in chain.from_iterable(batch.passes() for batch in batches()):
            if batch.inputs is None:
                continue
            if uses is None:
                own = weight_uses(network, batch, batch.inputs, options.output_error)
                uses = WeightUses(*map(frozenset.union, *processes.gather_interleaved([own])))
                if processes.is_first:
                    warn_of_own_gradients(network, batch.inputs, batch.noise)
            sums.add(pass_gradients(network, batch, batch.inputs, options, sweep, uses), batch.photos, uses.mixed)
            advance(batch.photos)
        for name, statistics in sums.statistics(network, processes):
            if statistics.row_fisher.any():
                is_informative = True
            else:
                hidden[name] = statistics.bias_fisher is not None and not statistics.bias_fisher.any()
            yield name, statistics
    if not is_informative:
        raise PassError(
            "no weight changes the outputs on the calibration photos: the logits are constant, or so large that each "
            "softmax is 0 or 1; scale the last layer, or use passes without statistics"
        )
    check_no_hidden_influence(network, batches(), hidden, processes)


class _SweepSums:
    """Sums over photos for the layers of a sweep."""

    def __init__(self, row_block_bytes: int) -> None:
        self._row_block_bytes = row_block_bytes
        self._layers: dict[str, LayerAccumulator] = {}
        self._shapes: dict[str, tuple[int, int]] = {}  # by name, of all sweeps
        self._groups: dict[str, int] = {}  # number of row blocks
        self._total_weight = torch.zeros((), dtype=torch.float64)
        self._last = ""

    def add(self, gradients: PassGradients, photos: int, mixed: Container[str]) -> None:
        """Add the gradients of a pass. Those of `mixed` layers are summed over its photos, as if they were one."""
        self._total_weight += gradients.total_weight
        self._last = gradients.last
        shapes = {name: matrix_shape(layer.weight) for name, layer in gradients.layers.items()}
        if shapes.keys() - self._shapes.keys():  # the first pass, or an expert that no photo took before
            self._shapes |= shapes
            self._groups = row_groups_by_layer(self._shapes, self._row_block_bytes) | self._groups
        for name, gradient in gradients.matrices.items():  # before the calls: the last layer comes last
            if name not in self._layers:
                self._layers[name] = LayerAccumulator(name, gradient, 1, correlated=False)
            self._layers[name].add_pass(gradient)
        for name, calls in by_weight(gradients.calls).items():
            is_last = name == gradients.last
            if name not in self._layers:
                has_correlation = all(_has_row_correlation(call.layer) for call, _ in calls)
                correlated = self._row_block_bytes > 0 and not is_last and has_correlation
                weight = calls[0][0].layer.weight
                self._layers[name] = LayerAccumulator(name, weight, self._groups[name], correlated=correlated)
            row_block_calls = gradients.class_calls if is_last and gradients.class_calls else calls
            self._layers[name].add(calls, row_block_calls, 1 if name in mixed else photos)

    def statistics(self, network: nn.Module, processes: ProcessGroup) -> Iterator[tuple[str, LayerStatistics]]:
        """Yield the name and the statistics of each layer, from the photos of all processes; its sums are freed.

        The last layer comes last.

        Raises:
            DataError: there are no photos.
            PassError: as `accumulate_statistics`.
        """
        processes.all_reduce(self._total_weight)
        if not self._total_weight:
            raise DataError("calibration needs at least one photo")
        self._add_layers_of_others(network, processes)
        for layer in self._layers.values():
            layer.flush()
            processes.all_reduce(*layer.sums())
        for name in sorted(self._layers, key=self._last.__eq__):
            statistics = self._layers.pop(name).statistics(float(self._total_weight))
            yield name, statistics.with_equal_rows() if name == self._last else statistics

    def _add_layers_of_others(self, network: nn.Module, processes: ProcessGroup) -> None:
        """Add the layers that only photos of other processes use, such as experts, in the same order in all processes.

        Raises:
            PassError: the sums of a layer are not the same in all processes.
        """
        if processes.world_size == 1:
            return
        own = self._last, {name: layer.form for name, layer in self._layers.items()}
        forms: dict[str, LayerForm] = {}
        lasts, by_process = zip(*processes.gather_interleaved([own]), strict=True)
        self._last = next(filter(None, lasts), "")
        for name, form in (each for process in by_process for each in process.items()):
            if forms.setdefault(name, form) != form:
                raise PassError(
                    "photos of different processes use it in different ways, so that their statistics cannot be added; "
                    "run on one process, or use passes without statistics",
                    tensor=name,
                )
        weights = dict(network.named_parameters())
        self._layers = {
            name: self._layers.get(name) or LayerAccumulator(name, weights[name], **form._asdict())
            for name, form in forms.items()
        }


def _has_row_correlation(layer: CompressibleLayer) -> bool:
    """Return whether the rows are few enough and read the same channels."""
    return len(layer.weight) <= _MAX_CORRELATED_ROWS and getattr(layer, "groups", 1) == 1
