"""A loaded network in a notebook: a short `repr`, the bytes of its file, and still the module that it is."""

from __future__ import annotations

import copy
import io
import pickle
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from small_models import shared_squeezenet
from torch import nn

import compress
from compress import container
from compress.networks.squeezenet import SqueezeNet
from compress.weights.user_network import UserNetwork


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("view") / "m.sqz"
    container.write(path, shared_squeezenet())
    return path


@pytest.fixture
def network(file) -> nn.Module:
    return compress.load(file)


class Text(HTMLParser):
    """Checks that elements are closed in order, and collects the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += f"{data} "


def test_the_repr_is_one_line(network, file):
    size = f"{file.stat().st_size:,}"
    assert re.fullmatch(
        rf"<squeezenet1_1: 727,626 parameters in {size} bytes \(\d+\.\d times smaller\), 10 classes>", repr(network)
    )


def test_the_view_has_the_bytes_of_every_component_and_tensor(network, file):
    page = Text()
    page.feed(network._repr_html_())
    assert not page.open
    layout = container.layout(file.read_bytes())
    for name, count in layout.bytes_by_component.items():
        assert (f"{name} {count:,}" in page.text) == (count > 0)
    for tensor in layout.tensors:
        assert f"{tensor.name} {' x '.join(map(str, tensor.shape))}" in page.text
    assert len(network._repr_html_()) < 20_000


def test_a_bar_shows_the_tensors_that_take_the_most_bytes(network, file):
    layout = container.layout(file.read_bytes())
    largest = max(layout.tensors, key=lambda tensor: tensor.payload_bytes)
    view = network._repr_html_()
    assert f'title="{largest.name}: {largest.payload_bytes:,} bytes"' in view
    assert f"largest tensors: {largest.name} {largest.payload_bytes:,}" in view
    bar = view.partition('aria-label="bytes by tensor">')[2].partition("</div>")[0]
    assert sum(map(int, re.findall(r"flex:(\d+)", bar))) == file.stat().st_size


def test_names_in_a_file_are_no_html(tmp_path):
    model = shared_squeezenet()
    hostile = type(model)("a:b <script>", 10, model.preprocessing, model.tensors)
    from compress.networks.notebook_view import _headline_of, to_html

    data = container.encode(hostile)
    assert "<script>" not in to_html(_headline_of(hostile, data) + "<script>", container.layout(data))


def test_it_is_still_an_instance_of_its_class_with_the_same_tensors(network):
    assert isinstance(network, SqueezeNet)
    assert type(network).__name__ == "SqueezeNet"
    assert list(network.state_dict()) == list(SqueezeNet.state_dict(network))
    assert "Conv2d" in nn.Module.__repr__(network)


def through_torch(network):
    stream = io.BytesIO()
    torch.save(network, stream)
    stream.seek(0)
    return torch.load(stream, weights_only=False)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each)), through_torch])
def test_copies_and_pickles_keep_the_view(network, copied):
    again = copied(network)
    assert (repr(again), again._repr_html_()) == (repr(network), network._repr_html_())
    with torch.inference_mode():
        assert torch.equal(again(torch.ones(1, 3, 64, 64)), network(torch.ones(1, 3, 64, 64)))


class Registered(nn.Module):
    """Keeps a list of its subclasses, each of which has a name."""

    classes: ClassVar[list[str]] = []

    def __init_subclass__(cls, *, name: str) -> None:
        cls.classes.append(name)


class Child(Registered, name="child"):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.layer(x).mean((2, 3))


def test_a_registry_of_classes_does_not_see_the_view(tmp_path):
    container.write(tmp_path / "model.sqz", UserNetwork(factory=f"{__name__}:Child", input_size=16).load())
    loaded = compress.load(tmp_path / "model.sqz", factory=f"{__name__}:Child")
    assert repr(loaded).startswith(f"<{__name__}:Child: 112 parameters in ")
    assert Registered.classes == ["child"]
