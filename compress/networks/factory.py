"""Networks made by a Python function of the user.

A `.sqz` file stores the function's name and arguments, `package.module:function {"args":{"classes":10}}`. A file must
not choose which code runs, so the function is called only if the user names it too. Reading the weights does not need
it.
"""

from __future__ import annotations

import copy
import hashlib
import importlib
import json
import sys
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, JsonValue
from pydantic.dataclasses import dataclass

from compress.errors import ConfigError, SqueezeError, WeightsError
from compress.model import Model
from compress.networks.code_files import code_files
from compress.networks.compared_output import LOGITS, ComparedOutput
from compress.runtime.option_types import OPTIONS

if TYPE_CHECKING:
    from torch import nn

_NAME = r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*"

FunctionName = Annotated[str, Field(pattern=f"^{_NAME}:{_NAME}$", description="package.module:function")]
"""A function on the Python path or in the current folder."""


_WRAPPED = "_squeeze_wrapped"
"""Attribute of a network with its wrapped parts."""

INVERTED_RESIDUAL = "compress.networks.inverted_residual:inverted_residual_network"
"""The only function of this package that makes networks from arguments; every file may call it."""


def is_factory(architecture: str) -> bool:
    """Return whether an architecture names a function, not a built-in SqueezeNet."""
    return ":" in architecture


def needs_trust(architecture: str) -> bool:
    """Return whether an architecture names a function of the user."""
    return is_factory(architecture) and architecture.partition(" ")[0] != INVERTED_RESIDUAL


