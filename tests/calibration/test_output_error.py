"""Errors of logits, of maps of logits and of values, and the statistics that predict them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from output_networks import segmentation, two_heads
from torch import nn

from compress.calibration.output_error import OutputError, output_variance
from compress.calibration.pass_gradients import GradientOptions
from compress.calibration.photo_batches import PhotoBatch
from compress.calibration.statistics_accumulator import accumulate_statistics
from compress.errors import DataError


def test_the_divergence_of_a_map_is_the_mean_over_photos_and_positions():
    logits, reference = torch.randn(2, 3, 5), torch.randn(2, 3, 5)
    flat = (each.transpose(1, 2).reshape(10, 3) for each in (logits, reference))
    assert OutputError()(logits, reference).item() == pytest.approx(OutputError()(*flat).item(), rel=1e-5)


def test_the_error_of_values_is_relative_to_their_variance():
    reference = np.random.default_rng(0).normal(7, [[2], [2]], (500, 2, 3)).astype(np.float32)
    variance = output_variance(reference)
    assert variance == pytest.approx(4, rel=0.1)
    outputs = torch.from_numpy(reference)
    assert OutputError(variance)(outputs + 1, outputs).item() == pytest.approx(1 / variance)


def test_an_offset_of_a_channel_is_no_variance():
    assert output_variance(np.array([[0, 100], [2, 102]], np.float32)) == 1


def test_values_that_never_change_have_no_relative_error():
    with pytest.raises(DataError, match=r"the same for all of 3 photos.*model.outputs"):
        output_variance(np.tile(np.float32([1, 2]), (3, 1)))


class Logits(nn.Module):
    """Returns one output of a network, as rows of channels and positions."""

    def __init__(self, network: nn.Module, index: int | None) -> None:
        super().__init__()
        self.network, self.index = network, index

    def forward(self, x):
        outputs = self.network(x)
        return outputs.flatten(2) if self.index is None else outputs[self.index]


@pytest.mark.parametrize(
    ("make", "index", "kind"),
    [(segmentation, None, "distribution"), (segmentation, None, "values"), (two_heads, 1, "values")],
)
def test_statistics_predict_the_error_of_small_changes(make, index, kind):
    torch.manual_seed(0)
    network, photos = Logits(make(), index).eval(), torch.randn(60, 3, 16, 16)
    with torch.no_grad():
        expected = network(photos)
    error = OutputError(output_variance(expected.numpy()) if kind == "values" else None)
    batches = [PhotoBatch(torch.randn(expected.shape), photos)]
    options = GradientOptions(output_error=error)
    statistics = dict(accumulate_statistics(network, lambda: batches, lambda count: None, options))
    measured, deviation = [], 1e-3
    for _ in range(30):
        changes = {name: torch.randn(network.get_parameter(name).shape) * deviation for name in statistics}
        with torch.no_grad():
            for name, change in changes.items():
                network.get_parameter(name).add_(change)
            measured.append(error(network(photos).double(), expected.double()).item())
            for name, change in changes.items():
                network.get_parameter(name).sub_(change)
    predicted = 0.5 * deviation**2 * sum(each.row_fisher.sum() for each in statistics.values())
    assert predicted == pytest.approx(np.mean(measured), rel=0.3)


def test_only_the_named_weights_have_statistics():
    network, photos = Logits(two_heads(), 0).eval(), torch.randn(4, 3, 16, 16)
    names = [name for name, part in network.named_parameters() if part.dim() > 1 and "box" not in name]
    batch = PhotoBatch(torch.randn(4, 10), photos)
    options = GradientOptions(weights=names, row_block_bytes=10**6)
    statistics = dict(accumulate_statistics(network, lambda: [batch], lambda count: None, options))
    assert list(statistics) == names
