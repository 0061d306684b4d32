"""Networks that the user's code makes."""

from __future__ import annotations

import importlib
import random
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from user_networks import mixed_layers, mobilenet, resnet18

from compress import container, load
from compress.errors import ConfigError, WeightsError
from compress.model import trust_factory
from compress.networks.factory import NetworkFactory
from compress.networks.modules import set_weights, to_module
from compress.networks.network_identity import identity
from compress.networks.preprocessing_options import PreprocessingOptions
from compress.weights.user_network import UserNetwork

MIXED_LAYERS = UserNetwork(factory="user_networks:mixed_layers", input_size=16)


def photos(count: int, side: int) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(3))


def with_batch_statistics(network: torch.nn.Module) -> torch.nn.Module:
    """Return the network with batch norms that have statistics."""
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(8, 3, 32, 32) * 2 + 1)
        for name, parameter in network.named_parameters():
            if parameter.dim() == 1 and "bn" in name:
                parameter.add_(torch.randn_like(parameter) / 3)
    return network.eval()


@pytest.mark.parametrize("make", [resnet18, mobilenet, mixed_layers])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_network_is_read_from_its_checkpoint_and_from_the_compressed_file(make, suffix, tmp_path):
    network = with_batch_statistics(make(**({"width": 8} if make is resnet18 else {})))
    checkpoint = tmp_path / f"trained{suffix}"
    if suffix == ".pth":
        torch.save(network.state_dict(), checkpoint)
    else:
        pytest.importorskip("safetensors.torch").save_model(network, checkpoint)
    args = {"width": 8} if make is resnet18 else {}
    model = UserNetwork(
        factory=f"user_networks:{make.__name__}", args=args, checkpoint=str(checkpoint), input_size=32
    ).load()
    read = container.decode(container.encode(model))
    assert read.architecture == model.architecture
    restored = to_module(trust_factory(read, f"user_networks:{make.__name__}"))
    x = photos(4, 32)
    with torch.inference_mode():
        assert torch.equal(restored(x), network(x))


def test_only_the_weights_of_layers_that_run_are_compressed():
    model = MIXED_LAYERS.load()
    assert model.weight_names() == [
        "first.weight", "twice.weight", "thin.weight", "along.weight", "tied.weight", "head.weight"
    ]  # fmt: skip
    assert model.uncompressed == {"positions", "order", "unused.weight", "unused.bias", "also_tied.bias"}
    assert model.classes == 5


@pytest.mark.parametrize(("make", "norms"), [("resnet18", 20), ("mobilenet", 13)])
def test_folded_batch_norms_are_removed_and_the_outputs_are_the_same(make, norms, tmp_path):
    args = {"classes": 7} | ({"width": 8} if make == "resnet18" else {})
    network = with_batch_statistics({"resnet18": resnet18, "mobilenet": mobilenet}[make](**args))
    torch.save(network.state_dict(), tmp_path / "trained.pth")
    source = UserNetwork(
        factory=f"user_networks:{make}", args=args, checkpoint=str(tmp_path / "trained.pth"), input_size=32
    )
    plain, folded = source.load(), replace(source, fold_batch_norm=True).load()
    assert len(plain.tensors) - len(folded.tensors) == norms * 3  # a norm has four tensors; the layer gains a bias
    assert not folded.uncompressed
    x = photos(4, 32)
    with torch.inference_mode():
        torch.testing.assert_close(to_module(folded)(x), network(x), rtol=1e-4, atol=1e-4)
    read = trust_factory(container.decode(container.encode(folded)), f"user_networks:{make}")
    with torch.inference_mode():
        assert torch.equal(to_module(read)(x), to_module(folded)(x))


def norms_without_weights() -> nn.Module:
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return with_batch_statistics(nn.Sequential(*layers, nn.Linear(4, 5), nn.BatchNorm1d(5, affine=False)))


def test_batch_norms_without_weights_are_folded(tmp_path):
    torch.save(norms_without_weights().state_dict(), tmp_path / "trained.pth")
    source = UserNetwork(
        factory=f"{__name__}:norms_without_weights", checkpoint=str(tmp_path / "trained.pth"), input_size=32
    )
    plain, folded = source.load(), replace(source, fold_batch_norm=True).load()
    assert list(folded.tensors) == ["0.weight", "0.bias", "4.weight", "4.bias"]
    x = photos(4, 32)
    with torch.inference_mode():
        torch.testing.assert_close(to_module(folded)(x), to_module(plain)(x), rtol=1e-4, atol=1e-4)


