"""The tensor of a network's outputs that is compared with the float network's.

Torch is not imported: the options are read before it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from compress.errors import ConfigError
from compress.runtime.option_types import OPTIONS

if TYPE_CHECKING:
    from torch import Tensor

OutputKind = Literal["distribution", "values"]
"""`distribution`: the softmax over an axis, compared by Kullback-Leibler divergence; `values`: compared by mean squared
error, relative to the variance of the float network's."""

OutputName = Annotated[str, Field(min_length=1, description="the key or the dotted path of a tensor")]
OutputIndex = Annotated[int, Field(ge=0)]

_MAX_POSITIONS, _MAX_VALUES = 1024, 1 << 18
"""Positions and values of a photo that are compared, evenly spread: outputs on all photos are kept in memory."""


@dataclass(frozen=True, config=OPTIONS)
class OutputOptions:
    """The part of a network's outputs that is compared.

    Attributes:
        tensor: index or key of a tensor in the outputs, or a path of them joined by dots; None: the only output.
        kind: `distribution` is compared by the divergence of its softmax over `axis`, the mean over all positions;
            `values` by their mean squared error, relative to their variance.
        axis: of the classes or channels; all others but the first, the photos, are positions.
    """

    tensor: OutputIndex | OutputName | None = None
    kind: OutputKind = "distribution"
    axis: Annotated[int, Field(ge=-8, le=7)] = 1


@dataclass(frozen=True, config=OPTIONS)
class ComparedOutput(OutputOptions):
    """The tensor that is compared, as files describe it.

    Attributes:
        positions: number of positions of a map that are compared; 1: it is no map.
    """

    positions: Annotated[int, Field(ge=1, le=_MAX_POSITIONS)] = 1

    @property
    def is_classes(self) -> bool:
        """Whether a photo has one distribution: the network is a classifier."""
        return self.kind == "distribution" and self.positions == 1

    @property
    def words(self) -> str:
        """The compared part in words, for messages and reports."""
        what = {"distribution": "class probabilities", "values": "values"}[self.kind]
        where = "" if self.positions == 1 else f" at {self.positions:,} positions"
        return f"{what}{where}" + ("" if self.tensor is None else f" of output {self.tensor}")

    def shape(self, channels: int) -> tuple[int, ...]:
        """Return the shape of `compared_tensor` for one photo."""
        return (channels,) if self.positions == 1 else (channels, self.positions)

    def to_options(self) -> dict[str, object]:
        """Return the values that differ from the defaults, as JSON."""
        defaults = dataclasses.asdict(ComparedOutput())
        return {name: value for name, value in dataclasses.asdict(self).items() if value != defaults[name]}


LOGITS = ComparedOutput()
"""The logits of a classifier, its only output."""


def probe_output(network_outputs: Any, options: OutputOptions) -> tuple[ComparedOutput, Tensor]:
    """Return the compared part of a network's outputs for one photo, and its tensor.

    Args:
        network_outputs: of the network for one photo.
        options: of the user.
    Raises:
        ConfigError: the options name no tensor, or one that cannot be compared; names the tensors and their shapes.
    """
    tensor = named_tensor(network_outputs, options)
    _check_axis(tensor, options, network_outputs)
    found = ComparedOutput(options.tensor, options.kind, options.axis)
    compared = by_channel(tensor, found)
    return replace(found, positions=1 if compared.dim() == 2 else compared.shape[2]), compared


def named_tensor(network_outputs: Any, options: OutputOptions) -> Any:
    """Return the tensor that the options name.

    Raises:
        ConfigError: there is none; names the tensors and their shapes.
    """
    tensors = dict(leaves(network_outputs))
    name = "" if options.tensor is None else str(options.tensor)
    if name not in tensors:
        returned = f"a {type(network_outputs).__name__}" + (f" without {name!r}" if name else "")
        raise output_error(f"the network returns {returned}", network_outputs)
    return tensors[name]


def compared_tensor(network_outputs: Any, output: ComparedOutput) -> Tensor:
    """Return the tensor that is compared: shape (photos, channels), of maps (photos, channels, positions)."""
    return by_channel(named_tensor(network_outputs, output), output)


def by_channel(tensor: Tensor, output: OutputOptions) -> Tensor:
    """Return a tensor with its channels second and its positions last; of many positions, evenly spread ones."""
    import torch  # noqa: PLC0415

    if tensor.dim() == 2:
        return tensor
    maps = tensor.movedim(output.axis, 1).flatten(2)
    if maps.shape[2] == 1:
        return maps[..., 0]
    count = min(_MAX_POSITIONS, max(_MAX_VALUES // maps.shape[1], 2))
    if maps.shape[2] <= count:
        return maps
    spread = torch.linspace(0, maps.shape[2] - 1, count, dtype=torch.float64, device=maps.device)
    return maps[..., spread.long()]


def output_error(problem: str, network_outputs: Any) -> ConfigError:
    """Return the error for outputs that are not compared as they are."""
    tensors = {name or "the only one": tensor for name, tensor in leaves(network_outputs) if hasattr(tensor, "dim")}
    listed = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items()) or "none"
    return ConfigError(
        f"{problem}; its tensors for one photo: {listed}; name the one to compare, `outputs: {{tensor: NAME}}`, with "
        "`kind: distribution` for the logits of classes along `axis` (default 1), at each position of a map, or with "
        "`kind: values` for a mean squared error",
        key="model.outputs",
    )


def leaves(outputs: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield every leaf of nested outputs with its dotted path."""
    if isinstance(outputs, Mapping):
        parts = [(str(key), value) for key, value in outputs.items()]
    elif dataclasses.is_dataclass(outputs) and not isinstance(outputs, type):
        parts = [(each.name, getattr(outputs, each.name)) for each in dataclasses.fields(outputs)]
    elif isinstance(outputs, tuple | list):
        parts = list(zip(getattr(outputs, "_fields", map(str, range(len(outputs)))), outputs, strict=True))
    else:
        yield ".".join(path), outputs
        return
    for name, value in parts:
        yield from leaves(value, (*path, name))


def _check_axis(tensor: Any, options: OutputOptions, network_outputs: Any) -> None:
    name = "its output" if options.tensor is None else f"output {options.tensor}"
    shape = tuple(getattr(tensor, "shape", ()))
    if len(shape) < 2 or shape[0] != 1 or 0 in shape or not tensor.is_floating_point():
        kind = f"a tensor {shape} of {tensor.dtype}" if hasattr(tensor, "dtype") else f"a {type(tensor).__name__}"
        problem = f"{name} of the network is {kind}, expected floating-point numbers of shape (photos, channels, ...)"
        raise output_error(problem, network_outputs)
    if abs(options.axis) >= len(shape) or options.axis == 0:
        raise output_error(f"axis {options.axis} is none of the channels of {name}, shape {shape}", network_outputs)
    if options.kind == "distribution" and shape[options.axis] < 2:
        problem = f"{name} has {shape[options.axis]} class along axis {options.axis}, whose probability is always 1"
        raise output_error(problem, network_outputs)