@dataclass(frozen=True, config=ConfigDict(**OPTIONS, strict=True))
class NetworkFactory:
    """A function that makes a network, and what its network needs.

    Attributes:
        function: makes the network.
        args: its keyword arguments.
        fold_batch_norm: batch norms are folded afterwards.
        tied: further names of tensors that have several in the network, with the name in the file.
        wrapped: parts in a wrapper, such as that of `torch.compile`, with the name that the wrapper adds to their
            tensors in the user's network. The file has the names without it.
        outputs: the part of the network's outputs to compare.
    """

    function: FunctionName
    args: dict[str, JsonValue] = Field(default_factory=dict)
    fold_batch_norm: bool = False
    tied: dict[str, str] = Field(default_factory=dict)
    wrapped: dict[str, str] = Field(default_factory=dict)
    outputs: ComparedOutput = LOGITS

    @classmethod
    def parse(cls, architecture: str) -> NetworkFactory:
        """Return the factory that `Model.architecture` describes.

        Raises:
            WeightsError: it is not a function and its arguments.
        """
        function, _, options = architecture.partition(" ")
        try:
            return cls(function, **json.loads(options or "{}"))
        except (ValueError, TypeError, RecursionError) as error:
            raise WeightsError(
                f"{architecture!r} is not a function with its arguments: expected package.module:function and JSON of "
                "args, fold_batch_norm, tied, wrapped and outputs"
            ) from error

    @property
    def architecture(self) -> str:
        """The text that `parse` reads; `tied` is left out if the text would be too long for a file.

        Raises:
            ConfigError: a file cannot hold the arguments.
        """
        from compress.container.header import MAX_NAME_BYTES  # noqa: PLC0415  compiles the loops of codecs

        try:
            for tied in (self.tied, {}):
                text = self._text(tied)
                if len(text.encode()) <= MAX_NAME_BYTES:
                    return text
        except (ValueError, RecursionError) as error:  # an invalid character, an infinite number
            raise self._error(f"a file cannot hold the arguments {self.args!r}: {error}", "args") from error
        raise self._error(
            f"function and arguments take {len(text.encode()):,} bytes (allowed: {MAX_NAME_BYTES:,}); let the function "
            "read long values from a file or a module",
            "args",
        )

    def _text(self, tied: dict[str, str]) -> str:
        outputs = self.outputs.to_options()
        options = {"args": self.args, "fold_batch_norm": self.fold_batch_norm, "tied": tied, "outputs": outputs}
        options["wrapped"] = self.wrapped
        options = {name: value for name, value in options.items() if value}
        text = json.dumps(options, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return f"{self.function} {text}" if options else self.function

    def call(self, seed: int = 0) -> nn.Module:
        """Return the network that the function makes, in evaluation mode and float32; `seed` is of all that it draws.

        Its frozen parameters have gradients again: the statistics of a layer need them.

        Raises:
            ConfigError: the function cannot be imported or called, does not return a module, or returns one whose lazy
                layers have no weights yet or whose weights cannot be set (see `ownership_problem`).
        """
        import torch  # noqa: PLC0415

        from compress.networks.process_state import seeded, settings_restored  # noqa: PLC0415

        function = self._import()
        with settings_restored(), seeded(seed), torch.inference_mode(False):
            try:
                network = function(**copy.deepcopy(self.args))  # the function may change them
            except (Exception, SystemExit) as error:  # the function is the user's code
                problem = f"{type(error).__name__}: {error}, when called with {self.args}"
                remedy = "; it may read options of the command line: give them as arguments"
                raise self._error(problem + remedy * isinstance(error, SystemExit), "args") from error
        network = _unwrapped(network)
        if not isinstance(network, torch.nn.Module):
            raise self._error(f"it returned {type(network).__name__}, not a torch.nn.Module")
        if isinstance(network, torch.jit.ScriptModule):
            raise self._error("it returned a TorchScript program, whose layers are hidden; return the network itself")
        try:
            with torch.inference_mode(False):
                return self._prepared(network)
        except (SqueezeError, MemoryError):
            raise
        except Exception as error:  # the user's code
            raise self._error(f"its network cannot be set up: {type(error).__name__}: {error}") from error

    def _prepared(self, network: nn.Module) -> nn.Module:
        """Return a network in evaluation mode, on the CPU, in float32 and whose parameters have gradients."""
        from torch.nn.parameter import is_lazy  # noqa: PLC0415

        from compress.networks.tensor_ownership import ownership_problem, tie_parameters  # noqa: PLC0415

        before = _tensor_names(network)
        _unwrap_parts(network)
        vars(network)[_WRAPPED] = _wrappers(before, _tensor_names(network))
        tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        if lazy := [name for name, tensor in tensors.items() if is_lazy(tensor)]:
            raise self._error(
                f"its lazy layers have no sizes yet ({', '.join(lazy)}); run it on a photo of zeros first"
            )
        tie_parameters(network)
        if any(tensor.is_inference() for tensor in tensors.values()):
            network = copy.deepcopy(network)  # tensors made in inference mode have no gradients
        if not any(tensor.is_meta for tensor in tensors.values()):
            network.cpu()
        network.float()
        if problem := ownership_problem(network):
            raise self._error(problem)
        for parameter in network.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        try:
            network.eval()  # returns nothing where the user's `train`, which it calls, does
        except Exception as error:  # the user's code, or an exported program
            problem = f"its eval() fails: {type(error).__name__}: {error}"
            raise self._error(f"{problem}; return the network itself, not a program of torch.export") from error
        return network

    def build(self, seed: int = 0) -> nn.Module:
        """Return the network of `call`, its batch norms folded if the options say so.

        Raises:
            ConfigError, WeightsError: as `call` and `fold_batch_norms`.
        """
        from compress.networks.folding import fold_batch_norms  # noqa: PLC0415

        network = self.call(seed)
        if self.fold_batch_norm:
            fold_batch_norms(network)
        return network

    def source_sha256(self) -> str:
        """Return a hash of the source files of the function and its network's module classes; see `code_files`."""
        made = self._import(), *map(type, self.call().modules())
        files = code_files(made, self.function.partition(":")[0])
        digest = hashlib.sha256()
        for name, file in sorted(files.items()):
            digest.update(name.encode() + (file.read_bytes() if file and file.is_file() else b""))
        return digest.hexdigest()

    def _import(self) -> Any:
        from compress.networks.process_state import settings_restored  # noqa: PLC0415

        module, _, path = self.function.partition(":")
        folder = str(Path.cwd())
        if folder not in sys.path:
            sys.path.insert(0, folder)
        try:
            with settings_restored():
                function: Any = importlib.import_module(module)
            for name in path.split("."):
                function = getattr(function, name)
        except (Exception, SystemExit) as error:  # importing runs the user's code
            raise self._error(f"{type(error).__name__}: {error}; searched {folder} and the Python path") from error
        if not callable(function):
            raise self._error(f"it is a {type(function).__name__}, not a function")
        return function

    def _error(self, problem: str, key: str = "factory") -> ConfigError:
        return ConfigError(f"{self.function!r} makes no network: {problem}", key=f"model.{key}")


def _unwrapped(network: Any) -> Any:
    """Return the network in the wrappers of `DataParallel` and `torch.compile`, which compute the same."""
    from torch import nn  # noqa: PLC0415

    if not isinstance(network, nn.Module):
        return network
    wrapped = "module" if isinstance(network, nn.DataParallel) else "_orig_mod"
    parts = dict(network._modules.items())  # `getattr` may call the user's code; TorchScript's `_modules` has no `get`
    inner = parts.get(wrapped)
    return network if inner is None else _unwrapped(inner)


def _unwrap_parts(network: nn.Module) -> None:
    """Remove these wrappers inside of a network, where they also hide operations and layers."""
    for module in network.modules():
        module._compiled_call_impl = None  # what `module.compile()` sets
        for parts in (module._modules, vars(module)):  # some hide a wrapper in an attribute that is no submodule
            for name, part in parts.items():
                parts[name] = _unwrapped(part)


def _tensor_names(network: nn.Module) -> list[str]:
    """Return all names of parameters and buffers, in the same order with and without wrappers."""
    named = network.named_parameters(remove_duplicate=False), network.named_buffers(remove_duplicate=False)
    return [name for each in named for name, _ in each]


def _wrappers(names: Sequence[str], unwrapped: Sequence[str]) -> dict[str, str]:
    """Return what wrappers add to the names of tensors, by the name of the part that they wrap."""
    wrapped: dict[str, str] = {}
    for name, short in zip(names, unwrapped, strict=True):
        words, added, depth = short.split("."), defaultdict[str, list[str]](list), 0
        for word in name.split("."):
            if depth < len(words) and word == words[depth]:
                depth += 1
            else:
                added[".".join(words[:depth])].append(word)
        wrapped |= {part: ".".join(wrappers) for part, wrappers in added.items()}
    return wrapped


def wrapped_parts(network: nn.Module) -> dict[str, str]:
    """Return `NetworkFactory.wrapped` of a network that `NetworkFactory.call` made."""
    return dict(vars(network).get(_WRAPPED, {}))


def output_of(model: Model) -> ComparedOutput:
    """Return the compared part of the outputs of a model's network; logits if no network can be made of the text."""
    if not is_factory(model.architecture):
        return LOGITS
    try:
        return NetworkFactory.parse(model.architecture).outputs
    except WeightsError:
        return LOGITS


def names_in_network(architecture: str, names: Collection[str]) -> dict[str, str]:
    """Return all names of a model's tensors in the user's network, with the name that the model has."""
    named = {name: name for name in names}
    if not is_factory(architecture):
        return named
    factory = NetworkFactory.parse(architecture)
    named |= {name: first for name, first in factory.tied.items() if first in names}
    return {_with_wrappers(name, factory.wrapped): first for name, first in named.items()}


def _with_wrappers(name: str, wrapped: Mapping[str, str]) -> str:
    parts = list(accumulate(name.split("."), "{}.{}".format))
    return ".".join(each for part in parts for each in (part.rpartition(".")[2], wrapped.get(part)) if each)
