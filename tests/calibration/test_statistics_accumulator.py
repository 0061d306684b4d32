"""The Fisher information gathered from photos, compared with a computation photo by photo."""

from __future__ import annotations

import re
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from user_networks import mixed_layers

from compress.calibration.packed_triangular import symmetric, upper
from compress.calibration.pass_gradients import GradientOptions
from compress.calibration.photo_batches import PhotoBatch
from compress.calibration.row_block_memory import ROW_BLOCK_BYTES
from compress.calibration.statistics_accumulator import accumulate_statistics
from compress.data.transforms import to_input
from compress.errors import DataError, PassError
from compress.evaluation.metrics import Outputs, divergences
from compress.networks.layer_calls import layer_weight_names
from compress.networks.modules import to_module

SEED = 5


class SequenceNetwork(nn.Module):
    """A linear layer at every position of a sequence, as in a transformer, and one on the mean."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(7, 6)
        self.last = nn.Linear(6, 4)

    def forward(self, x):
        return self.last(self.first(x).relu().mean(1))


class PhotoByPhoto(nn.Module):
    """Runs its layers, called by keyword, on each photo without a batch dimension; or on all photos together."""

    def __init__(self):
        super().__init__()
        self.together = False
        self.first, self.point, self.along = nn.Conv2d(3, 5, 3, 2, 1), nn.Conv2d(5, 5, 1), nn.Conv1d(5, 6, 3)
        self.last = nn.Linear(6, 4)

    def forward(self, x):
        return self.logits(x) if self.together else torch.stack([self.logits(photo) for photo in x])

    def logits(self, x):
        features = self.point(input=self.first(input=x).relu()).relu()
        return self.last(input=self.along(input=features.flatten(-2)).relu().mean(-1))


NETWORKS = {
    "3x3, stride, padding, dilation, 1x1": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 5, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(5, 6, (3, 2), dilation=(1, 2)),
            nn.ReLU(),
            nn.Conv2d(6, 4, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ),
        (3, 11, 11),
    ),
    "1x1 with stride": (
        lambda: nn.Sequential(nn.Conv2d(3, 5, 1, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 9, 4)),
        (3, 5, 5),
    ),
    "linear": (lambda: nn.Sequential(nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 4)), (7,)),
    "linear over a sequence": (SequenceNetwork, (5, 7)),
    "activation in place": (
        lambda: nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(inplace=True), nn.Conv2d(5, 4, 1), nn.Tanh(), nn.Flatten()),
        (3, 4, 3),
    ),
    "other kinds of layers": (mixed_layers, (3, 9, 12)),
}


def statistics_of(network, photos, batch=100, advance=lambda count: None, **options):
    generator, classes = torch.Generator().manual_seed(SEED), network.eval()(photos[:1]).shape[1]
    batches = [PhotoBatch(torch.randn((len(some), classes), generator=generator), some) for some in photos.split(batch)]
    return statistics_of_batches(network, batches, advance, **options)


def statistics_of_batches(network, batches, advance=lambda count: None, sweeps=(None,), **options):
    return dict(accumulate_statistics(network, lambda: batches, advance, GradientOptions(**options), sweeps))


def reference_statistics(network, photos):
    """Return the row blocks, the Fisher information of biases and the row products, from one backward pass a photo."""
    weights = layer_weight_names(network).values()
    parameters = {name: part for name, part in network.named_parameters() if name in weights or name.endswith("bias")}
    blocks, biases = dict.fromkeys(weights, 0.0), {name: 0.0 for name in parameters if name.endswith("bias")}
    products = dict.fromkeys(weights, 0.0)
    drawn = torch.randn(len(photos), network(photos[:1]).shape[1], generator=torch.Generator().manual_seed(SEED))
    for photo, normal in zip(photos, drawn, strict=True):
        logits = network(photo[None])[0]
        p = logits.softmax(0).detach()
        # The Fisher information of the softmax, diag(p) - p p^T, as the square of a matrix with one row per class.
        direction = normal @ (torch.diag(p.sqrt()) - torch.outer(p.sqrt(), p))
        gradients = torch.autograd.grad(logits @ direction, parameters.values(), materialize_grads=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            rows = gradient.flatten(1 if name in blocks else 0).double().numpy()
            if name in blocks:
                blocks[name] += np.einsum("ij,ik->ijk", rows, rows) / len(photos)
                products[name] += rows @ rows.T / len(photos)
            else:
                biases[name] += np.square(rows) / len(photos)
    return {name: found for name, found in blocks.items() if not name.startswith("unused")}, biases, products


def class_blocks(network, photos, last):
    """Return the exact row blocks of the last layer, from the gradient of each class' logit."""
    weight, found = network.get_parameter(last), 0.0
    for photo in photos:
        logits = network(photo[None])[0]
        p = (logits / 2.5).softmax(0).detach().double().numpy()
        gradients = [torch.autograd.grad(logit, weight, retain_graph=True)[0][row] for row, logit in enumerate(logits)]
        rows = torch.stack(gradients).flatten(1).double().numpy()
        found += np.einsum("i,ij,ik->ijk", p * (1 - p), rows, rows) / len(photos)
    return found


