"""Statistics of a network on photos: what an error in a weight costs.

To second order, changing a layer's weights by `E` (rows: output channels; columns: input channel and kernel position)
raises the divergence of the network's outputs by about

    0.5 * sum_i output_cost[i] * E[i] @ moment @ E[i]

where `moment` is the second moment of the layer's input and `output_cost` how much the outputs move with each of its
output channels: the Fisher information, factored as in K-FAC (Martens & Grosse 2015, arXiv:1503.05671), with the
output side kept diagonal. Labels are sampled from the network's own softmax, so no photo needs one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from compress.errors import DataError
from compress.progress import Advance

_LEAST_SHARE = 0.05
"""A row's cost is at least this share of its layer's mean."""


@dataclass(frozen=True, eq=False)
class LayerStatistics:
    """What one convolution's or linear layer's weights cost.

    Attributes:
        moment: float64, shape (columns, columns), mean over photos of the sum over positions of x x^T.
        output_cost: float64, shape (rows,): scaled so that `output_cost[i] * trace(moment)` is the Fisher information
            of row i, summed over its weights.
    """

    moment: NDArray[np.float64]
    output_cost: NDArray[np.float64]

    def pooled(self) -> LayerStatistics:
        """Return the statistics with one cost for all rows.

        A classifier's rows are classes, and a photo says something of the few that it may show: a class that no
        calibration photo suggests would seem to cost nothing, and be destroyed.
        """
        return LayerStatistics(self.moment, np.full_like(self.output_cost, self.output_cost.mean()))

    def feedback(self, damping: float = 0.01) -> NDArray[np.float64]:
        """Return the upper Cholesky factor of the inverse moment, shape (columns, columns).

        With `u` this factor, column j stored too small by `e` is best made up for by adding `-e / u[j, j] * u[j, k]`
        to each later column k, and what then remains costs `e ** 2 / u[j, j] ** 2` (Frantar et al. 2022, GPTQ,
        arXiv:2210.17323).

        Args:
            damping: share of the mean diagonal that is added to the diagonal. It makes the moment of constant photos,
                or of a layer that never fires, invertible.
        """
        columns = len(self.moment)
        mean = float(np.trace(self.moment)) / columns or 1.0
        inverse = np.linalg.inv(self.moment + damping * mean * np.eye(columns))
        factor: NDArray[np.float64] = np.linalg.cholesky((inverse + inverse.T) / 2).T.astype(np.float64)
        return factor

    def rounding_cost(self, factor: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the divergence that an error of 1 costs in each weight, made up for by later columns.

        Args:
            factor: `feedback()`.
        Returns:
            nats, shape (rows, columns).
        """
        return 0.5 * np.outer(self.output_cost, np.diag(factor) ** -2.0)

    def weight_cost(self) -> NDArray[np.float64]:
        """Return the Fisher information of each weight, shape (rows, columns), others held still."""
        return np.outer(self.output_cost, np.diag(self.moment))


def collect(
    network: nn.Module, batches: Iterator[Tensor], generator: torch.Generator, advance: Advance
) -> dict[str, LayerStatistics]:
    """Run photos through a network, forth and back, and gather the statistics of every weight tensor.

    Args:
        network: in evaluation mode; its weights are not changed.
        batches: inputs (n, channels, height, width) on the network's device.
        generator: draws the labels.
        advance: called with the number of photos done.
    Returns:
        statistics by the name of the weight tensor.
    Raises:
        DataError: there were no photos.
    """
    sums = {f"{name}.weight": _Sums(layer) for name, layer in layers_of(network).items()}
    photos = 0
    for inputs in batches:
        with _recorded(network) as recorded:
            logits = network(inputs)
            labels = torch.multinomial(logits.detach().softmax(1).cpu(), 1, generator=generator).ravel()
            loss = functional.cross_entropy(logits, labels.to(logits.device), reduction="sum")
            outputs = [output for _, output in recorded.values()]
            gradients = torch.autograd.grad(loss, outputs)
        for (name, (x, _)), gradient in zip(recorded.items(), gradients, strict=True):
            sums[f"{name}.weight"].add(x, gradient)
        photos += len(inputs)
        advance(len(inputs))
    if photos == 0:
        raise DataError("calibration needs at least one photo")
    statistics = {name: total.statistics(photos) for name, total in sums.items()}
    last = f"{list(recorded)[-1]}.weight"
    statistics[last] = statistics[last].pooled()
    return statistics


class _Sums:
    """Running sums of one layer, in float64: a thousand photos of 12,000 positions each exhaust float32."""

    def __init__(self, layer: nn.Conv2d | nn.Linear) -> None:
        self.layer = layer
        rows, columns = layer.weight.flatten(1).shape
        self.moment = torch.zeros(columns, columns, dtype=torch.float64)
        self.row_fisher = torch.zeros(rows, dtype=torch.float64)

    def add(self, x: Tensor, gradient: Tensor) -> None:
        inputs = patches(self.layer, x)
        flat = inputs.transpose(0, 1).flatten(1)
        self.moment += (flat @ flat.T).double().cpu()
        outputs = _positions_last(gradient) if isinstance(self.layer, nn.Linear) else gradient.flatten(2)
        weight_gradients = outputs @ inputs.transpose(1, 2)  # (n, rows, columns), one a photo
        self.row_fisher += weight_gradients.square().sum((0, 2)).double().cpu()

    def statistics(self, photos: int) -> LayerStatistics:
        trace = max(float(self.moment.trace()), np.finfo(np.float64).tiny)
        cost = (self.row_fisher / trace).numpy()
        # A row that never mattered on these photos may matter on others.
        return LayerStatistics((self.moment / photos).numpy(), np.maximum(cost, _LEAST_SHARE * cost.mean()))


def patches(layer: nn.Conv2d | nn.Linear, x: Tensor) -> Tensor:
    """Return what each weight is multiplied with: (n, columns, positions)."""
    if isinstance(layer, nn.Linear):
        return _positions_last(x)
    if layer.kernel_size == (1, 1) and layer.stride == (1, 1) and layer.padding in {(0, 0), 0}:
        return x.flatten(2)
    assert not isinstance(layer.padding, str)
    return functional.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)


def _positions_last(x: Tensor) -> Tensor:
    """Bring a linear layer's (n, features) or (n, ..., features) to (n, features, positions)."""
    return x.flatten(1, -2).transpose(1, 2) if x.dim() > 2 else x.unsqueeze(2)


def layers_of(network: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    """Return a network's convolutions and linear layers by name."""
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}


@contextmanager
def _recorded(network: nn.Module) -> Iterator[Mapping[str, tuple[Tensor, Tensor]]]:
    """Record the input and the output of every layer while the context lasts, in the order they run."""
    recorded: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            recorded[name] = (inputs[0].detach(), output)

        return hook

    handles = [layer.register_forward_hook(keep(name)) for name, layer in layers_of(network).items()]
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()
