"""Weight tensors in an ONNX graph: float32, or small integers and what turns them into the same float32 bits.

ONNX Runtime computes those bits once, when it loads the model, as nothing in them depends on a photo. DequantizeLinear,
which ONNX has for this, is not used. It knows scales of rows or of columns, and a second multiplication for the others
would round once more; its float32 scales take more bytes than exponents do; and ONNX Runtime leaves it in the network,
to be computed again for every batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from compress.tensors.forms import Shared, Tensor
from compress.tensors.kernel_transform import SIDE
from compress.tensors.scales import scale_of


@dataclass(frozen=True)
class Stored:
    """What gives one weight tensor its values.

    Attributes:
        constants: initializers of the graph.
        nodes: operations on them, in order. The last one's output, or the constant where there are none, has the
            tensor's name.
    """

    constants: list[TensorProto]
    nodes: list[NodeProto]

    @property
    def stored_bytes(self) -> int:
        """Bytes in the file, but for a few that tell where each part begins."""
        total: int = sum(part.ByteSize() for part in self.constants) + sum(part.ByteSize() for part in self.nodes)
        return total


Storing = Callable[[str, Tensor], Stored]


def as_float32(name: str, tensor: Tensor) -> Stored:
    """Store a tensor as its float32 values."""
    return Stored([numpy_helper.from_array(np.ascontiguousarray(tensor.to_dense()), name)], [])


def as_smallest(name: str, tensor: Tensor) -> Stored:
    """Store a tensor as levels, as indices into its used values or as float32, whichever takes the fewest bytes."""
    return min(_forms(name, tensor), key=lambda stored: stored.stored_bytes)


def _forms(name: str, tensor: Tensor) -> Iterator[Stored]:
    yield as_float32(name, tensor)
    if isinstance(tensor, Shared):
        yield _as_indices(name, tensor)
        if tensor.has_levels:
            yield _as_levels(name, tensor)


def _as_indices(name: str, tensor: Shared) -> Stored:
    parts = _Parts(name)
    used, places = np.unique(tensor.indices.reshape(-1), return_inverse=True)
    narrow = places.astype(np.uint8 if len(used) <= 2**8 else np.uint16).reshape(tensor.shape)
    indices = parts.widened("indices", narrow, TensorProto.INT32)  # Gather takes none narrower
    codebook = parts.constant("codebook", tensor.codebook[used])
    return parts.scaled(parts.node("Gather", "values", codebook, indices), tensor)


def _as_levels(name: str, tensor: Shared) -> Stored:
    parts = _Parts(name)
    levels = tensor.codebook[tensor.indices].astype(np.int32)
    narrow = next(
        (levels.astype(kind) for kind in (np.int8, np.int16) if np.array_equal(levels, levels.astype(kind))), levels
    )
    return parts.scaled(parts.widened("levels", narrow, TensorProto.FLOAT), tensor)


class _Parts:
    """Collects a tensor's constants and operations, their names beginning with its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.constants: list[TensorProto] = []
        self.nodes: list[NodeProto] = []

    def constant(self, part: str, values: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), f"{self.name}.{part}"))
        return f"{self.name}.{part}"

    def node(self, operator: str, part: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [f"{self.name}.{part}"], **attributes))
        return f"{self.name}.{part}"

    def widened(self, part: str, numbers: NDArray[Any], to: int) -> str:
        return self.node("Cast", f"{part}.wide", self.constant(part, numbers), to=to)

    def scaled(self, values: str, tensor: Shared) -> Stored:
        """Multiply by the scales, if there are any, sum kernels up, and give the result the tensor's name."""
        behind = [1] * (len(tensor.shape) - 1)
        exponents = {
            part: each.astype(np.int32).reshape(shape)
            for part, each, shape in (
                ("rows", tensor.row_exponents, [-1, *behind]),
                ("columns", tensor.column_exponents, [-1, *behind[1:]]),
                ("coefficients", tensor.coefficient_exponents, [SIDE, SIDE]),
            )
            if each is not None
        }
        if exponents:
            values = self.node("Mul", "scaled", values, self._scale(exponents))
        if tensor.coefficient_exponents is not None:
            self._summed("kernels", self._summed("lines", values, 3), 2)
        self.nodes[-1].output[:] = [self.name]
        return Stored(self.constants, self.nodes)

    def _summed(self, part: str, values: str, axis: int) -> str:
        """Add a kernel's three patterns up along a dimension, as `kernels_of` rounds it."""
        each = [f"{self.name}.{part}.{pattern}" for pattern in ("finest", "middle", "coarsest")]
        self.nodes.append(helper.make_node("Split", [values], each, axis=axis))
        finest, middle, coarsest = each
        outer = self.node("Add", f"{part}.outer", coarsest, finest)
        first = self.node("Add", f"{part}.first", outer, middle)
        second = self.node("Sub", f"{part}.second", coarsest, self.node("Add", f"{part}.twice", finest, finest))
        third = self.node("Sub", f"{part}.third", outer, middle)
        return self.node("Concat", part, first, second, third, axis=axis)

    def _scale(self, exponents: dict[str, NDArray[np.int32]]) -> str:
        """Look the scale of each weight up by the sum of its exponents, as `Shared` rounds it."""
        positions = [
            self.widened(part, (each - each.min()).astype(np.uint8), TensorProto.INT32)
            for part, each in exponents.items()
        ]
        position = positions[0]
        for number, other in enumerate(positions[1:]):
            position = self.node("Add", f"exponents.{number}" if number else "exponents", position, other)
        lowest, highest = (sum(int(end(each)) for each in exponents.values()) for end in (np.min, np.max))
        return self.node("Gather", "scale", self.constant("scales", scale_of(np.arange(lowest, highest + 1))), position)