def with_minimum(fisher):
    return np.maximum(fisher, 0.05 * fisher.mean())


@pytest.mark.parametrize("max_unfolded", [0, 10**6])
@pytest.mark.parametrize("kind", NETWORKS)
def test_statistics_equal_the_reference_computed_photo_by_photo(kind, max_unfolded, monkeypatch):
    monkeypatch.setattr("compress.calibration.example_gradients._MAX_UNFOLDED", max_unfolded)
    make, shape = NETWORKS[kind]
    network, photos = make(), torch.randn(9, *shape)
    statistics = statistics_of(network, photos, row_block_bytes=ROW_BLOCK_BYTES)
    row_blocks, biases, row_products = reference_statistics(network, photos)
    assert list(statistics) == list(row_blocks)
    last = list(row_blocks)[-1]
    for name, blocks in row_blocks.items():
        got = statistics[name]
        row_fisher = np.trace(blocks, axis1=1, axis2=2)
        if name == last and kind != "activation in place":  # where each row gives several logits
            blocks = class_blocks(network, photos, last)  # noqa: PLW2901
        traces = np.trace(blocks, axis1=1, axis2=2)
        input_factor = blocks.sum(0) / traces.sum()
        np.testing.assert_allclose(got.input_factor, input_factor, rtol=1e-3, atol=1e-4 * np.abs(input_factor).max())
        assert np.trace(got.input_factor) == pytest.approx(1)
        bias = biases.get(name.replace("weight", "bias"))
        for found, information in ((got.row_fisher, row_fisher), (got.bias_fisher, bias)):
            if information is None:
                continue
            equal = np.full_like(information, information.mean())
            np.testing.assert_allclose(found, equal if name == last else with_minimum(information), rtol=1e-3)
        np.testing.assert_allclose(symmetric(got.row_blocks), blocks / traces[:, None, None], rtol=1e-3, atol=1e-4)
        if got.row_correlation is not None:
            deviation = np.sqrt(np.diag(row_products[name]))
            np.testing.assert_allclose(
                got.row_correlation, row_products[name] / np.outer(deviation, deviation), atol=1e-4
            )
    assert any(statistics[name].row_correlation is not None for name in list(row_blocks)[:-1])
    assert statistics[last].row_correlation is None


def test_layers_that_run_on_each_photo_alone_have_the_same_statistics():
    network, photos = PhotoByPhoto(), torch.randn(9, 3, 9, 9)
    alone = statistics_of(network, photos, batch=1, row_block_bytes=ROW_BLOCK_BYTES)
    network.together = True
    together = statistics_of(network, photos, batch=1, row_block_bytes=ROW_BLOCK_BYTES)
    assert list(alone) == list(together) == [f"{name}.weight" for name in ("first", "point", "along", "last")]
    for name, layer in together.items():
        for field in ("input_factor", "row_fisher", "bias_fisher", "row_blocks"):
            expected = getattr(layer, field)
            np.testing.assert_allclose(getattr(alone[name], field), expected, rtol=1e-3, atol=1e-5 * expected.max())