class Adapting(nn.Sequential):
    """Normalizes by the statistics of the batch in evaluation mode, too, as test-time adaptation does."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveMaxPool2d(1), nn.Flatten())

    def train(self, mode: bool = True) -> Adapting:
        super().train(mode)
        self[1].train()
        return self


def test_batch_norms_that_normalize_by_the_batch_are_not_folded():
    source = UserNetwork(factory=f"{__name__}:Adapting", input_size=16, fold_batch_norm=True)
    assert {"1.weight", "1.running_mean"} < source.load().tensors.keys()


def test_the_seed_determines_weights_without_a_checkpoint():
    one, two, other = (MIXED_LAYERS.load(seed) for seed in (1, 1, 2))
    assert container.weights_sha256(one) == container.weights_sha256(two) != container.weights_sha256(other)


def drawn_by(library: str) -> torch.nn.Module:
    draw = random.gauss if library == "random" else np.random.normal
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([draw(0, 1) for _ in range(108)]).view(4, 3, 3, 3))
    return network


@pytest.mark.parametrize("library", ["random", "numpy"])
def test_the_seed_also_determines_weights_that_other_libraries_draw(library):
    source = UserNetwork(factory=f"{__name__}:drawn_by", args={"library": library}, input_size=16)
    states = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    one, two, other = (container.weights_sha256(source.load(seed)) for seed in (1, 1, 2))
    assert one == two != other
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states  # noqa: NPY002


def test_a_file_does_not_choose_which_code_runs(tmp_path):
    path = tmp_path / "model.sqz"
    container.write(path, MIXED_LAYERS.load())
    with pytest.raises(WeightsError, match="--factory user_networks:mixed_layers"):
        load(path)
    with pytest.raises(ConfigError, match="is made by 'user_networks:mixed_layers', not by 'user_networks:mobilenet'"):
        load(path, factory="user_networks:mobilenet")
    assert load(path, factory="user_networks:mixed_layers")(photos(2, 16)).shape == (2, 5)
    assert (
        container.read(path).tensors.keys() == MIXED_LAYERS.load().tensors.keys()
    )  # reading weights needs no function


@pytest.mark.parametrize(
    ("architecture", "problem"),
    [
        ("os:system {", "is not a function with its arguments"),
        ('os:system {"args":[1]}', "is not a function with its arguments"),
        ('os:system {"argv":{}}', "is not a function with its arguments"),
        ("__import__('os'):x", "is not a function with its arguments"),
        ("a:b [1]", "is not a function with its arguments"),
    ],
)
def test_a_damaged_architecture_is_an_error(architecture, problem):
    with pytest.raises(WeightsError, match=problem):
        to_module(replace(MIXED_LAYERS.load(), architecture=architecture))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"factory": "user_networks_:mixed_layers"},
            "'user_networks_:mixed_layers' makes no network: ModuleNotFoundError",
        ),
        ({"factory": "user_networks:mixed_layer"}, "has no attribute 'mixed_layer'"),
        ({"factory": "user_networks:torch"}, "it is a module, not a function"),
        ({"factory": "user_networks:raises_error"}, "ValueError: no, thanks, when called with {}"),
        ({"args": {"colour": "red"}}, "unexpected keyword argument 'colour'"),
        ({"factory": "user_networks:returns_text"}, "it returned str"),
        ({"factory": "user_networks:returns_feature_map"}, r"a tensor of \(1, 4, 14, 14\) for one photo"),
        ({"checkpoint": "nowhere.pth"}, "no file nowhere.pth"),
    ],
)
def test_a_function_that_makes_no_network_is_an_error(changes, problem):
    with pytest.raises(ConfigError, match=problem):
        replace(MIXED_LAYERS, **changes).load()


def test_a_checkpoint_of_another_network_is_an_error_that_lists_tensors(tmp_path):
    torch.save(mobilenet().state_dict(), tmp_path / "other.pth")
    with pytest.raises(
        WeightsError,
        match=r"other\.pth: not the weights of the network of user_networks:mixed_layers: missing positions",
    ):
        replace(MIXED_LAYERS, checkpoint=str(tmp_path / "other.pth")).load()
    torch.save(mixed_layers(classes=4).state_dict(), tmp_path / "four.pth")
    with pytest.raises(WeightsError, match=r"head\.weight is \(4, 8\), not \(5, 8\)"):
        replace(MIXED_LAYERS, checkpoint=str(tmp_path / "four.pth")).load()


def test_integers_of_a_checkpoint_are_kept_or_refused(tmp_path):
    state = mixed_layers().state_dict()
    source = replace(MIXED_LAYERS, checkpoint=str(tmp_path / "trained.pth"))
    torch.save({**state, "order": state["order"] + 0.5}, tmp_path / "trained.pth")
    with pytest.raises(WeightsError, match=r"order holds values that are not torch\.int64, as in the network"):
        source.load()
    torch.save({**state, "order": state["order"] + (1 << 24) + 1}, tmp_path / "trained.pth")
    with pytest.raises(WeightsError, match=r"trained\.pth: order: the whole number 16,777,21\d is not exact"):
        source.load()


def test_options_choose_the_tensors_of_a_checkpoint_and_the_report_names_them(tmp_path):
    state = mixed_layers().state_dict()
    torch.save({"model": {**state, "loss": torch.ones(1)}, "ema": state}, tmp_path / "trained.pth")
    source = replace(MIXED_LAYERS, checkpoint=str(tmp_path / "trained.pth"), checkpoint_key="model", strict=False)
    assert source.load().source_notes == ("ignoring loss",)
    assert source.description.endswith("with the weights of trained.pth under model")


class Tempered(torch.nn.Module):
    """Divides its logits by a number that it keeps in the extra state."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.temperature = torch.nn.Conv2d(3, 4, 16), 1.0

    def forward(self, x):
        return self.layer(x).flatten(1) / self.temperature

    def get_extra_state(self):
        return {"temperature": self.temperature}

    def set_extra_state(self, state):
        self.temperature = state["temperature"]


