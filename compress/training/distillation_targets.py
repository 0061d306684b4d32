"""What distillation trains towards: the float network's logits, or the output of each of its blocks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Teacher:
    """The float network's logits, computed once for each photo as it is and once for its mirror image.

    They lie in a file, as for a million photos they are larger than memory. What a batch gives may depend, in its last
    bits, on which photos are in it: so one that goes on after an interruption takes what was known then.

    Attributes:
        known: bool, shape (photos, 2), whose logits are there: of photos as they are, and mirrored.
    """

    def __init__(self, network: nn.Module, photos: int, classes: int, path: Path | None) -> None:
        """Begin with nothing known.

        Args:
            network: the float network.
            photos: how many there are.
            classes: of the network.
            path: of the file; None for one without a name.
        """
        self._network = network
        self.known = np.zeros((photos, 2), dtype=np.bool_)
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") if path else tempfile.TemporaryFile() as file:
            file.truncate(photos * 2 * classes * 4)
            file.flush()
            self._logits = np.memmap(path or file, np.float32, "r+", shape=(photos, 2, classes))

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the logits of inputs that come once, shape (n, classes)."""
        with torch.no_grad():
            logits: Tensor = self._network(inputs)
        return logits

    def of_photos(self, inputs: Tensor, places: NDArray[np.int64], mirrored: NDArray[np.bool_]) -> Tensor:
        """Return the logits of photos.

        Args:
            inputs: the photos, mirrored where said; shape (n, channels, height, width).
            places: of each among all photos.
            mirrored: shape (n,).
        """
        which = mirrored.astype(np.int64)
        new = ~self.known[places, which]
        if new.any():
            found = self(inputs[torch.from_numpy(new).to(inputs.device)])
            self._logits[places[new], which[new]] = found.cpu().numpy()
            self.known[places[new], which[new]] = True
        return torch.from_numpy(self._logits[places, which]).to(inputs.device)

    def flush(self) -> None:
        """Bring all that is known to disk."""
        self._logits.flush()


def blocks_of(network: nn.Module, names: Iterable[str]) -> list[str]:
    """Return the names of the modules that are matched by themselves, in order.

    A block is the module that a layer is part of, such as a Fire module; a layer that stands in a sequence of its own
    accord is one by itself.

    Args:
        network: whose they are.
        names: of its weight tensors.
    """
    blocks = []
    for name in names:
        layer = name.rpartition(".")[0]
        parent = layer.rpartition(".")[0]
        inside = parent and not isinstance(network.get_submodule(parent), nn.Sequential | nn.ModuleList)
        blocks.append(parent if inside else layer)
    return list(dict.fromkeys(blocks))


@contextmanager
def outputs_of(network: nn.Module, blocks: Iterable[str], *, apart: bool) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of blocks while the context lasts.

    Args:
        network: whose they are.
        blocks: their names.
        apart: cut the gradient at each block's input, so that each learns from its own output alone.
    """
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            found[name] = output

        return hook

    def cut(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(each.detach() for each in inputs)

    handles = []
    for name in blocks:
        module = network.get_submodule(name)
        handles.append(module.register_forward_hook(keep(name)))
        if apart:
            handles.append(module.register_forward_pre_hook(cut))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
