"""A model from whatever file the user has."""

from __future__ import annotations

from pathlib import Path

from compress import container
from compress.errors import ConfigError
from compress.model import Model, trusting
from compress.networks.checkpoint import read_checkpoint
from compress.networks.weight_sources import Checkpoint


def load_model(path: Path, architecture: str | None = None, factory: str | None = None) -> Model:
    """Read `.sqz`, `.safetensors`, `.pth` or `.pt`.

    Args:
        path: the file.
        architecture: the network of a checkpoint; by default the one that its first layer fits.
        factory: the function, `package.module:function`, that may be called to make the network of a `.sqz` file; only
            where the file names the same.
    Raises:
        FormatError: a `.sqz` file is not what the format says.
        WeightsError: a checkpoint is unreadable or of another network.
        ConfigError: the ending is none of these, no such network, or the file names another function.
    """
    if path.suffix == ".sqz":
        return trusting(container.read(path), factory)
    if path.suffix not in {".safetensors", ".pth", ".pt"}:
        raise ConfigError(f"cannot tell the format by {path.suffix!r}", file=path, allowed=".sqz, .safetensors, .pth")
    if architecture not in {"squeezenet1_0", "squeezenet1_1", None}:
        raise ConfigError(f"no network {architecture!r}", key="--architecture", allowed="squeezenet1_0, squeezenet1_1")
    first = read_checkpoint(path).get("features.0.weight")
    guessed = "squeezenet1_0" if first is not None and first.shape[-1] == 7 else "squeezenet1_1"
    return Checkpoint(path=str(path), architecture=architecture or guessed).load()  # type: ignore[arg-type]
