from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from compress import container
from compress.errors import ConfigError, WeightsError
from compress.networks.inverted_residual import inverted_residual_network
from compress.networks.modules import to_module
from compress.weights.inverted_residual_weights import InvertedResidualWeights

SIZE = 32


def convolutions(inputs, outputs, kernel, stride, ratio, **changes):
    return {
        "name": "MBInvertedConvLayer", "in_channels": inputs, "out_channels": outputs, "kernel_size": kernel,
        "stride": stride, "expand_ratio": ratio, "mid_channels": None, "act_func": "relu6", "use_se": False,
    } | changes  # fmt: skip


def layer(inputs, outputs, kernel, stride):
    sizes = {"in_channels": inputs, "out_channels": outputs, "kernel_size": kernel, "stride": stride}
    return {"name": "ConvLayer", "act_func": "relu6", "dropout_rate": 0} | sizes


@pytest.fixture
def described():
    shortcut = {"name": "IdentityLayer", "in_channels": [6], "out_channels": [6]}
    blocks = [
        {"mobile_inverted_conv": convolutions(8, 6, 3, 1, 1), "shortcut": None},
        {"mobile_inverted_conv": convolutions(6, 6, 5, 1, 4), "shortcut": shortcut},
        {"mobile_inverted_conv": convolutions(6, 10, 7, 2, 3), "shortcut": None},
    ]
    return {
        "name": "ProxylessNASNets",
        "first_conv": layer(3, 8, 3, 2),
        "blocks": [{"name": "MobileInvertedResidualBlock", **block} for block in blocks],
        "feature_mix_layer": layer(10, 20, 1, 1),
        "classifier": {"name": "LinearLayer", "in_features": 20, "out_features": 5, "bias": True},
    }