def test_row_blocks_of_classes_do_not_depend_on_the_noise():
    network, photos = NETWORKS["linear"][0]().eval(), torch.randn(9, 7)
    one, another = (
        statistics_of_batches(network, [PhotoBatch(noise, photos)], row_block_bytes=ROW_BLOCK_BYTES)
        for noise in torch.randn(2, 9, 4)
    )
    np.testing.assert_array_equal(one["2.weight"].row_blocks, another["2.weight"].row_blocks)
    assert np.abs(one["0.weight"].row_blocks - another["0.weight"].row_blocks).max() > 0.01


def test_a_photo_counts_for_all_classes_that_it_resembles():
    network = nn.Sequential(nn.Linear(2, 3, bias=False)).eval()
    network[0].weight.data = torch.tensor([[10.0, 0.0], [0.0, 10.0], [7.0, 0.0]])
    row_blocks = statistics_of(network, torch.eye(2), row_block_bytes=ROW_BLOCK_BYTES)["0.weight"].row_blocks
    # p of the third class is 16.44 / (54.6 + 1 + 16.44) on the first photo and 1 / (1 + 54.6 + 1) on the second: a
    # tenth of its block comes from a photo of another class.
    np.testing.assert_allclose(symmetric(row_blocks[2]), np.diag([0.9103, 0.0897]), atol=1e-4)


def test_rows_of_a_layer_too_large_for_memory_share_blocks_with_adjacent_rows(monkeypatch):
    monkeypatch.setattr("compress.calibration.row_block_memory._MAX_LAYER_ENTRIES", 40 * 7**2)
    network, photos = nn.Sequential(nn.Linear(7, 90)).eval(), torch.randn(9, 7)
    row_blocks, blocks = (
        statistics_of(network, photos, row_block_bytes=ROW_BLOCK_BYTES)["0.weight"].row_blocks,
        class_blocks(network, photos, "0.weight"),
    )
    groups = np.arange(90) * 40 // 90
    assert len(np.unique(groups)) == len(row_blocks) == 40
    for group, found in enumerate(symmetric(row_blocks)):
        expected = blocks[groups == group].sum(0)
        np.testing.assert_allclose(found, expected / np.trace(expected), rtol=1e-3, atol=1e-4)


def test_row_blocks_are_gathered_on_request_only():
    network, photos = NETWORKS["1x1 with stride"][0](), torch.randn(9, 3, 5, 5)
    assert all(layer.row_blocks is layer.row_correlation is None for layer in statistics_of(network, photos).values())


def test_grouped_and_large_layers_have_no_row_correlation():
    network = nn.Sequential(
        nn.Conv2d(4, 8, 1, groups=2), nn.Conv2d(8, 257, 1), nn.Conv2d(257, 5, 1), nn.Conv2d(5, 3, 1), nn.Flatten()
    )
    statistics = statistics_of(network, torch.randn(9, 4, 1, 1), row_block_bytes=ROW_BLOCK_BYTES)
    assert [name for name, layer in statistics.items() if layer.row_correlation is not None] == ["2.weight"]


def test_gathering_changes_no_weight_and_leaves_no_hook_and_no_gradient():
    network, photos = NETWORKS["linear"][0](), torch.randn(9, 7)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    statistics_of(network, photos)
    for parameter, was in zip(network.parameters(), before, strict=True):
        assert torch.equal(parameter, was)
        assert parameter.grad is None
    assert not any(module._forward_hooks for module in network.modules())


def test_progress_counts_photos():
    counts = []
    statistics_of(NETWORKS["linear"][0](), torch.randn(9, 7), batch=4, advance=counts.append)
    assert counts == [4, 4, 1]