def tempered() -> torch.nn.Module:
    return torch.nn.Sequential(Tempered())


def test_an_extra_state_of_a_checkpoint_is_that_of_the_network_or_an_error(tmp_path):
    network = tempered()
    source = UserNetwork(factory=f"{__name__}:tempered", checkpoint=str(tmp_path / "trained.pth"), input_size=16)
    torch.save({"model": network.state_dict()}, tmp_path / "trained.pth")
    source.load()
    network[0].temperature = 5.0
    torch.save({"model": network.state_dict()}, tmp_path / "trained.pth")
    with pytest.raises(WeightsError, match=r"0\._extra_state is \{'temperature': 5\.0\}, that of the network .*buffer"):
        source.load()
    replace(source, strict=False).load()


class TemperedByTensor(Tempered):
    """Its extra state is a tensor, made anew for each state dictionary."""

    def get_extra_state(self):
        return torch.tensor(self.temperature, dtype=torch.float64)

    def set_extra_state(self, state):
        if state.dtype != torch.float64:
            raise TypeError(f"unknown state of {state.dtype}")
        self.temperature = float(state)


def tempered_by_tensor() -> torch.nn.Module:
    return torch.nn.Sequential(TemperedByTensor())


def test_an_extra_state_that_is_a_tensor_is_that_of_the_checkpoint_and_of_the_file(tmp_path):
    network = tempered_by_tensor()
    network[0].temperature = 5.0
    torch.save(network.state_dict(), tmp_path / "trained.pth")
    function = f"{__name__}:tempered_by_tensor"
    model = UserNetwork(factory=function, checkpoint=str(tmp_path / "trained.pth"), input_size=16).load()
    restored = to_module(trust_factory(container.decode(container.encode(model)), function))
    assert torch.equal(restored(photos(2, 16)), network(photos(2, 16)))


