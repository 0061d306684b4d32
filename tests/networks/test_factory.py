"""Functions that make networks: what they change for the whole process, and unusual functions and modules."""

from __future__ import annotations

import argparse
import logging
import logging.config
import os
import sys
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from compress.errors import ConfigError
from compress.networks.factory import NetworkFactory
from compress.weights.user_network import UserNetwork


class Usual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.first(x).relu().mean((2, 3)))


def shows_warnings() -> tuple[object, ...]:
    logger = logging.getLogger("compress.data.folder")
    return logger.isEnabledFor(logging.WARNING), logging.root.level, [*logging.root.handlers]


CHANGES = {
    "default precision": (torch.get_default_dtype, lambda: torch.set_default_dtype(torch.float64)),
    "gradients": (torch.is_grad_enabled, lambda: torch.set_grad_enabled(False)),
    "threads": (torch.get_num_threads, lambda: torch.set_num_threads(torch.get_num_threads() + 1)),
    "anomalies": (torch.is_anomaly_enabled, lambda: torch.autograd.set_detect_anomaly(True)),
    "deterministic": (torch.get_deterministic_debug_mode, lambda: torch.set_deterministic_debug_mode("warn")),
    "errors of numpy": (np.geterr, lambda: np.seterr(all="raise")),
    "warnings": (lambda: list(warnings.filters), lambda: warnings.simplefilter("error")),
    "folder": (os.getcwd, lambda: os.chdir("/")),
    "messages": (shows_warnings, lambda: logging.disable(logging.CRITICAL)),
    "loggers": (shows_warnings, lambda: logging.config.dictConfig({"version": 1})),  # disables those that exist
    "handlers": (shows_warnings, lambda: logging.basicConfig(level=logging.CRITICAL, force=True)),
}


def changing(change: str) -> nn.Module:
    CHANGES[change][1]()
    return Usual()


@pytest.mark.parametrize("change", CHANGES)
def test_a_function_changes_no_setting_of_the_process(change):
    read = CHANGES[change][0]
    before = read()
    model = UserNetwork(factory=f"{__name__}:changing", args={"change": change}, input_size=16).load()
    assert model.weight_names() == ["first.weight", "head.weight"]
    assert read() == before


def with_options() -> nn.Module:
    parser = argparse.ArgumentParser()
    parser.add_argument("--classes", type=int, default=5)
    parser.parse_args()
    return Usual()


def with_needed_options() -> nn.Module:
    parser = argparse.ArgumentParser()
    parser.add_argument("--classes", required=True)
    parser.parse_args()
    return Usual()


def test_a_function_does_not_read_the_arguments_of_the_command(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["squeeze-compress", "run", "pipeline.yaml"])
    assert isinstance(NetworkFactory(f"{__name__}:with_options").call(), Usual)
    assert sys.argv == ["squeeze-compress", "run", "pipeline.yaml"]
    with pytest.raises(ConfigError, match=r"SystemExit: 2, .* options of the command line: give them as arguments"):
        NetworkFactory(f"{__name__}:with_needed_options").call()


class Compiled(Usual):
    def __init__(self) -> None:
        super().__init__()
        self.activation = torch.compile(torch.relu, backend=no_compiler)

    def forward(self, x):
        return self.head(self.activation(self.first(x)).mean((2, 3)))


def no_compiler(*_: object) -> None:
    raise RuntimeError("there is no compiler")


def test_functions_that_a_network_compiles_run_as_they_are_written():
    model = UserNetwork(factory=f"{__name__}:Compiled", input_size=16).load()
    assert model.program


class AnyAttribute(nn.Module):
    """Has a value for every name, as wrappers that read a dictionary of options."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Usual()

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return None

    def forward(self, x):
        return self.network(x)


def with_any_attribute_inside() -> nn.Module:
    return nn.Sequential(AnyAttribute())


@pytest.mark.parametrize("function", ["AnyAttribute", "with_any_attribute_inside"])
def test_a_module_with_a_value_for_every_name_is_no_wrapper(function):
    model = UserNetwork(factory=f"{__name__}:{function}", input_size=16).load()
    assert len(model.weight_names()) == 2


class Unhashable(nn.Conv2d):
    __hash__ = None

    def __eq__(self, other):
        return True


class WithoutFloat(Usual):
    def float(self):
        raise RuntimeError("for half precision only")


def with_unhashable() -> nn.Module:
    return nn.Sequential(Unhashable(3, 4, 3), nn.Flatten())


@pytest.mark.parametrize(
    ("function", "problem"), [("with_unhashable", "unhashable type"), ("WithoutFloat", "for half precision only")]
)
def test_a_network_that_cannot_be_set_up_is_an_error(function, problem):
    with pytest.raises(ConfigError, match=f"its network cannot be set up: .*{problem}"):
        NetworkFactory(f"{__name__}:{function}").call()


SOURCE = """
from functools import partial
from torch import nn

def layers(outputs):
    return nn.Sequential(nn.Conv2d(3, outputs, 16), nn.{activation}(), nn.Flatten())

network = partial(layers, 4)
"""


def test_the_source_hash_of_a_partial_function_is_that_of_its_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    factory, hashes = NetworkFactory("partial_network:network"), set()
    for activation in ("ReLU", "Tanh"):
        (tmp_path / "partial_network.py").write_text(SOURCE.format(activation=activation))
        hashes.add(factory.source_sha256())
    assert len(hashes) == 2
    assert isinstance(factory._import(), partial)
