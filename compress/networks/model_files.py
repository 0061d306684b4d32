"""Models from files on the command line."""

from __future__ import annotations

from pathlib import Path

from compress import container
from compress.errors import ConfigError
from compress.model import TORCHVISION, Model, trust_factory
from compress.networks.checkpoint_file import CHECKPOINT_SUFFIXES, Checkpoint, has_checkpoint_suffix, read_checkpoint
from compress.networks.squeezenet_weights import expected_squeezenet, squeezenet_model
from compress.networks.state_dict_search import find_state_dict


def load_model(path: Path, architecture: str | None = None, factory: str | None = None) -> Model:
    """Read a model from a `.sqz` file or a checkpoint.

    Args:
        path: the file.
        architecture: of a checkpoint; None: decided by the kernels of its first layer.
        factory: function that may make the network of a `.sqz` file, `package.module:function`.
    Raises:
        FormatError: the `.sqz` file is damaged.
        WeightsError: the checkpoint is unreadable or of another network.
        ConfigError: unknown suffix or architecture, or the file names another function.
    """
    if path.suffix == ".sqz":
        return trust_factory(container.read(path), factory)
    if not has_checkpoint_suffix(path):
        allowed = ", ".join([".sqz", *CHECKPOINT_SUFFIXES])
        raise ConfigError(f"unknown format {path.suffix!r}", file=path, allowed=allowed)
    checkpoint = read_checkpoint(path)
    name = architecture or _guess(checkpoint)
    return squeezenet_model(name, find_state_dict(checkpoint, expected_squeezenet(name)).arrays, TORCHVISION)


def _guess(checkpoint: Checkpoint) -> str:
    """Return the SqueezeNet with the kernels of the first layer."""
    first = (tensor for name, tensor in checkpoint.tensors.items() if name.endswith("features.0.weight"))
    return "squeezenet1_0" if any(tensor.shape[-1:] == (7,) for tensor in first) else "squeezenet1_1"
