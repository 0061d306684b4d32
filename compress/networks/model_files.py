"""Models from files on the command line."""

from __future__ import annotations

from pathlib import Path

from compress import container
from compress.errors import ConfigError
from compress.model import TORCHVISION, Model, trust_factory
from compress.networks.embedded_weights import EmbeddedWeights
from compress.networks.squeezenet_weights import squeezenet_model
from compress.networks.state_dict_file import STATE_DICT_SUFFIXES, read_state_dict

EMBEDDED = "embedded"
"""Name of the installed float weights on the command line."""


def load_named_model(name: str, architecture: str | None = None, factory: str | None = None) -> Model:
    """Return the installed float weights (`embedded`), or the model of a file; see `load_model`."""
    return EmbeddedWeights().load() if name == EMBEDDED else load_model(Path(name), architecture, factory)


def load_model(path: Path, architecture: str | None = None, factory: str | None = None) -> Model:
    """Read a model from a `.sqz`, `.safetensors`, `.pth` or `.pt` file.

    Args:
        path: the file.
        architecture: of a state dictionary; None: decided by the kernels of its first layer.
        factory: function that may make the network of a `.sqz` file, `package.module:function`.
    Raises:
        FormatError: the `.sqz` file is damaged.
        WeightsError: the state dictionary is unreadable or of another network.
        ConfigError: unknown suffix or architecture, or the file names another function.
    """
    if path.suffix == ".sqz":
        return trust_factory(container.read(path), factory)
    if path.suffix not in STATE_DICT_SUFFIXES:
        allowed = ", ".join([".sqz", *STATE_DICT_SUFFIXES])
        raise ConfigError(f"unknown format {path.suffix!r}", file=path, allowed=allowed)
    arrays = read_state_dict(path)
    first = arrays.get("features.0.weight")
    guess = "squeezenet1_0" if first is not None and first.shape[-1:] == (7,) else "squeezenet1_1"
    return squeezenet_model(architecture or guess, arrays, TORCHVISION)