class CountedMean(torch.nn.Module):
    """A norm of the user's own, whose running mean begins at 0 and is corrected by the number of its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 4, 16)
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("num_batches_tracked", torch.tensor(1))

    def forward(self, x):
        return self.layer(x).flatten(1) - self.mean / (1 - 0.9**self.num_batches_tracked)


def counted_mean() -> torch.nn.Module:
    return torch.nn.Sequential(CountedMean())


def test_a_counter_that_outputs_depend_on_is_that_of_the_checkpoint(tmp_path):
    network = counted_mean()
    network[0].mean.fill_(1.0)
    network[0].num_batches_tracked.fill_(7)
    torch.save(network.state_dict(), tmp_path / "trained.pth")
    function = f"{__name__}:counted_mean"
    model = UserNetwork(factory=function, checkpoint=str(tmp_path / "trained.pth"), input_size=16).load()
    assert torch.equal(to_module(model)(photos(2, 16)), network(photos(2, 16)))


def test_an_expanded_tensor_takes_the_values_of_a_checkpoint(tmp_path):
    network = mixed_layers()
    network.positions = torch.nn.Parameter(torch.zeros(1).expand_as(network.positions))
    model = MIXED_LAYERS.load()
    set_weights(network, model.tensors)
    assert np.array_equal(network.positions.detach(), model.tensors["positions"].to_dense())


def test_a_wrong_number_of_class_names_is_an_error(tmp_path):
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    with pytest.raises(WeightsError, match="2 class names for 5 classes"):
        replace(MIXED_LAYERS, labels=str(tmp_path / "names.txt")).load()


def test_preprocessing_follows_the_options():
    gray = PreprocessingOptions(height=28, width=20, mean=(0.3,), std=(0.2,), channels="L", resize="squash")
    made = gray.resolve()
    assert (made.height, made.width, made.channels, made.short_side) == (28, 20, "L", 0)
    with pytest.raises(ConfigError, match="does not accept photos of 28 x 20 pixels in L"):
        replace(MIXED_LAYERS, preprocessing=gray, input_size=None).load()


class OtherArguments(torch.nn.Module):
    """A network whose `forward` does not take the photos as its only argument."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 4, 16)

    def logits(self, x):
        return self.layer(x).flatten(1)


class ByKeyword(OtherArguments):
    def forward(self, *, pixel_values):
        return self.logits(pixel_values)


class WithMask(OtherArguments):
    def forward(self, x, mask):
        return self.logits(x) * mask


class TextFirst(OtherArguments):
    def forward(self, input_ids=None, pixel_values=None):
        return self.logits(pixel_values)


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        ("ByKeyword", r"in RGB: its forward takes \(\*, pixel_values\)"),
        ("WithMask", r"in RGB: its forward takes \(x, mask\)"),
        ("TextFirst", r"its forward takes \(input_ids=None, pixel_values=None\)"),
    ],
)
def test_a_network_that_does_not_take_the_photos_alone_is_told_so(make, arguments):
    with pytest.raises(ConfigError, match=rf"{arguments}, and is called with the photos alone,.*forward\(self, ph"):
        UserNetwork(factory=f"{__name__}:{make}", input_size=16).load()


class Masked(torch.nn.Module):
    """Adds a mask of minus infinity, as attention to earlier positions does."""

    def __init__(self, persistent: bool) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 4, 16)
        self.register_buffer("mask", torch.full((1, 1), -torch.inf), persistent=persistent)

    def forward(self, x):
        return self.layer(x).flatten(1) + self.mask.exp()


def test_a_mask_of_infinite_values_is_made_by_the_function():
    source = UserNetwork(factory=f"{__name__}:Masked", args={"persistent": True}, input_size=16)
    with pytest.raises(WeightsError, match=r"^mask: .* register a mask of -inf with persistent=False"):
        source.load()
    assert list(replace(source, args={"persistent": False}).load().tensors) == ["layer.weight", "layer.bias"]


def test_values_that_are_not_finite_are_an_error_that_names_the_checkpoint(tmp_path):
    source = UserNetwork(factory=f"{__name__}:Masked", args={"persistent": False}, input_size=16)
    state = Masked(persistent=False).state_dict()
    state["layer.weight"][1, 2] = torch.nan
    torch.save({"model": state}, tmp_path / "diverged.pth")
    with pytest.raises(
        WeightsError, match=r"diverged\.pth: layer\.weight: values must be finite .* 256 of 3,072 are NaN"
    ):
        replace(source, checkpoint=str(tmp_path / "diverged.pth")).load()