@pytest.fixture
def state():
    """Tensors as ProxylessNAS names them."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(shape, generator=generator) / np.sqrt(np.prod(shape[1:]) or 1)

    found = {}
    for name, *shape in [
        ("first_conv", 8, 3, 3, 3),
        ("blocks.0.mobile_inverted_conv.depth_conv", 8, 1, 3, 3),
        ("blocks.0.mobile_inverted_conv.point_linear", 6, 8, 1, 1),
        ("blocks.1.mobile_inverted_conv.inverted_bottleneck", 24, 6, 1, 1),
        ("blocks.1.mobile_inverted_conv.depth_conv", 24, 1, 5, 5),
        ("blocks.1.mobile_inverted_conv.point_linear", 6, 24, 1, 1),
        ("blocks.2.mobile_inverted_conv.inverted_bottleneck", 18, 6, 1, 1),
        ("blocks.2.mobile_inverted_conv.depth_conv", 18, 1, 7, 7),
        ("blocks.2.mobile_inverted_conv.point_linear", 10, 18, 1, 1),
        ("feature_mix_layer", 20, 10, 1, 1),
    ]:
        rows = shape[0]
        found[f"{name}.conv.weight"] = random(*shape)
        found[f"{name}.bn.weight"] = 1 + random(rows).abs()
        found[f"{name}.bn.bias"] = random(rows)
        found[f"{name}.bn.running_mean"] = random(rows)
        found[f"{name}.bn.running_var"] = 1 + random(rows).abs()
    return found | {"classifier.linear.weight": random(5, 20), "classifier.linear.bias": random(5)}


def expected_logits(state, x, epsilon=1e-5):
    """The network of `described`, from its definition in the papers."""

    def convolution(name, x, kernel, stride=1, groups=1):
        x = functional.conv2d(x, state[f"{name}.conv.weight"], None, stride, kernel // 2, 1, groups)
        norm = (state[f"{name}.bn.{each}"] for each in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(x, *norm, eps=epsilon)

    def block(index, x, middle, kernel, stride=1):
        name = f"blocks.{index}.mobile_inverted_conv"
        if f"{name}.inverted_bottleneck.conv.weight" in state:
            x = functional.relu6(convolution(f"{name}.inverted_bottleneck", x, 1))
        x = functional.relu6(convolution(f"{name}.depth_conv", x, kernel, stride, middle))
        return convolution(f"{name}.point_linear", x, 1)

    x = block(0, functional.relu6(convolution("first_conv", x, 3, 2)), 8, 3)
    x = block(2, x + block(1, x, 24, 5), 18, 7, 2)
    features = functional.relu6(convolution("feature_mix_layer", x, 1)).mean((2, 3))
    return functional.linear(features, state["classifier.linear.weight"], state["classifier.linear.bias"])


@pytest.fixture
def load(tmp_path, described, state):
    def load(fold_batch_norm=True, **changes):
        (tmp_path / "network.json").write_text(json.dumps(described | changes))
        torch.save({"state_dict": state}, tmp_path / "weights.pth")
        paths = {"path": str(tmp_path / "weights.pth"), "architecture": str(tmp_path / "network.json")}
        return InvertedResidualWeights(**paths, input_size=SIZE, fold_batch_norm=fold_batch_norm).load()

    return load


def logits_of(model, photos):
    with torch.inference_mode():
        return to_module(model)(photos)


def test_described_network_has_the_logits_of_the_papers(load, state):
    photos = torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(logits_of(load(), photos), expected_logits(state, photos), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fold_batch_norm", [True, False])
def test_batch_norms_have_the_epsilon_of_the_description(load, state, fold_batch_norm):
    photos = torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    model = load(fold_batch_norm, bn={"momentum": 0.1, "eps": 0.5, "ws_eps": None})
    expected = expected_logits(state, photos, 0.5)
    np.testing.assert_allclose(logits_of(model, photos), expected, rtol=1e-4, atol=1e-5)
    assert not np.allclose(expected, expected_logits(state, photos), rtol=1e-2)


def test_file_runs_without_a_trusted_function(load):
    photos = torch.ones(1, 3, SIZE, SIZE)
    model = load()
    decoded = container.decode(container.encode(model))
    assert not decoded.trusted
    np.testing.assert_array_equal(logits_of(decoded, photos), logits_of(model, photos))


def test_runtime_in_c_knows_the_operations(load):
    assert load().program


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"act_func": "h_swish"}, "blocks.0.mobile_inverted_conv.act_func: Input should be 'relu6'"),
        ({"use_se": True}, "blocks.0.mobile_inverted_conv.use_se"),
        ({"kernel_size": None}, "blocks.0.mobile_inverted_conv.kernel_size"),
        ({"stride": "fast"}, "blocks.0.mobile_inverted_conv.stride"),
    ],
)
def test_other_blocks_are_refused(load, described, changes, problem):
    first, *others = described["blocks"]
    first = first | {"mobile_inverted_conv": first["mobile_inverted_conv"] | changes}
    with pytest.raises(ConfigError) as raised:
        load(blocks=[first, *others])
    assert problem in str(raised.value)
    assert raised.value.key == "model.architecture"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"first_conv": layer(3, 8, 3, 2) | {"dilation": 2}}, "first_conv.dilation"),
        ({"first_conv": layer(3, 8, 3, 2) | {"groups": 3}}, "first_conv.groups"),
        ({"first_conv": layer(3, 8, 3, 2) | {"use_bn": False}}, "first_conv.use_bn"),
        ({"feature_mix_layer": layer(10, 20, 3, 1)}, "feature_mix_layer.kernel_size"),
        ({"bn": {"eps": 1e-5, "ws_eps": 1e-5}}, "bn.ws_eps"),
    ],
)
def test_other_layers_are_refused(load, changes, problem):
    with pytest.raises(ConfigError, match=problem):
        load(**changes)


def test_network_that_a_file_names_may_not_fill_the_memory():
    network = {"stem": [3, 2, 4096], "blocks": [[3, 1, 4095, 4096, 1]] * 100, "head": 0, "classes": 10}
    with pytest.raises(ValueError, match=r"allowed: up to 100,000,000"):
        inverted_residual_network(**network)


def test_checkpoint_of_another_network_names_the_tensors(load, state):
    del state["blocks.1.mobile_inverted_conv.point_linear.bn.bias"]
    state["classifier.linear.bias"] = torch.zeros(7)
    with pytest.raises(WeightsError) as raised:
        load()
    assert "missing blocks.1.mobile_inverted_conv.point_linear.bn.bias (6,)" in str(raised.value)
    assert "classifier.linear.bias is (7,), not (5,)" in str(raised.value)


def test_sizes_in_a_file_are_bounded(load):
    model = load()
    for before, after in [('"classes":5', '"classes":1000000000'), ("[5,1,24,6,1]", "[5,1,999999,6,1]")]:
        assert before in model.architecture
        damaged = replace(model, architecture=model.architecture.replace(before, after))
        with pytest.raises(ConfigError, match="less than or equal to"):
            to_module(damaged)


def test_shortcut_between_different_channels_is_refused():
    network = {"stem": [3, 2, 8], "blocks": [[3, 1, 8, 6, 1]], "head": 0, "classes": 5}
    with pytest.raises(ValueError, match="shortcut"):
        inverted_residual_network(**network)
