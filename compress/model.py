"""A network's tensors, and what is needed to run it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from compress.errors import ConfigError
from compress.tensors.forms import Tensor


@dataclass(frozen=True)
class Preprocessing:
    """Steps from a photo to network input. They belong to the weights and are stored in the file.

    The photo is resized with bilinear interpolation, and each pixel, 0 to 255, becomes `(pixel * scale - mean) / std`.

    Attributes:
        height: of the input, pixels.
        width: of the input, pixels.
        resize: `squash` resizes the whole photo, `crop` its short side to `short_side` and takes the center.
        channels: order of the input's channels; `L` is gray.
        scale: factor of each pixel.
        mean: per channel.
        std: per channel.
        short_side: pixels, for `crop`; else 0.
    """

    height: int
    width: int
    resize: Literal["squash", "crop"]
    channels: Literal["RGB", "BGR", "L"]
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    short_side: int = 0


CAFFE = Preprocessing(227, 227, "squash", "BGR", 1.0, (104.0, 117.0, 123.0), (1.0, 1.0, 1.0))
"""Preprocessing of the SqueezeNet authors' weights."""

TORCHVISION = Preprocessing(
    224, 224, "crop", "RGB", 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), short_side=256
)
"""Preprocessing of torchvision's published weights."""


@dataclass(frozen=True)
class TrainingCurve:
    """The course of a training.

    Attributes:
        losses: step, and mean loss of the batches since the entry before.
        validation: step, mean loss and fraction of wrong classes on the validation split; empty without one.
    """

    losses: tuple[tuple[int, float], ...]
    validation: tuple[tuple[int, float, float], ...] = ()


@dataclass(frozen=True)
class Model:
    """A network and what is needed to run it. The attributes from `trusted` on are not stored in files.

    Attributes:
        architecture: a name in `networks.modules.NETWORKS`, or a function as in `networks.factory`.
        classes: number of classes.
        preprocessing: from a photo to the input.
        tensors: by name, in the network's order.
        labels: class names, or empty.
        program: the network's operations, for the runtime in C; empty if it does not need or support one.
        uncompressed: tensors that passes leave out, such as those of batch norms.
        trusted: the function in `architecture` may be called. A file cannot set this.
        reference: the float network with its channels in this model's order and scale; None: no pass changed them.
        source_notes: differences between the weights and the file that they were read from.
        notes: what the last stage left out, and why.
        training: course of the last stage, if it trained the model.
    """

    architecture: str
    classes: int
    preprocessing: Preprocessing
    tensors: Mapping[str, Tensor] = field(repr=False)
    labels: tuple[str, ...] = field(default=(), repr=False)
    program: bytes = field(default=b"", repr=False)
    uncompressed: frozenset[str] = field(default=frozenset(), repr=False, compare=False)
    trusted: bool = field(default=False, compare=False)
    reference: Model | None = field(default=None, repr=False, compare=False)
    source_notes: tuple[str, ...] = field(default=(), repr=False, compare=False)
    notes: tuple[str, ...] = field(default=(), repr=False, compare=False)
    training: TrainingCurve | None = field(default=None, repr=False, compare=False)

    def with_tensors(self, changed: Mapping[str, Tensor]) -> Model:
        """Return a copy with the tensors in `changed` replaced."""
        assert changed.keys() <= self.tensors.keys(), set(changed) - set(self.tensors)
        return replace(self, tensors={**self.tensors, **changed})

    def weight_names(self) -> list[str]:
        """Return the names of the tensors that passes compress."""
        names = (name for name, tensor in self.tensors.items() if len(tensor.shape) >= 2)
        return [name for name in names if name not in self.uncompressed]

    def parameter_count(self, names: Iterable[str] | None = None) -> int:
        """Return the number of values of the named tensors; None: of all."""
        return sum(math.prod(self.tensors[name].shape) for name in (self.tensors if names is None else names))

    def bias_names(self) -> dict[str, str]:
        """Return the name of each bias, one value per row, by the name of its layer's weight tensor."""
        pairs = ((name, bias_name(name)) for name in self.weight_names())
        return {
            name: bias
            for name, bias in pairs
            if bias in self.tensors and self.tensors[bias].shape == self.tensors[name].shape[:1]
        }


def bias_name(weight: str) -> str:
    """Return the name of the bias beside a weight: `a.bias` of `a.weight`, `a.bias_hh_l0` of `a.weight_hh_l0`."""
    before, found, after = weight.rpartition("weight")
    return f"{before}bias{after}" if found else f"{weight}bias"


def trust_factory(model: Model, factory: str | None) -> Model:
    """Return the model with its function trusted, if the user named that function, `factory`.

    Raises:
        ConfigError: the file names another function.
    """
    if factory is None:
        return model
    named = model.architecture.partition(" ")[0]
    if named != factory:
        raise ConfigError(f"the file's network is made by {named!r}, not by {factory!r}", key="--factory")
    return replace(model, trusted=True)
