"""Weight tensors in an ONNX graph: float32, or small integers and operations that give the same float32 bits.

ONNX Runtime evaluates these operations once, when it loads the model. DequantizeLinear is not used: it has scales of
rows or of columns, so a second multiplication would round again, and it is evaluated for every batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from compress.tensors.forms import Shared, Tensor
from compress.tensors.kernel_transform import KERNEL_SIDE
from compress.tensors.scales import scale_of


@dataclass
class StoredTensor:
    """A weight tensor in an ONNX graph: constants and operations; the last result has the tensor's name."""

    name: str
    constants: list[TensorProto] = field(default_factory=list)
    nodes: list[NodeProto] = field(default_factory=list)

    @property
    def stored_bytes(self) -> int:
        """Bytes in the file, without a few bytes of field lengths."""
        parts: list[TensorProto | NodeProto] = [*self.constants, *self.nodes]
        return sum(part.ByteSize() for part in parts)

    def add_constant(self, suffix: str, values: NDArray[Any]) -> str:
        """Add a constant and return its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), f"{self.name}.{suffix}"))
        return f"{self.name}.{suffix}"

    def add_node(self, operator: str, suffix: str, *inputs: str, **attributes: Any) -> str:
        """Add an operation and return the name of its result."""
        self.nodes.append(helper.make_node(operator, inputs, [f"{self.name}.{suffix}"], **attributes))
        return f"{self.name}.{suffix}"

    def add_cast(self, suffix: str, values: NDArray[Any], dtype: int) -> str:
        """Add a constant of narrow integers and their conversion."""
        return self.add_node("Cast", f"{suffix}.wide", self.add_constant(suffix, values), to=dtype)


StoreTensor = Callable[[str, Tensor], StoredTensor]


def as_float32(name: str, tensor: Tensor) -> StoredTensor:
    """Store a tensor as its float32 values."""
    return StoredTensor(name, [numpy_helper.from_array(np.ascontiguousarray(tensor.to_dense()), name)])


def as_smallest(name: str, tensor: Tensor) -> StoredTensor:
    """Store a tensor as levels, codebook indices or float32, whichever takes the fewest bytes."""
    return min(_candidates(name, tensor), key=lambda stored: stored.stored_bytes)


def _candidates(name: str, tensor: Tensor) -> Iterator[StoredTensor]:
    yield as_float32(name, tensor)
    if isinstance(tensor, Shared):
        yield _as_indices(name, tensor)
        if tensor.has_levels:
            yield _as_levels(name, tensor)


def _as_indices(name: str, tensor: Shared) -> StoredTensor:
    """Store indices into the codebook entries in use."""
    stored = StoredTensor(name)
    used, indices = np.unique(tensor.indices.reshape(-1), return_inverse=True)
    narrow = indices.astype(np.uint8 if len(used) <= 2**8 else np.uint16).reshape(tensor.shape)
    positions = stored.add_cast("indices", narrow, TensorProto.INT32)  # Gather takes no narrower type
    codebook = stored.add_constant("codebook", tensor.codebook[used])
    return _finish(stored, stored.add_node("Gather", "values", codebook, positions), tensor)


def _as_levels(name: str, tensor: Shared) -> StoredTensor:
    """Store levels in the narrowest integer type."""
    stored = StoredTensor(name)
    levels = tensor.codebook[tensor.indices].astype(np.int32)
    candidates = (levels.astype(dtype) for dtype in (np.int8, np.int16, np.int32))
    narrow = next(each for each in candidates if np.array_equal(levels, each))
    return _finish(stored, stored.add_cast("levels", narrow, TensorProto.FLOAT), tensor)


def _finish(stored: StoredTensor, values: str, tensor: Shared) -> StoredTensor:
    """Apply scales and the kernel transform, and give the result the tensor's name."""
    trailing = [1] * (len(tensor.shape) - 1)
    candidates = (
        ("rows", tensor.row_exponents, [-1, *trailing]),
        ("columns", tensor.column_exponents, [-1, *trailing[1:]]),
        ("coefficients", tensor.coefficient_exponents, [KERNEL_SIDE, KERNEL_SIDE]),
    )
    exponents = {suffix: each.astype(np.int32).reshape(shape) for suffix, each, shape in candidates if each is not None}
    if exponents:
        values = stored.add_node("Mul", "scaled", values, _add_scales(stored, exponents))
    if tensor.coefficient_exponents is not None:
        lines = _add_inverse_transform(stored, "lines", values, axis=3)
        _add_inverse_transform(stored, "kernels", lines, axis=2)
    stored.nodes[-1].output[:] = [stored.name]
    return stored


def _add_scales(stored: StoredTensor, exponents: dict[str, NDArray[np.int32]]) -> str:
    """Look up each weight's scale by the sum of its exponents, rounded as in `Shared`."""
    position, *others = [
        stored.add_cast(suffix, (each - each.min()).astype(np.uint8), TensorProto.INT32)
        for suffix, each in exponents.items()
    ]
    for number, other in enumerate(others):
        position = stored.add_node("Add", f"exponents.{number}" if number else "exponents", position, other)
    smallest = sum(int(each.min()) for each in exponents.values())
    largest = sum(int(each.max()) for each in exponents.values())
    scales = stored.add_constant("scales", scale_of(np.arange(smallest, largest + 1)))
    return stored.add_node("Gather", "scale", scales, position)


def _add_inverse_transform(stored: StoredTensor, suffix: str, values: str, axis: int) -> str:
    """Apply the inverse kernel transform along an axis, in the order of `kernels_from_coefficients`."""
    parts = [f"{stored.name}.{suffix}.{pattern}" for pattern in ("finest", "middle", "coarsest")]
    finest, middle, coarsest = parts
    stored.nodes.append(helper.make_node("Split", [values], parts, axis=axis))
    outer = stored.add_node("Add", f"{suffix}.outer", coarsest, finest)
    first = stored.add_node("Add", f"{suffix}.first", outer, middle)
    twice = stored.add_node("Add", f"{suffix}.twice", finest, finest)
    second = stored.add_node("Sub", f"{suffix}.second", coarsest, twice)
    third = stored.add_node("Sub", f"{suffix}.third", outer, middle)
    return stored.add_node("Concat", suffix, first, second, third, axis=axis)