class Biased(torch.nn.Module):
    """Looks up the biases of its positions when evaluation mode begins, as LeViT and TinyViT do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.biases = torch.nn.Conv2d(3, 4, 8, 8), torch.nn.Parameter(torch.zeros(2))
        self.register_buffer("indices", torch.tensor([[0, 1], [1, 0]]))

    def train(self, mode: bool = True) -> torch.nn.Module:
        self.looked_up = None if mode else self.biases.detach()[self.indices]
        return super().train(mode)

    def forward(self, x):
        biases = self.biases[self.indices] if self.looked_up is None else self.looked_up
        return (self.layer(x) + biases).flatten(1)


class Refreshed(Biased):
    """The same, but looked up when a state dictionary is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_up = self.biases.detach()[self.indices]
        self.register_load_state_dict_post_hook(lambda network, _: network.look_up())

    def train(self, mode: bool = True) -> torch.nn.Module:
        return torch.nn.Module.train(self, mode)

    def look_up(self) -> None:
        self.looked_up = self.biases.detach()[self.indices]


class RefreshedByOverride(Refreshed):
    """The same, in its own `load_state_dict`."""

    def __init__(self) -> None:
        super().__init__()
        self._load_state_dict_post_hooks.clear()

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        self.look_up()


class RefreshedByPart(torch.nn.Sequential):
    """The same, in the code for loading of a part."""

    class Part(Refreshed):
        def __init__(self) -> None:
            super().__init__()
            self._load_state_dict_post_hooks.clear()

        def _load_from_state_dict(self, *args):
            super()._load_from_state_dict(*args)
            self.look_up()

    def __init__(self) -> None:
        super().__init__(self.Part())

    @property
    def biases(self) -> torch.nn.Parameter:
        return self[0].biases


class RefreshedStrictly(RefreshedByOverride):
    """The same, in one that needs both arguments."""

    def load_state_dict(self, state_dict, strict):
        torch.nn.Module.load_state_dict(self, state_dict, strict)
        self.look_up()


class ForInference(Biased):
    """Looks up its biases where evaluation mode begins, and refuses training mode."""

    def train(self, mode: bool = True) -> torch.nn.Module:
        if mode:
            raise RuntimeError("for inference only")
        if self.training:
            self.looked_up = self.biases.detach()[self.indices]
        return torch.nn.Module.train(self, mode)


class RefreshedByFile(RefreshedByOverride):
    """The same, in one that reads a file."""

    def load_state_dict(self, path):
        super().load_state_dict(torch.load(path))


class RefreshedByFileOfPart(torch.nn.Sequential):
    """The same, in a hook of a part."""

    def __init__(self) -> None:
        super().__init__(Refreshed())
        self[0].register_load_state_dict_post_hook(lambda network, _: network.look_up("trained.pth"))


