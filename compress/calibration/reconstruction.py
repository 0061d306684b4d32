"""Statistics of a compressed network beside the float network: what each layer's weights should make up for.

A layer of the compressed network sees inputs that are already in error. Regressing the float layer's outputs on these
inputs gives the weights that bring them back as far as one layer can (layer after layer, as in Nagel et al. 2020,
AdaRound, arXiv:2004.10568, section 3.4, here in closed form).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.calibration.example_gradients import weight_inputs
from compress.errors import DataError
from compress.networks.layer_calls import CompressibleLayer, compressible_layers

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PairedInputs:
    """The inputs `x` of a layer in the float network and `y` in the compressed one, on the same photos.

    Attributes:
        moment: shape (columns, columns), mean over photos of the sum over positions of y y^T, about its mean.
        cross: shape (columns, columns), the same of x y^T.
        mean: shape (columns,), mean of y over photos and positions.
        reference_mean: shape (columns,), that of x.
    """

    moment: Floats
    cross: Floats
    mean: Floats
    reference_mean: Floats

    def target(self, weights: Floats, damping: float) -> Floats:
        """Return the weights on `y` that come nearest to what `weights` give on `x`, constants aside.

        Args:
            weights: shape (rows, columns).
            damping: share of the moment's mean diagonal with which the old weights are held; where the inputs say
                nothing, they stay.
        """
        held = damping * (float(np.trace(self.moment)) / len(self.moment) or 1.0) * np.eye(len(self.moment))
        solved = np.linalg.solve((self.moment + held).T, (weights @ (self.cross + held)).T).T
        return solved.astype(np.float64)

    def bias(self, weights: Floats, bias: Floats, stored: Floats) -> Floats:
        """Return the bias that makes up for the means.

        With it `stored` gives, on the mean of `y`, what `weights` and `bias` give on the mean of `x`.
        """
        return bias + weights @ self.reference_mean - stored @ self.mean


def layers_by_input(network: nn.Module, inputs: Tensor) -> list[list[str]]:
    """Return the names of convolutions and linear layers in the order they run, those with one input together."""
    seen: list[Tensor] = []  # kept alive, so that no later tensor takes the place of an earlier one
    groups: list[list[str]] = []

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def note(module: nn.Module, given: tuple[Tensor, ...]) -> None:
            if seen and seen[-1] is given[0]:
                groups[-1].append(name)
            else:
                seen.append(given[0])
                groups.append([name])

        return note

    handles = [layer.register_forward_pre_hook(hook(name)) for name, layer in compressible_layers(network).items()]
    try:
        with torch.inference_mode():
            network(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return groups


def collect_pairs(
    reference: nn.Module, compressed: nn.Module, layers: Sequence[str], batches: Iterable[Tensor]
) -> dict[str, PairedInputs]:
    """Run photos through both networks as far as some layers, and gather the statistics of these.

    Args:
        reference: the float network, in evaluation mode.
        compressed: the same network with other weights.
        layers: names of layers with one input, each of one group of channels.
        batches: inputs (n, channels, height, width) on the networks' device.
    Returns:
        statistics by the name of the layer.
    Raises:
        DataError: there were no photos.
    """
    sums = {name: _Sums(compressible_layers(reference)[name]) for name in layers}
    photos = 0
    with torch.inference_mode():
        for inputs in batches:
            x, y = (_input_of(network, layers[0], inputs) for network in (reference, compressed))
            for total in sums.values():
                total.add(x, y)
            photos += len(inputs)
    if photos == 0:
        raise DataError("calibration needs at least one photo")
    return {name: total.pairs(photos) for name, total in sums.items()}


class _Sums:
    """Running sums of one layer, in float64, about the first batch's mean: so little is lost when the mean goes."""

    def __init__(self, layer: CompressibleLayer) -> None:
        self.layer = layer
        columns = layer.weight[0].numel()
        self.moment = torch.zeros(columns, columns, dtype=torch.float64)
        self.cross = torch.zeros(columns, columns, dtype=torch.float64)
        self.totals = torch.zeros(2, columns, dtype=torch.float64)
        self.centres: tuple[Tensor, Tensor] | None = None
        self.positions = 0

    def add(self, x: Tensor, y: Tensor) -> None:
        flat = [weight_inputs(self.layer, each).squeeze(1).transpose(0, 1).flatten(1) for each in (x, y)]
        if self.centres is None:
            self.centres = (flat[0].mean(1, keepdim=True), flat[1].mean(1, keepdim=True))
        about_x, about_y = (each - centre for each, centre in zip(flat, self.centres, strict=True))
        self.moment += (about_y @ about_y.T).double().cpu()
        self.cross += (about_x @ about_y.T).double().cpu()
        self.totals += torch.stack([about_x.sum(1), about_y.sum(1)]).double().cpu()
        self.positions += about_y.shape[1]

    def pairs(self, photos: int) -> PairedInputs:
        assert self.centres is not None
        off_x, off_y = (self.totals / self.positions).numpy()
        centre_x, centre_y = (centre.ravel().double().cpu().numpy() for centre in self.centres)
        per_photo = self.positions / photos
        return PairedInputs(
            self.moment.numpy() / photos - per_photo * np.outer(off_y, off_y),
            self.cross.numpy() / photos - per_photo * np.outer(off_x, off_y),
            centre_y + off_y,
            centre_x + off_x,
        )


class _Reached(Exception):
    """The layer whose input was wanted."""


def _input_of(network: nn.Module, name: str, inputs: Tensor) -> Tensor:
    """Run a network as far as a layer, and return the layer's input."""
    with _stopped_at(network.get_submodule(name)) as reached, suppress(_Reached):
        network(inputs)
    return reached[0]


@contextmanager
def _stopped_at(layer: nn.Module) -> Iterator[list[Tensor]]:
    reached: list[Tensor] = []

    def hook(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        reached.append(given[0])
        raise _Reached

    handle = layer.register_forward_pre_hook(hook)
    try:
        yield reached
    finally:
        handle.remove()
