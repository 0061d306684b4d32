from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from compress.errors import PassError
from compress.tensors.forms import Dense, Pruned, Shared, as_shared
from compress.tensors.levels import levels_codebook, levels_to_symbols, symbols_to_levels
from compress.tensors.scales import scale_of, weight_scales


def floats(*values):
    return np.array(values, np.float32)


def shared(indices, **options):
    codebook = floats(0, -0.75, 0.5, 1.25)
    return Shared(codebook, np.array(indices, np.uint16), **options)


def test_scales_of_whole_octaves_are_exact_powers_of_two():
    octaves = np.arange(-64, 64)
    assert scale_of(4 * octaves).tolist() == [2.0**n for n in octaves]


def test_scales_between_octaves_have_the_bits_of_the_rounded_fourth_roots():
    bits = scale_of(np.array([1, 2, 3])).view(np.uint32)
    assert [hex(word) for word in bits] == ["0x3f9837f0", "0x3fb504f3", "0x3fd744fd"]


def test_every_scale_is_the_float32_nearest_to_its_power():
    exponents = np.arange(-256, 255)
    assert np.array_equal(scale_of(exponents), (2.0 ** (exponents / 4)).astype(np.float32))


def test_scales_of_int8_exponents_do_not_wrap():
    assert scale_of(np.array([-128, 127], np.int8)).tolist() == [2.0**-32, float(np.float32(2**31.75))]


def test_scales_of_a_tensor_are_those_of_the_sums_of_its_exponents():
    rows = columns = np.arange(-128, 128, dtype=np.int8)
    coefficients = np.array([[-128, 127, 0], [1, -1, 2], [-2, 64, -65]], np.int8)
    sums = rows[:, None, None, None] + columns[:, None, None].astype(int) + coefficients
    assert np.array_equal(weight_scales(4, rows, columns, coefficients), scale_of(sums))
    assert weight_scales(2, None, None).tolist() == [[1]]


def test_a_shared_tensor_without_scales_is_a_codebook_lookup():
    tensor = shared([[1, 0], [3, 2]])
    assert tensor.to_dense().tolist() == [[-0.75, 0], [1.25, 0.5]]
    assert tensor.to_dense().dtype == np.float32


def test_row_exponents_scale_the_first_dimension_and_column_exponents_the_second():
    rows, columns = np.array([0, 4], np.int8), np.array([0, -4, 8], np.int8)
    indices = np.full((2, 3, 1, 1), 2)
    assert shared(indices, row_exponents=rows).to_dense()[:, :, 0, 0].tolist() == [[0.5] * 3, [1.0] * 3]
    assert shared(indices, column_exponents=columns).to_dense()[:, :, 0, 0].tolist() == [[0.5, 0.25, 2.0]] * 2
    both = shared(indices, row_exponents=rows, column_exponents=columns).to_dense()
    assert both[:, :, 0, 0].tolist() == [[0.5, 0.25, 2.0], [1.0, 0.5, 4.0]]


def test_a_weight_is_one_float32_product_of_entry_and_scale():
    random = np.random.default_rng(0)
    codebook = np.concatenate([floats(0), random.standard_normal(15).astype(np.float16).astype(np.float32)])
    indices = random.integers(0, 16, (5, 7, 3, 3)).astype(np.uint16)
    rows, columns = random.integers(-128, 128, 5).astype(np.int8), random.integers(-128, 128, 7).astype(np.int8)
    dense = Shared(codebook, indices, "float16", rows, columns).to_dense()
    for place in np.ndindex(5, 7, 3, 3):
        scale = np.float32(2.0 ** ((int(rows[place[0]]) + int(columns[place[1]])) / 4))
        assert dense[place].tobytes() == (codebook[indices[place]] * scale).tobytes()


def test_index_zero_is_exactly_zero_with_any_scale():
    tensor = shared([[0, 1]], row_exponents=np.array([127], np.int8))
    assert tensor.to_dense()[0, 0].tobytes() == floats(0).tobytes()
    assert tensor.mask.tolist() == [[False, True]]


class TestCoefficients:
    """Shared coefficients of kernels."""

    exponents = np.array([[8, 0, 0], [0, 0, 0], [0, 0, -4]], np.int8)

    def tensor_of(self, indices):
        return shared(indices, row_exponents=np.array([4], np.int8), coefficient_exponents=self.exponents)

    def test_weights_are_sums_of_basis_kernels(self):
        finest, coarsest = -0.75 * 2 * 4, 1.25 * 2 / 2
        tensor = self.tensor_of([[[[1, 0, 0], [0, 0, 0], [0, 0, 3]]]])
        expected = finest * np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]]) + coarsest
        assert tensor.to_dense().tolist() == [[expected.tolist()]]

    def test_a_kernel_is_pruned_if_all_its_coefficients_are(self):
        tensor = self.tensor_of([[[[0] * 3] * 3, [[0] * 3, [0, 2, 0], [0] * 3]]])
        assert tensor.mask.shape == (1, 2, 3, 3)
        assert not tensor.mask[0, 0].any()
        assert tensor.mask[0, 1].all()
        assert not tensor.to_dense()[0, 0].any()

    def test_unscaled_weights_are_codebook_entries(self):
        indices = np.random.default_rng(0).integers(0, 4, (1, 5, 3, 3))
        for tensor in (self.tensor_of(indices), shared(indices, row_exponents=np.array([-6], np.int8))):
            np.testing.assert_allclose(tensor.unscaled(tensor.to_dense()), tensor.codebook[indices], atol=1e-6)