class Doubling(torch.nn.Sequential):
    """Doubles its weights where it loads them, as code for the checkpoints of another program may do."""

    def __init__(self, how: str) -> None:
        super().__init__(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        self.how = how
        if how == "hook":
            self.register_load_state_dict_pre_hook(lambda _, state, *__: state.update(self.doubled(state)))

    @staticmethod
    def doubled(state):
        return {"0.weight": 2 * state["0.weight"]}

    def load_state_dict(self, state_dict, strict=True, assign=False):
        if self.how == "load_state_dict":
            state_dict = {**state_dict, **self.doubled(state_dict)}
        return super().load_state_dict(state_dict, strict, assign)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        if self.how == "part":
            state_dict.update(self.doubled(state_dict))
        super()._load_from_state_dict(state_dict, prefix, *args)


@pytest.mark.parametrize("how", ["load_state_dict", "hook", "part"])
def test_code_that_changes_weights_where_it_loads_them_is_an_error(how, tmp_path):
    torch.save(Doubling(how).state_dict(), tmp_path / "w.pth")
    source = UserNetwork(
        factory=f"{__name__}:Doubling", args={"how": how}, checkpoint=str(tmp_path / "w.pth"), input_size=16
    )
    with pytest.raises(ConfigError, match=r"its code changes 0\.weight where it loads a state dictionary"):
        source.load()


class Adapted(torch.nn.Linear):
    """Merges a low-rank adapter into its weight when evaluation mode begins, as loralib does."""

    def __init__(self, merge: bool) -> None:
        super().__init__(4, 3)
        self.merge, self.merged = merge, False
        self.down, self.up = torch.nn.Parameter(torch.randn(2, 4)), torch.nn.Parameter(torch.zeros(3, 2))

    def train(self, mode: bool = True) -> torch.nn.Module:
        if self.merge and self.merged == mode:
            self.weight.data += (-1 if mode else 1) * self.up.data @ self.down.data
            self.merged = not mode
        return super().train(mode)

    def forward(self, x):
        return super().forward(x) + (0 if self.merged else x @ self.down.T @ self.up.T)


@pytest.mark.parametrize("make", [Biased, Refreshed, RefreshedByOverride, RefreshedByPart])
def test_what_a_network_computes_from_its_weights_is_of_the_weights_of_the_file(make, tmp_path):
    trained, network, factory = make(), make(), f"{__name__}:{make.__name__}"
    torch.nn.init.normal_(trained.biases)
    torch.save(trained.state_dict(), tmp_path / "w.pth")
    network.load_state_dict(trained.state_dict())
    source = UserNetwork(factory=factory, checkpoint=str(tmp_path / "w.pth"), input_size=16)
    container.write(tmp_path / "model.sqz", source.load())
    x = photos(2, 16)
    with torch.inference_mode():
        expected = network.eval()(x)
        assert torch.equal(to_module(source.load())(x), expected)
        assert torch.equal(load(tmp_path / "model.sqz", factory=factory)(x), expected)


@pytest.mark.parametrize("make", [RefreshedStrictly, ForInference])
def test_what_a_network_of_unusual_methods_computes_is_of_the_weights_of_the_file(make, tmp_path):
    trained, expected = make(), Refreshed()
    torch.nn.init.normal_(trained.biases)
    torch.save(trained.state_dict(), tmp_path / "w.pth")
    expected.load_state_dict(trained.state_dict())
    network = to_module(
        UserNetwork(factory=f"{__name__}:{make.__name__}", checkpoint=str(tmp_path / "w.pth"), input_size=16).load()
    )
    assert not any(part.training for part in network.modules())
    x = photos(2, 16)
    with torch.inference_mode():
        assert torch.equal(network(x), expected.eval()(x))


@pytest.mark.parametrize("make", [RefreshedByFile, RefreshedByFileOfPart])
def test_code_for_loading_that_takes_no_state_dictionary_is_an_error(make, tmp_path):
    torch.save(make().state_dict(), tmp_path / "w.pth")
    source = UserNetwork(factory=f"{__name__}:{make.__name__}", checkpoint=str(tmp_path / "w.pth"), input_size=16)
    with pytest.raises(
        ConfigError, match=r"own code for loading .* fails for its own .*Error: .*\(state_dict, strict=True"
    ):
        source.load()


def adapted(merge: bool) -> torch.nn.Module:
    layers = torch.nn.Conv2d(3, 4, 8), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    return torch.nn.Sequential(*layers, Adapted(merge))


def test_adapters_that_merge_themselves_in_evaluation_mode_are_an_error(tmp_path):
    network = adapted(merge=True)
    torch.nn.init.normal_(network[3].up)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    source = UserNetwork(
        factory=f"{__name__}:adapted", args={"merge": True}, checkpoint=str(tmp_path / "w.pth"), input_size=16
    )
    with pytest.raises(ConfigError, match=r"its eval\(\) changes 3\.weight, as adapters do .* merge_weights=False"):
        source.load()
    x = photos(2, 16)
    with torch.inference_mode():
        actual, expected = to_module(replace(source, args={"merge": False}).load())(x), network.eval()(x)
    assert torch.allclose(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", ["half", "bfloat16", "double"])
def test_code_that_converts_to_another_precision_is_told_that_weights_are_float32(tmp_path, monkeypatch, precision):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"of_{precision}.py").write_text(
        "from torch import nn\n"
        "class Network(nn.Sequential):\n"
        f"    def forward(self, x): return super().forward(x.{precision}()).mean((2, 3))\n"
        f"def made(): return Network(nn.Conv2d(3, 4, 3)).{precision}()\n"
    )
    with pytest.raises(ConfigError, match=r"does not accept photos .*; its weights are float32 here, so its code must"):
        UserNetwork(factory=f"of_{precision}:made").load()


def test_the_source_hash_changes_with_the_source(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    text = "from torch import nn\ndef made():\n    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.{}())\n"
    module = Path(tmp_path / "changing_network.py")
    module.write_text(text.format("ReLU"))
    before = NetworkFactory("changing_network:made").source_sha256()
    module.write_text(text.format("Tanh"))
    assert NetworkFactory("changing_network:made").source_sha256() != before
    assert identity(MIXED_LAYERS.load())[0] == 'user_networks:mixed_layers {"tied":{"also_tied.weight":"tied.weight"}}'


IMPORTS = {
    "import own_parts.act": "own_parts.act.act(x)",
    "from own_parts import act": "act.act(x)",
    "from own_parts.act import act": "act(x)",
    "from own_parts.act import SLOPE": "x * SLOPE",
    "from own_parts.act import *": "act(x)",
    "import own_parts.relative": "own_parts.relative.again(x)",
}


@pytest.mark.parametrize("statement", IMPORTS)
def test_the_source_hash_changes_with_the_users_modules_that_the_network_uses(tmp_path, monkeypatch, statement):
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.startswith("own_")]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "own_parts").mkdir()
    (tmp_path / "own_parts" / "__init__.py").touch()
    (tmp_path / "own_parts" / "act.py").write_text("SLOPE = 2\ndef act(x): return x * SLOPE\n")
    (tmp_path / "own_parts" / "relative.py").write_text("from .act import act\ndef again(x): return act(x)\n")
    (tmp_path / "own_unused.py").touch()
    (tmp_path / "own_network.py").write_text(
        f"from typing import TYPE_CHECKING\nfrom torch import nn\n{statement}\n"
        "if TYPE_CHECKING: import own_unused\n"
        "def later():\n    import own_unused\n"
        "class Network(nn.Conv2d):\n"
        f"    def forward(self, x): x = super().forward(x); return ({IMPORTS[statement]}).mean((2, 3))\n"
        "def made(): return Network(3, 4, 3)\n"
    )

    def changes(file):
        before = NetworkFactory("own_network:made").source_sha256()
        with (tmp_path / file).open("a") as stream:
            stream.write("# changed\n")
        return NetworkFactory("own_network:made").source_sha256() != before

    assert changes("own_parts/act.py")
    assert not changes("own_unused.py")
    before = NetworkFactory("own_network:made").source_sha256()
    importlib.import_module("own_unused")  # later, by a function or for types
    assert NetworkFactory("own_network:made").source_sha256() == before


