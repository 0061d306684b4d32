"""The network's tensors in checkpoints of training scripts: found wherever they are, never guessed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from compress.errors import ConfigError, WeightsError
from compress.weights.checkpoint_file import read_checkpoint
from compress.weights.state_dict_search import expected_tensors, find_state_dict


def make_network(classes=3):
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Sequential(nn.Flatten(), nn.LazyLinear(classes)))


@pytest.fixture
def network():
    network = make_network()
    network(torch.zeros(2, 1, 5, 5))
    return network


@pytest.fixture
def find(tmp_path, network):
    def find(held, **options):
        torch.save(held, tmp_path / "w.pth")
        return find_state_dict(read_checkpoint(tmp_path / "w.pth"), expected_tensors(network), **options)

    return find


def assert_found(state, network):
    expected = {name: tensor for name, tensor in network.state_dict().items() if "tracked" not in name}
    assert state.arrays.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(torch.from_numpy(state.arrays[name]), tensor), name


def prefixed(network, prefix):
    return {f"{prefix}{name}": tensor for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "net", "ema.best"])
def test_the_tensors_are_found_under_any_key(find, network, key):
    assert_found(find({"epoch": 3, key: network.state_dict()}), network)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.model."])
def test_the_tensors_are_found_after_any_prefix(find, network, prefix):
    assert_found(find({"state_dict": prefixed(network, prefix)}), network)


@pytest.mark.parametrize("wrapper", ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_the_prefix_of_a_part_that_was_wrapped_is_dropped(find, network, wrapper):
    assert_found(find({name.replace("2.1", f"2.{wrapper}.1"): t for name, t in network.state_dict().items()}), network)


def test_a_wrapped_network_reads_the_checkpoint_of_the_plain_one(tmp_path, network):
    torch.save(network.state_dict(), tmp_path / "w.pth")
    wrapped = nn.Sequential()
    wrapped.module = network
    state = find_state_dict(read_checkpoint(tmp_path / "w.pth"), expected_tensors(wrapped))
    assert_found(state, wrapped)


def test_averaged_weights_and_the_state_of_an_optimizer_are_no_obstacle(find, network):
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.rand(2, 1, 5, 5)).sum().backward()
    optimizer.step()
    averaged = torch.optim.swa_utils.AveragedModel(network)
    assert_found(find({"swa": averaged.state_dict(), "optimizer": optimizer.state_dict()}), network)


def test_several_parts_that_fit_are_an_error_and_a_key_chooses(find, network):
    other = make_network()
    other(torch.zeros(2, 1, 5, 5))
    held = {"model": network.state_dict(), "ema": prefixed(other, "module.")}
    with pytest.raises(
        WeightsError, match=r"several parts fit the network: model, ema.module; .*checkpoint_key: model"
    ):
        find(held)
    assert_found(find(held, key="model"), network)
    assert_found(find(held, key="ema"), other)
    assert_found(find(held, key="ema.module"), other)
    with pytest.raises(ConfigError, match=r"no tensors under 'emma'; did you mean 'ema'\? \(allowed: model, ema\)"):
        find(held, key="emma")


def test_a_part_that_also_fits_beside_the_tensors_of_the_whole_is_noted(find, network):
    averaged = {name: tensor + 1 for name, tensor in network.state_dict().items()}
    state = find({**network.state_dict(), "ema": averaged})
    assert_found(state, network)
    assert state.notes == ("not those under ema, which also fit (checkpoint_key)",)
    assert find({**network.state_dict(), "ema": make_network(4).state_dict()}).notes == ()


def test_of_several_parts_with_the_names_the_one_with_the_shapes_is_read(find, network):
    teacher = make_network(classes=9)
    teacher(torch.zeros(2, 1, 5, 5))
    assert_found(find({"teacher": teacher.state_dict(), "student": network.state_dict()}), network)


def test_a_part_that_lacks_a_tensor_of_the_network_is_noted_where_another_one_is_read(find, network):
    trained = {name: tensor + 1 for name, tensor in network.state_dict().items() if name != "2.1.bias"}
    state = find({"model": trained, "ema": network.state_dict()})
    assert_found(state, network)
    assert state.notes == ("not those under model, which lack tensors of the network",)
    assert find({"model": {"0.weight": torch.zeros(2, 1, 3, 3)}, "ema": network.state_dict()}).notes == ()


def test_tensors_that_the_network_lacks_are_an_error_unless_they_are_ignored(find, network):
    held = {"state_dict": prefixed(network, "model.") | {"loss.weight": torch.ones(3)}}
    with pytest.raises(
        WeightsError, match=r"lacks: state_dict.loss.weight \(3,\); in a pipeline, strict: false ignores them"
    ):
        find(held)
    state = find(held, strict=False)
    assert_found(state, network)
    assert state.notes == ("ignoring state_dict.loss.weight",)
    assert find(held, key="state_dict.model").notes == ()


def test_tensors_with_a_prefix_and_others_without_are_read_together(find, network):
    held = {name if name.startswith("0.") else f"backbone.{name}": each for name, each in network.state_dict().items()}
    state = find(held)
    assert_found(state, network)
    assert state.notes == ()
    with pytest.raises(WeightsError, match=r"tensors that the network lacks: loss \(3,\)"):
        find({**held, "loss": torch.ones(3)})


def test_rounded_weights_are_noted(find, network):
    held = {name: tensor.double() for name, tensor in network.state_dict().items()}
    assert find(held).notes == ()
    held["0.weight"] += 1e-12
    assert find(held).notes == ("1 float64 tensors rounded to float32",)


def test_a_whole_pickled_network_is_an_error_with_advice(find, network):
    for held in (network, {"model": network, "epoch": 3}, {"model": network, "optimizer": {"step": torch.ones(1)}}):
        with pytest.raises(WeightsError, match=r"whole pickled network, not its weights; .*network.state_dict\(\)"):
            find(held)
    assert_found(find({"model": network, "weights": network.state_dict()}), network)


def test_names_of_a_shared_tensor_must_agree(tmp_path):
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[1].weight = network[0].weight
    expected = expected_tensors(network)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    assert find_state_dict(read_checkpoint(tmp_path / "w.pth"), expected).arrays.keys() == expected.shapes.keys()
    state["1.weight"] += 1
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"0.weight and 1.weight differ, but are one tensor in the network"):
        find_state_dict(read_checkpoint(tmp_path / "w.pth"), expected)


def test_a_tensor_without_float32_values_is_an_error_with_its_file_and_name(find, network):
    with pytest.raises(WeightsError, match=r"w\.pth: 0.weight: a sparse tensor"):
        find({**network.state_dict(), "0.weight": torch.zeros(2, 1, 3, 3).to_sparse()})


def test_levels_of_a_quantized_network_are_not_taken_for_weights(find, network):
    for kind in (torch.int8, torch.float8_e4m3fn):
        levels = {name: (tensor * 100).to(kind) for name, tensor in network.state_dict().items()}
        with pytest.raises(WeightsError, match=rf"0\.weight holds {kind}, not floating-point weights"):
            find(levels)