@pytest.mark.parametrize("row_blocks", [False, True])
def test_a_photo_of_weight_three_equals_three_copies(row_blocks):
    """The three copies have the same sampled direction. The weights of classes give the photos these weights."""
    network, photos = NETWORKS["linear"][0]().eval(), torch.randn(4, 7)
    thrice = torch.cat([photos, photos[:1], photos[:1]])
    drawn = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    drawn[4:] = drawn[0]
    with torch.no_grad():
        softmax = network(photos).double().softmax(1)
    class_weights = torch.linalg.solve(softmax, torch.tensor([3.0, 1.0, 1.0, 1.0], dtype=torch.float64))
    row_block_bytes = ROW_BLOCK_BYTES * row_blocks
    weighted = statistics_of_batches(
        network, [PhotoBatch(drawn[:4], photos)], row_block_bytes=row_block_bytes, class_weights=class_weights
    )
    repeated = statistics_of_batches(network, [PhotoBatch(drawn, thrice)], row_block_bytes=row_block_bytes)
    for name, expected in repeated.items():
        for part, value in vars(expected).items():
            if value is None:
                assert getattr(weighted[name], part) is None
            else:
                np.testing.assert_allclose(getattr(weighted[name], part), value, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", NETWORKS)
def test_half_precision_changes_the_statistics_by_its_rounding_alone(kind):
    make, shape = NETWORKS[kind]
    torch.manual_seed(SEED)
    network, photos = make(), torch.randn(30, *shape)
    exact, half = (
        statistics_of(network, photos, 6, row_block_bytes=10**7, half_precision=half) for half in (False, True)
    )
    for name, statistics in half.items():
        assert np.abs(statistics.input_factor - exact[name].input_factor).max() <= 0.02
        np.testing.assert_allclose(statistics.row_fisher, exact[name].row_fisher, rtol=0.1)
        if statistics.row_correlation is not None:
            np.testing.assert_allclose(statistics.row_correlation, exact[name].row_correlation, atol=0.05)


class WritesIntoFloat(nn.Module):
    """Writes the outputs of a layer into a float32 tensor, which must not be in half precision then."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(7, 4)

    def forward(self, x):
        return torch.zeros(len(x), 4).index_put((torch.arange(len(x)),), self.layer(x))


def test_a_network_that_needs_float32_refuses_half_precision_and_says_what_to_do():
    with pytest.raises(PassError, match=r"does not run in bfloat16: .*; use half_precision: false"):
        statistics_of(WritesIntoFloat(), torch.randn(6, 7), half_precision=True)


def test_no_photos_is_an_error():
    with pytest.raises(DataError, match="at least one photo"):
        statistics_of_batches(NETWORKS["linear"][0](), [])


def test_all_rows_of_the_classifier_have_the_same_fisher_information():
    make, shape = NETWORKS["linear"]
    statistics = statistics_of(make(), torch.randn(9, *shape))
    assert np.ptp(statistics["2.weight"].row_fisher) == 0
    assert np.ptp(statistics["0.weight"].row_fisher) > 0


def test_a_row_that_is_always_zero_has_no_correlation_and_a_twentieth_of_the_mean_fisher_information():
    network = nn.Sequential(nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 4))
    with torch.no_grad():
        network[0].bias[2] = -1000.0
    statistics = statistics_of(network, torch.randn(20, 7), row_block_bytes=ROW_BLOCK_BYTES)["0.weight"]
    np.testing.assert_array_equal(statistics.row_correlation[2], np.eye(6, dtype=np.float32)[2])
    others = np.delete(statistics.row_fisher, 2)
    assert statistics.row_fisher[2] == pytest.approx(0.05 * others.sum() / 6)


def test_a_singular_input_factor_of_constant_photos_has_a_finite_inverse():
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for statistics in statistics_of(network, torch.full((4, 3, 8, 8), 0.7)).values():
        assert np.linalg.matrix_rank(statistics.input_factor, rtol=1e-5) <= 1
        (factor,) = upper(statistics.row_inverse_cholesky(0))
        assert np.isfinite(factor).all()
        assert (np.diag(factor) > 0).all()


def test_a_layer_without_input_has_finite_statistics():
    network = nn.Sequential(nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
    with torch.no_grad():
        network[0].bias.fill_(-1000)
    statistics = statistics_of(network, torch.randn(9, 7))
    assert not statistics["2.weight"].input_factor.any()
    for layer in statistics.values():
        assert np.isfinite(layer.row_fisher).all()
        assert np.isfinite(layer.row_inverse_cholesky(0)).all()


@pytest.mark.parametrize("name", ["0.weight", "2.weight", "4.weight"])
def test_the_predicted_divergence_of_a_small_error_is_close_to_the_measured(tiny, patchwork, name):
    inputs = torch.from_numpy(to_input(patchwork(200).pixels, tiny.preprocessing))
    network = to_module(tiny)
    statistics = statistics_of(network, inputs)[name]
    weight = network.get_parameter(name)
    random = np.random.default_rng(0)
    predicted, measured = [], []
    with torch.no_grad():
        before = Outputs(network(inputs).numpy(), None)
        for _ in range(10):
            error = 0.02 * float(weight.std()) * random.standard_normal(weight.shape)
            flat = error.reshape(len(error), -1)
            predicted.append(
                0.5 * statistics.row_fisher @ np.einsum("ij,jk,ik->i", flat, statistics.input_factor, flat)
            )
            weight += torch.from_numpy(error).float()
            measured.append(divergences(Outputs(network(inputs).numpy(), None), before).mean())
            weight -= torch.from_numpy(error).float()
    assert np.mean(predicted) == pytest.approx(np.mean(measured), rel=0.5)


def test_rows_of_a_large_network_share_blocks_so_that_all_fit_into_memory(monkeypatch):
    monkeypatch.setattr("compress.calibration.row_block_memory._MAX_LAYER_ENTRIES", 1000)
    network = nn.Sequential(nn.Linear(7, 18), nn.ReLU(), nn.Linear(18, 30), nn.ReLU(), nn.Linear(30, 4))
    found = statistics_of(network, torch.randn(9, 7), row_block_bytes=4000)
    row_blocks = [layer.row_blocks for layer in found.values()]
    assert row_blocks[0].shape == (9, 28)  # 18 blocks and one of each other layer take more than 4,000 bytes
    assert row_blocks[1] is None
    assert row_blocks[2] is None


@pytest.mark.parametrize("row_block_bytes", [0, 10**7])
def test_long_rows_have_the_same_statistics_from_gradients_made_fewer(monkeypatch, row_block_bytes):
    """Each group has more rows than the layer has positions, so that its gradients can be made fewer."""
    network = nn.Sequential(nn.Conv2d(114, 30, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(30 * 4, 5))
    photos = torch.randn(7, 114, 5, 5)
    found = statistics_of(network, photos, batch=3, row_block_bytes=row_block_bytes)
    monkeypatch.setattr("compress.calibration.layer_accumulator._LONG_ROW", 10**6)
    expected = statistics_of(network, photos, batch=3, row_block_bytes=row_block_bytes)
    assert row_block_bytes == 0 or len(found["0.weight"].row_blocks) == 3
    for part, value in vars(expected["0.weight"]).items():
        if value is not None:
            np.testing.assert_allclose(getattr(found["0.weight"], part), value, rtol=1e-3, atol=1e-6)


def test_more_sweeps_give_the_same_statistics():
    make, shape = NETWORKS["other kinds of layers"]
    network, photos = make(), torch.randn(9, *shape)
    at_once = statistics_of(network, photos, row_block_bytes=ROW_BLOCK_BYTES)
    one_by_one = statistics_of(network, photos, row_block_bytes=ROW_BLOCK_BYTES, sweeps=[[name] for name in at_once])
    assert list(one_by_one) == list(at_once)
    for name, expected in at_once.items():
        for part, value in vars(expected).items():
            np.testing.assert_array_equal(getattr(one_by_one[name], part), value)


class TiedDecoder(nn.Module):
    """Reads the weight of a layer again, transposed: most of its gradient is not of the layer's call."""

    def __init__(self):
        super().__init__()
        self.encoder, self.between, self.last = nn.Linear(7, 6), nn.Linear(6, 6), nn.Linear(7, 4)

    def forward(self, x):
        hidden = self.between(self.encoder(x).tanh()).tanh()
        return self.last(nn.functional.linear(hidden, 5 * self.encoder.weight.t()))


def test_a_weight_that_the_network_reads_itself_has_the_gradient_of_all_uses():
    torch.manual_seed(0)
    network, photos = TiedDecoder(), torch.randn(10, 7)
    statistics = statistics_of(network, photos, row_block_bytes=ROW_BLOCK_BYTES)
    drawn, fisher = torch.randn(10, 4, generator=torch.Generator().manual_seed(SEED)), 0.0
    for some, normal in zip(photos.split(5), drawn.split(5), strict=True):  # the photos of a pass
        logits = network(some)
        p = logits.softmax(1).detach()
        directions = normal * p.sqrt() - p * (normal * p.sqrt()).sum(1, keepdim=True)
        (gradient,) = torch.autograd.grad(logits, network.encoder.weight, directions)
        fisher += gradient.square().sum(1).double().numpy() / len(photos)
    np.testing.assert_allclose(statistics["encoder.weight"].row_fisher, with_minimum(fisher), rtol=1e-4)
    assert statistics["encoder.weight"].row_blocks is None
    assert statistics["between.weight"].row_blocks is not None


class PositionsFirst(nn.Module):
    """Runs its layers with positions before photos, as CLIP and transformers with `batch_first=False` do."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(7, 6), nn.Linear(6, 4)

    def forward(self, x):
        return self.last(self.first(x.transpose(0, 1)).tanh()).mean(0)


class Pairs(PositionsFirst):
    """Runs a layer once on two crops of all photos, as Siamese networks do."""

    def forward(self, x):
        left, right = self.first(torch.cat([x[:, 0], x[:, 1]])).tanh().chunk(2)
        return self.last(5 * (left - right))


@pytest.mark.parametrize("kind", [PositionsFirst, Pairs])
@pytest.mark.parametrize("positions", [5, 10, 12])
def test_layers_that_do_not_see_one_photo_after_another_have_the_gradient_of_a_pass(kind, positions):
    torch.manual_seed(0)
    network, photos = kind(), torch.randn(10, 1, 7) + 0.1 * torch.randn(10, positions, 7)
    statistics = statistics_of(network, photos, row_block_bytes=ROW_BLOCK_BYTES)["first.weight"]
    drawn = torch.randn(10, 4, generator=torch.Generator().manual_seed(SEED))
    blocks, biases = torch.zeros(6, 7, 7), torch.zeros(6)
    for some, normal in zip(photos.split(5), drawn.split(5), strict=True):  # the photos of a pass
        logits = network(some)
        p = logits.softmax(1).detach()
        directions = normal * p.sqrt() - p * (normal * p.sqrt()).sum(1, keepdim=True)
        weight, bias = torch.autograd.grad(logits, [*network.first.parameters()], directions)
        blocks += torch.einsum("ij,ik->ijk", weight, weight) / 10
        biases += bias.square() / 10
    traces = blocks.diagonal(dim1=1, dim2=2).sum(1).double().numpy()
    np.testing.assert_allclose(statistics.row_fisher, with_minimum(traces), rtol=1e-3)
    np.testing.assert_allclose(statistics.bias_fisher, with_minimum(biases.double().numpy()), rtol=1e-3)
    expected = blocks.numpy() / traces[:, None, None]
    np.testing.assert_allclose(symmetric(statistics.row_blocks), expected, rtol=1e-3, atol=1e-4)


def test_row_blocks_of_classes_do_not_mix_the_photos_of_a_pass():
    """The gradients of a class have one sign for all photos, so that their sum is not the mean over photos."""
    torch.manual_seed(0)
    network, photos = PositionsFirst(), torch.randn(400, 5, 7)
    found = statistics_of(network, photos, batch=5, row_block_bytes=ROW_BLOCK_BYTES)["last.weight"].row_blocks
    blocks = reference_statistics(network, photos)[0]["last.weight"]
    expected = blocks / np.trace(blocks, axis1=1, axis2=2)[:, None, None]
    np.testing.assert_allclose(symmetric(found), expected, atol=0.1)


class Experts(nn.Module):
    """Each photo takes one of two convolutions; the other one runs on no photo, or does not run."""

    def __init__(self, skips: bool) -> None:
        super().__init__()
        self.skips, self.last = skips, nn.Linear(6, 4)
        self.experts = nn.ModuleList(nn.Conv2d(7, 6, 3) for _ in range(2))

    def forward(self, x):
        features = torch.zeros(len(x), 6)
        for number, expert in enumerate(self.experts):
            (photos,) = torch.where((x[:, 0, 0, 0] > 0) == number)
            if len(photos) or not self.skips:
                features = features.index_add(0, photos, expert(x[photos]).tanh().mean((2, 3)))
        return self.last(features)


@pytest.mark.parametrize("skips", [True, False])
def test_an_expert_has_statistics_of_the_photos_that_take_it(skips):
    network, photos = Experts(skips), torch.randn(40, 7, 4, 4)
    photos[:, 0, 0, 0] = torch.arange(40) // 5 % 2 - 0.5  # all photos of a pass take the same expert
    found = statistics_of(network, photos, batch=5, row_block_bytes=ROW_BLOCK_BYTES)
    generator, logits = torch.Generator().manual_seed(SEED), network(photos)
    noise = torch.cat([torch.randn(5, 4, generator=generator) for _ in range(8)])
    p = logits.softmax(1).detach()
    directions = noise * p.sqrt() - p * (noise * p.sqrt()).sum(1, keepdim=True)
    for number, expert in enumerate(network.experts):
        gradients = [
            torch.autograd.grad(logit, expert.weight, direction, retain_graph=True)[0]
            for logit, direction in zip(logits, directions, strict=True)
        ]
        fisher = torch.stack(gradients).square().sum((0, 2, 3, 4)).double().numpy() / 40
        statistics = found[f"experts.{number}.weight"]
        np.testing.assert_allclose(statistics.row_fisher, with_minimum(fisher), rtol=1e-3)
        assert len(statistics.row_blocks) == 6


class Scaling(torch.autograd.Function):
    """The sine, whose gradient is scaled by a factor."""

    @staticmethod
    def forward(context, x, factor):
        context.save_for_backward(x)
        context.factor = factor
        return x.sin()

    @staticmethod
    def backward(context, gradient):
        (x,) = context.saved_tensors
        return context.factor * gradient * x.cos(), None


class Scaled(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.first, self.last, self.factor = nn.Linear(7, 6), nn.Linear(6, 4), factor

    def forward(self, x):
        return self.last(Scaling.apply(self.first(x), self.factor))


@pytest.mark.parametrize(("factor", "times"), [(0.1, "10"), (5, "0.2"), (1, ""), (-1, "")])
def test_functions_that_scale_gradients_get_a_warning_with_the_layers_before_them(factor, times, caplog):
    """Fisher information is the same with the other sign."""
    torch.manual_seed(0)
    network = Scaled(factor)
    before = [parameter.clone() for parameter in network.parameters()]
    statistics_of(network, torch.randn(6, 7), batch=3)
    pattern = rf"the backward of Scaling in .* few or too many bits: first\.weight \({times} times\)\. "
    assert [bool(re.match(pattern, message)) for message in caplog.messages] == [True] * bool(times)
    assert all(map(torch.equal, before, network.parameters()))


def test_the_activations_of_a_pass_are_freed_before_the_next():
    make, shape = NETWORKS["3x3, stride, padding, dilation, 1x1"]
    network, alive, earlier = make(), [], []

    def count_earlier(module, args, output):
        alive.append(sum(each() is not None for each in earlier))
        earlier.append(weakref.ref(output))

    network[0].register_forward_hook(count_earlier)
    statistics_of(network, torch.randn(12, *shape), batch=3)
    assert len(alive) > 3
    assert not any(alive)
