"""Values in float32: exactly those of the tensor, rounded, or refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compress.errors import WeightsError
from compress.networks.float_values import to_float32

WEIGHTS = torch.randn(4, 6)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_other_precisions_become_float32(kind):
    assert np.array_equal(to_float32("w", WEIGHTS.to(kind)), WEIGHTS.to(kind).float())


@pytest.mark.parametrize(
    "tensor",
    [WEIGHTS.t(), WEIGHTS[:, ::2], torch.zeros(1).expand(4), torch.tensor(3.5), torch.zeros(0, 2)],
    ids=["transposed", "strided", "expanded", "scalar", "empty"],
)
def test_the_memory_layout_does_not_matter(tensor):
    values = to_float32("w", tensor)
    assert values.shape == tensor.shape
    assert values.flags.c_contiguous
    assert np.array_equal(values, tensor)


@pytest.mark.parametrize("kind", [torch.int32, torch.int64, torch.uint64, torch.float64])
def test_a_whole_number_that_float32_lacks_is_an_error(kind):
    exact = torch.tensor([1 << 24, 1 << 26, 0], dtype=kind)
    assert to_float32("table", exact).tolist() == [1 << 24, 1 << 26, 0]
    with pytest.raises(WeightsError, match="table: the whole number 16,777,217 is not exact in float32"):
        to_float32("table", torch.tensor([3, (1 << 24) + 1], dtype=kind))


def test_a_tensor_without_real_numbers_is_refused_with_the_remedy():
    with pytest.raises(WeightsError, match=r"^w: a sparse tensor, .*; convert it with to_dense\(\)$"):
        to_float32("w", WEIGHTS.to_sparse())


@pytest.mark.parametrize("number", [(1 << 53) + 1, -(1 << 63), (1 << 63) - 1])
def test_an_integer_that_float64_lacks_is_an_error_too(number):
    with pytest.raises(WeightsError, match="not exact"):
        to_float32("table", torch.tensor([number]))


def test_a_value_beyond_float32_is_an_error_with_the_value():
    with pytest.raises(WeightsError, match=r"^w: the value 1e\+300 is too large for float32$"):
        to_float32("w", torch.tensor([0.5, -1e300], dtype=torch.float64))


def test_a_large_float64_value_is_no_whole_number_that_someone_counted():
    assert to_float32("mask", torch.tensor([-1e30], dtype=torch.float64)) == np.float32(-1e30)


class Distributed(torch.Tensor):
    """Has the method of a `DTensor`, whose values are in several processes."""

    def full_tensor(self) -> torch.Tensor:
        raise RuntimeError("the other processes are gone")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("sparse", WEIGHTS.to_sparse),
        ("complex", lambda: WEIGHTS.to(torch.complex64)),
        ("meta", lambda: WEIGHTS.to("meta")),
        ("distributed", lambda: WEIGHTS.as_subclass(Distributed)),
        ("quantized", lambda: torch.quantize_per_tensor(WEIGHTS, 0.1, 0, torch.qint8)),
        ("nested", lambda: torch.nested.nested_tensor([WEIGHTS, WEIGHTS[:2]])),
        ("torch.int4", lambda: torch.zeros(2, dtype=torch.uint8).view(torch.int4)),
    ],
)
def test_anything_but_dense_real_numbers_is_an_error_with_the_kind(kind, make):
    with pytest.raises(WeightsError, match=f"w: a {kind} tensor, not a dense tensor of real numbers"):
        to_float32("w", make())
