"""How a checkpoint is read, in a pipeline file."""

from __future__ import annotations

from pathlib import Path

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from compress.networks.preprocessing_options import InputOptions
from compress.runtime.path_types import KeyText


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class CheckpointOptions(InputOptions):
    """Options of a network that is read from a checkpoint.

    Attributes:
        checkpoint_key: keys on the way to the network's tensors, joined by dots; None: the only part that fits.
        strict: tensors that the network lacks are an error.
    """

    checkpoint_key: KeyText | None = None
    strict: bool = True

    def described(self, path: str) -> str:
        """Return the name of a checkpoint and the key of the tensors in it, for the report."""
        return Path(path).name + (f" under {self.checkpoint_key}" if self.checkpoint_key else "")
