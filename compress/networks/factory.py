"""Networks that a Python function of the user's own makes.

A `.sqz` file says which function and with which arguments, `package.module:function {"args":{"classes":10}}`; weights
are read without it. To build the network its code must run, and that a file must not choose: who uses the file names
the function too, and only that one is imported.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from compress.errors import ConfigError, WeightsError
from compress.model import Model
from compress.networks.folding import fold_batch_norms

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def is_factory(architecture: str) -> bool:
    """Return whether an architecture is a function's, and not a network's name."""
    return ":" in architecture


@dataclass(frozen=True)
class Factory:
    """A function that makes a network.

    Attributes:
        function: `package.module:function`, found as Python finds modules, and in the folder where the program runs.
        args: its keyword arguments, JSON values.
        folded: whether batch norms are folded into the layers before them.
    """

    function: str
    args: Mapping[str, Any] = field(default_factory=dict)
    folded: bool = False

    @classmethod
    def of(cls, architecture: str) -> Factory:
        """Read back what `architecture` wrote.

        Raises:
            WeightsError: it is no function and its arguments.
        """
        function, _, rest = architecture.partition(" ")
        try:
            told = json.loads(rest) if rest else {}
            args, folded = told.pop("args", {}), told.pop("fold_batch_norm", False)
            if told or not isinstance(args, dict) or not isinstance(folded, bool) or not _NAME.fullmatch(function):
                raise ValueError("it has other parts")
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise WeightsError(f"{architecture!r} is no function with its arguments: {error}") from error
        return cls(function, args, folded)

    @property
    def architecture(self) -> str:
        """The function and its arguments, as a file has them."""
        told = ({"args": dict(self.args)} if self.args else {}) | ({"fold_batch_norm": True} if self.folded else {})
        written = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return f"{self.function} {written}" if told else self.function

    def made(self, seed: int = 0) -> nn.Module:
        """Call the function, and return its network in evaluation mode, parameters in float32; nothing is folded yet.

        Args:
            seed: what the function draws from torch's random numbers comes from it; the user's generator stays.
        Raises:
            ConfigError: it cannot be imported or called, or what it returns is no network.
        """
        function = self._imported()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                network = function(**self.args)
            except Exception as error:  # it is the user's own code
                raise self._error(f"{_told(error)}, when called with {dict(self.args)}", "args") from error
        if not isinstance(network, nn.Module):
            raise self._error(f"it returned {type(network).__name__}, and not a torch.nn.Module")
        return network.float().eval()

    def build(self) -> nn.Module:
        """Return the network as the model's tensors are of it: batch norms folded where they are to be.

        Raises:
            ConfigError: as `made`.
            WeightsError: batch norms cannot be folded.
        """
        network = self.made()
        if self.folded:
            fold_batch_norms(network)
        return network

    def source_sha256(self) -> str:
        """Return a hash of the source of the function's module and of the classes of all modules of its network."""
        modules = {self._imported().__module__, *(type(part).__module__ for part in self.made().modules())}
        digest = hashlib.sha256()
        for name in sorted(modules):
            file = inspect.getsourcefile(sys.modules[name])
            digest.update(name.encode() + (Path(file).read_bytes() if file and Path(file).is_file() else b""))
        return digest.hexdigest()

    def _imported(self) -> Any:
        module, _, path = self.function.partition(":")
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)
        try:
            found: Any = importlib.import_module(module)
            for name in path.split("."):
                found = getattr(found, name)
        except (Exception, SystemExit) as error:  # it is the user's own code
            raise self._error(f"{_told(error)}; it is looked for in {here} and on the Python path") from error
        if not callable(found):
            raise self._error(f"it is {type(found).__name__}, and not a function")
        return found

    def _error(self, problem: str, key: str = "factory") -> ConfigError:
        return ConfigError(f"{self.function!r} makes no network: {problem}", key=f"model.{key}")


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def identity(model: Model) -> tuple[str, ...]:
    """Return what decides a model's outputs beside its tensors and is not this package's own code."""
    if not is_factory(model.architecture):
        return ()
    return model.architecture, Factory.of(model.architecture).source_sha256()
