"""A network's weights with all that is needed to use them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from compress.errors import ConfigError
from compress.tensors.forms import Tensor


@dataclass(frozen=True)
class Preprocessing:
    """How a photo becomes the network's input. It belongs to the weights, and travels with them.

    A photo is resized (bilinear), cropped at the centre where `resize` says so, its channels put in order, and each
    becomes `(pixel * scale - mean) / deviation`, pixels running from 0 to 255.

    Attributes:
        height: rows of the input, pixels.
        width: columns of the input, pixels.
        resize: `squash` resizes the whole photo to height x width; `crop` resizes its short side to `short_side`
            and takes the centre.
        short_side: pixels, used by `crop` alone.
        channels: order of the input's channels: `RGB`, `BGR` or `L` (one channel, grey).
        scale: factor on the pixel before the mean is subtracted.
        mean: per channel, in the input's order.
        deviation: per channel, in the input's order.
    """

    height: int
    width: int
    resize: Literal["squash", "crop"]
    channels: Literal["RGB", "BGR", "L"]
    scale: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    short_side: int = 0


CAFFE = Preprocessing(227, 227, "squash", "BGR", 1.0, (104.0, 117.0, 123.0), (1.0, 1.0, 1.0))
"""What the SqueezeNet authors' weights were trained on."""

TORCHVISION = Preprocessing(
    224, 224, "crop", "RGB", 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), short_side=256
)
"""What torchvision's published weights were trained on."""


@dataclass(frozen=True)
class Model:
    """A network's name, its tensors and what a user of it needs.

    Attributes:
        architecture: name in `compress.networks.NETWORKS`; or, with a colon in it, the Python function that makes the
            network and its arguments, see `compress.networks.factory`.
        classes: how many the network tells apart.
        preprocessing: how a photo becomes its input.
        tensors: by name, in the network's order; weights, biases and all else that the network computes with.
        labels: a name for each class, or empty.
        as_is: names of tensors that are no convolution's or linear layer's, such as those of batch norms. Passes leave
            them as they are, but training moves them. Not in a file: it matters to passes alone.
        origin: the float network that this one was made from, its channels in the order and of the size that they have
            here; None where no pass moved any. Not in a file.
        trusted: whether the function that `architecture` names may be imported and called. Not in a file: nobody lets
            a file choose what code runs.
    """

    architecture: str
    classes: int
    preprocessing: Preprocessing
    tensors: Mapping[str, Tensor] = field(repr=False)
    labels: tuple[str, ...] = field(default=(), repr=False)
    as_is: frozenset[str] = field(default=frozenset(), repr=False, compare=False)
    trusted: bool = field(default=False, compare=False)
    origin: Model | None = field(default=None, repr=False, compare=False)

    def with_tensors(self, changed: Mapping[str, Tensor]) -> Model:
        """Return a copy in which the tensors named in `changed` are replaced."""
        unknown = set(changed) - set(self.tensors)
        assert not unknown, unknown
        return replace(self, tensors={name: changed.get(name, tensor) for name, tensor in self.tensors.items()})

    def bias_names(self) -> dict[str, str]:
        """Return the names of biases by those of the weight tensors that they go with."""
        pairs = ((name, f"{name.removesuffix('weight')}bias") for name in self.weight_names())
        return {name: bias for name, bias in pairs if bias in self.tensors}

    def weight_names(self) -> list[str]:
        """Return the names of the tensors that passes compress: two dimensions or more, so no biases."""
        return [name for name, tensor in self.tensors.items() if len(tensor.shape) >= 2 and name not in self.as_is]


def trusting(model: Model, function: str | None) -> Model:
    """Return the model, its function trusted where the user named it.

    Args:
        model: as it was read.
        function: what the user lets be imported; None for nothing.
    Raises:
        ConfigError: the file names another function.
    """
    if function is None:
        return model
    named = model.architecture.partition(" ")[0]
    if named != function:
        raise ConfigError(f"the file's network is {named!r}, and not made by {function!r}", key="--factory")
    return replace(model, trusted=True)