def test_every_form_knows_its_shape_and_dense_values():
    values = floats([1, 0], [0, 2])
    mask = values != 0
    for tensor in (Dense(values), Pruned(values, mask), shared([[1, 0], [3, 2]])):
        assert tensor.shape == (2, 2)
        assert tensor.to_dense().shape == (2, 2)


EXPONENTS = {"row_exponents": np.zeros(1, np.int8), "column_exponents": np.zeros(2, np.int8)}
FORMS = [Dense(floats(1, 2)), Pruned(floats(1, 0), np.array([True, False])), shared([[1, 2]], **EXPONENTS)]


@pytest.mark.parametrize("tensor", FORMS, ids=lambda tensor: type(tensor).__name__)
def test_tensors_are_immutable(tensor):
    for field in fields(tensor):
        part = getattr(tensor, field.name)
        with pytest.raises(FrozenInstanceError):
            setattr(tensor, field.name, part)
        if isinstance(part, np.ndarray):
            with pytest.raises(ValueError, match="read-only"):
                part[...] = 0


def test_a_float16_tensor_holds_only_float16_numbers():
    assert Dense(floats(0.5, np.nan, np.inf), "float16").stored_as == "float16"
    with pytest.raises(AssertionError):
        Dense(floats(0.1), "float16")
    with pytest.raises(AssertionError):
        Dense(floats(1e6), "float16")


def test_a_pruned_weight_is_zero():
    with pytest.raises(AssertionError):
        Pruned(floats(1, 2), np.array([True, False]))
    with pytest.raises(AssertionError):
        Pruned(floats(1, 2), np.array([True]))


@pytest.mark.parametrize(
    "broken",
    [
        {"codebook": floats(1, 2)},  # entry 0 is not zero
        {"codebook": floats()},
        {"codebook": floats(0, 0.1)},  # not a float16 number
        {"codebook": floats(0)},  # an index beyond it
        {"codebook": np.zeros((2, 2), np.float32)},
        {"codebook": np.zeros(2)},
        {"indices": np.zeros((1, 2), np.uint8)},
        {"row_exponents": np.zeros(2, np.int8)},
        {"row_exponents": np.zeros(1, np.int16)},
        {"column_exponents": np.zeros(1, np.int8)},
        {"coefficient_exponents": np.zeros((3, 3), np.int8)},  # not 3x3 kernels
        {"indices": np.zeros((1, 2, 3, 3), np.uint16), "coefficient_exponents": np.zeros(9, np.int8)},
        {"indices": np.zeros((1, 2, 3, 3), np.uint16), "coefficient_exponents": np.zeros((3, 3), np.int16)},
    ],
    ids=lambda broken: next(iter(broken)),
)
def test_an_inconsistent_shared_tensor_is_refused(broken):
    whole = {"codebook": floats(0, 1), "indices": np.array([[0, 1]], np.uint16)}
    Shared(**whole)
    with pytest.raises(AssertionError):
        Shared(**whole | broken)


def test_levels_map_to_symbols_and_back():
    assert levels_to_symbols(np.array([0, 1, -1, 2, -2], np.int32)).tolist() == [0, 1, 2, 3, 4]
    symbols = np.arange(2**16, dtype=np.uint16)
    levels = symbols_to_levels(symbols)
    assert (levels.min(), levels.max()) == (-32767, 32768)
    np.testing.assert_array_equal(levels_to_symbols(levels), symbols)


def test_a_codebook_of_levels_holds_the_level_of_each_symbol():
    assert levels_codebook(5).tolist() == [0, 1, -1, 2, -2]
    whole = levels_codebook(2**16)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole, symbols_to_levels(np.arange(2**16, dtype=np.uint16)))


@pytest.mark.parametrize(
    ("values", "codebook", "indices"),
    [
        ([[0.5, 0], [-2, 0.5]], [0, 0.5, -2], [[1, 0], [2, 1]]),
        ([3, 1, -7, 2], [0, 1, -7, 2, 3], [4, 1, 2, 3]),
        ([-1, -3, -2], [0, -1, -2, -3], [1, 3, 2]),
        ([5], [0, 5], [1]),
        ([0, 0], [0], [0, 0]),
        ([-0.0, 2, -2], [0, 2, -2], [0, 1, 2]),
        ([], [0], []),
    ],
)
def test_as_shared_orders_the_codebook_by_magnitude_with_alternating_signs(values, codebook, indices):
    tensor = as_shared(np.array(values, np.float32))
    assert (tensor.codebook.tolist(), tensor.indices.tolist()) == (codebook, indices)


@pytest.mark.parametrize("shape", [(), (7,), (5, 4, 3, 3)])
def test_as_shared_is_lossless(shape):
    values = (np.random.default_rng(0).integers(-40, 50, shape) / np.float32(7)).astype(np.float32)
    values = np.where(values == 0, np.float32(0), values)
    tensor = as_shared(values)
    assert tensor.stored_as == "float32"
    assert tensor.to_dense().tobytes() == values.tobytes()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (floats(1, np.nan), "not finite"),
        (floats(1, np.inf), "not finite"),
        (np.arange(1, 2**16 + 1, dtype=np.float32), "65,537 different values"),
    ],
)
def test_as_shared_refuses_values_that_it_would_change(values, problem):
    with pytest.raises(PassError, match=problem):
        as_shared(values)