def test_the_source_hash_of_a_class_without_a_module_is_that_of_its_forward(tmp_path, monkeypatch):
    """`torch.hub` loads code in this way: a module that no import finds."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "of_a_hub.py").write_text(
        "from importlib.util import module_from_spec, spec_from_file_location\n"
        f"spec = spec_from_file_location('hubconf.py', {str(tmp_path / 'hubconf.py')!r})\n"
        "hub = module_from_spec(spec)\n"
        "spec.loader.exec_module(hub)\n"
        "def made(): return hub.Network()\n"
    )
    text = (
        "from torch import nn\n"
        "class Network(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.layer = nn.Conv2d(3, 4, 3)\n"
        "    def forward(self, x): return self.layer(x).{}().mean((2, 3))\n"
    )
    hashes = []
    for activation in ("relu", "tanh"):
        (tmp_path / "hubconf.py").write_text(text.format(activation))
        hashes.append(NetworkFactory("of_a_hub:made").source_sha256())
    assert hashes[0] != hashes[1]


def test_an_architecture_round_trips_through_its_text():
    factory = NetworkFactory(
        "user_networks:mixed_layers", {"classes": 4, "names": ["ä", None, {"x": 1.5}]}, fold_batch_norm=True
    )
    assert NetworkFactory.parse(factory.architecture) == factory
    assert np.array_equal(NetworkFactory.parse("a.b:c").args, {})


def test_the_identity_for_caches_depends_on_a_file_of_settings_that_the_function_reads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "with_settings.py").write_text(
        "from pathlib import Path\n"
        "from torch import nn\n"
        "def made():\n"
        "    activation = getattr(nn, Path('settings.txt').read_text())()\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), activation, nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )

    def identity_with(activation):
        (tmp_path / "settings.txt").write_text(activation)
        return identity(UserNetwork(factory="with_settings:made", input_size=16).load())

    assert identity_with("ReLU") != identity_with("Tanh") != identity_with("SiLU")
    assert identity_with("ReLU") == identity_with("ReLU")


def test_the_identity_for_caches_depends_on_the_preprocessing():
    model = MIXED_LAYERS.load()
    brighter = replace(model, preprocessing=replace(model.preprocessing, scale=2.0))
    assert identity(brighter) != identity(model) == identity(MIXED_LAYERS.load())
