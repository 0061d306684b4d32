from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from forge import flipped_bits, levels_file, small_file
from hypothesis import given
from hypothesis import strategies as st
from tensor_strategies import dense, model_of, pruned, shared

from benchmarks.format_models import coefficients_model, levels_model, small_model
from compress.container.file import decode, encode, layout, read, weights_sha256, with_labels, write
from compress.errors import ConfigError, DataError, FormatError, PassError, SqueezeError
from compress.model import CAFFE, TORCHVISION, Model
from compress.tensors.forms import Dense, Pruned, Shared
from compress.tensors.levels import levels_codebook, levels_to_symbols

GOLDEN = Path(__file__).parents[1] / "golden"
SMALL = small_file()
LEVELS = levels_file()


def bits(array):
    return None if array is None else (array.dtype, array.shape, array.tobytes())


def assert_same(left: Model, right: Model):
    """Check equality in every bit, signs of zeros included."""
    assert replace(left, tensors={}) == replace(right, tensors={})
    assert list(left.tensors) == list(right.tensors)
    for name, one in left.tensors.items():
        other = right.tensors[name]
        assert type(one) is type(other)
        assert {key: bits(part) if isinstance(part, np.ndarray) else part for key, part in vars(one).items()} == {
            key: bits(part) if isinstance(part, np.ndarray) else part for key, part in vars(other).items()
        }
    assert weights_sha256(left) == weights_sha256(right)


@given(
    st.lists(dense() | pruned() | shared(), max_size=4), st.permutations(["raw", "huffman", "huffman-runs", "context"])
)
def test_every_model_round_trips_exactly(tensors, codecs):
    model = model_of(*tensors)
    data = encode(model, codecs[:2])
    assert_same(decode(data), model)
    assert layout(data).file_bytes == len(data)


@pytest.mark.parametrize("preprocessing", [CAFFE, TORCHVISION])
def test_preprocessing_round_trips_exactly(preprocessing):
    assert decode(encode(model_of(preprocessing=preprocessing))).preprocessing == preprocessing


def test_names_labels_and_their_order_round_trip():
    tensors = {name: Dense(np.ones(1, dtype=np.float32)) for name in ("", "b", "a", "a.b", "ä", "a\n", "ö" * 500)}
    model = replace(model_of(), tensors=tensors, labels=("", "an ü"), architecture="")
    assert_same(decode(encode(model)), model)


def test_the_same_model_gives_the_same_bytes():
    assert small_file() == SMALL
    assert levels_file() == LEVELS


@pytest.mark.parametrize(
    ("name", "model"),
    [("small-v1", small_model()), ("levels-v1", levels_model()), ("coefficients-v1", coefficients_model())],
)
def test_a_published_file_is_read_forever(name, model):
    assert_same(decode((GOLDEN / f"{name}.sqz").read_bytes()), model)


def test_a_program_follows_the_records():
    model = replace(small_model(), program=b"any bytes")
    assert (GOLDEN / "program-v1.sqz").read_bytes() == encode(model)
    assert_same(decode((GOLDEN / "program-v1.sqz").read_bytes()), model)
    with pytest.raises(SqueezeError, match="65,537"):
        encode(replace(model, program=bytes(65_537)))


def test_a_codebook_of_levels_has_no_bytes():
    found = {tensor.name: tensor for tensor in layout(LEVELS).tensors}
    assert found["layer.0.weight"].codebook_bytes == found["layer.0.bias"].codebook_bytes == 0
    assert found["layer.1.weight"].codebook_bytes > 0
    almost = levels_codebook(5).copy()
    almost[4] = -2.5
    assert layout(encode(model_of(Shared(almost, np.zeros(3, np.uint16))))).tensors[0].codebook_bytes > 0


@pytest.mark.parametrize("entries", [1, 2, 4097, 4098, 1 << 16])
def test_any_number_of_levels_round_trips(entries):
    symbols = np.array([[0, entries - 1]], np.uint16)
    model = model_of(Shared(levels_codebook(entries), symbols, "float16" if entries < 4098 else "float32"))
    assert_same(decode(encode(model)), model)
    assert len(encode(model)) < 150


def test_a_bias_on_levels_has_a_scale_for_each_entry():
    steps = np.array([-128, 0, 4, 127], np.int8)
    bias = Shared(levels_codebook(4), levels_to_symbols(np.array([2, -1, 1, 0])), "float16", steps)
    decoded = decode(encode(model_of(bias), ["context"])).tensors["layer.0"]
    assert decoded.to_dense().tolist() == [2 * 2.0**-32, -1, 2, 0]


def test_context_codes_all_values_and_huffman_those_of_codebooks():
    found, by_huffman, plain = (
        {tensor.name: tensor for tensor in layout(data).tensors}
        for data in (LEVELS, encode(levels_model()), encode(levels_model(), ["raw"]))
    )
    assert (found["layer.1.bias"].codec, by_huffman["layer.1.bias"].codec) == ("planes", "plain")
    assert found["layer.1.bias"].index_bytes < by_huffman["layer.1.bias"].index_bytes == 60 * 2
    assert found["layer.1.weight"].codebook_bytes < plain["layer.1.weight"].codebook_bytes == 60 * 4
    assert by_huffman["layer.1.weight"].codebook_bytes < plain["layer.1.weight"].codebook_bytes
    assert found["layer.2.weight"].index_bytes < by_huffman["layer.2.weight"].index_bytes == 15 * 4
    for parts in (found, by_huffman, plain):
        assert all(part.payload_bytes == part.index_bytes + part.position_bytes + part.codebook_bytes + part.scale_bytes
                   for part in parts.values())  # fmt: skip


def test_each_tensor_has_the_codec_with_the_fewest_bytes():
    dense_indices = np.tile(np.array([1, 2], dtype=np.uint16), 500)
    sparse_indices = np.zeros(20_000, dtype=np.uint16)
    sparse_indices[::400] = 1
    codebook = np.array([0, 1, 2], dtype=np.float32)
    model = model_of(Shared(codebook, dense_indices), Shared(codebook, sparse_indices))
    assert [tensor.codec for tensor in layout(encode(model)).tensors] == ["huffman", "huffman-runs"]
    assert [tensor.codec for tensor in layout(encode(model, ["raw"])).tensors] == ["raw", "raw"]


def test_layout_accounts_for_every_byte():
    parts = {tensor.name: tensor for tensor in layout(SMALL).tensors}
    assert layout(SMALL).file_bytes == len(SMALL)
    weight, bias, pruned = parts["layer.0.weight"], parts["layer.0.bias"], parts["layer.1.weight"]
    assert (weight.form, weight.shape, weight.stored_as) == ("shared", (4, 3), "float16")
    assert weight.codebook_bytes == 3 * 2
    assert weight.scale_bytes > 0
    frequencies = np.array([6, 2, 3, 1])
    assert weight.entropy_bytes == pytest.approx(np.sum(frequencies * np.log2(12 / frequencies)) / 8)
    assert (bias.form, bias.codec, bias.index_bytes, bias.entropy_bytes) == ("dense", "plain", 4 * 2, 8)
    assert (pruned.form, pruned.index_bytes, pruned.entropy_bytes) == ("pruned", 3 * 4, 3 * 4 + 6 / 8)
    assert pruned.position_bytes > 0


def test_separate_positions_are_counted_separately():
    tensor = layout(encode(small_model(), ["huffman-runs"])).tensors[0]
    assert tensor.position_bytes > 0
    assert tensor.index_bytes > 0


def squeezenet_like():
    """A model with the tensor names of SqueezeNet v1.1; the tensors are small."""
    layers = ["features.0", "classifier.1"]
    layers += [
        f"features.{i}.{part}" for i in (3, 4, 6, 7, 9, 10, 11, 12) for part in ("squeeze", "expand1x1", "expand3x3")
    ]
    rng = np.random.default_rng(0)
    tensors = {}
    for layer in layers:
        indices = rng.integers(0, 32, size=tuple(rng.integers(16, 64, size=2)), dtype=np.uint16)
        codebook = np.concatenate([[0], rng.normal(size=31)]).astype(np.float16).astype(np.float32)
        tensors[f"{layer}.weight"] = Shared(codebook, indices)
        tensors[f"{layer}.bias"] = Dense(np.ones(len(indices), dtype=np.float32), "float16")
    return replace(model_of(), tensors=tensors)


def test_the_fixed_cost_of_squeezenet_is_under_1000_bytes():
    assert layout(encode(squeezenet_like())).header_bytes < 1000


def test_the_fixed_cost_of_a_tiny_network_is_under_150_bytes():
    tensors = [Dense(np.ones((3, 3), dtype=np.float32)), Dense(np.ones(3, dtype=np.float32))]
    assert layout(encode(model_of(*tensors))).header_bytes < 150


def test_write_returns_the_bytes_of_the_file_that_read_reads(tmp_path):
    path = tmp_path / "new" / "model.sqz"
    assert write(path, small_model()) == path.stat().st_size == len(SMALL)
    assert_same(read(path), small_model())


def test_a_missing_file_is_not_a_format_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.sqz")


def test_an_empty_file_is_cut_off(tmp_path):
    path = tmp_path / "empty.sqz"
    path.touch()
    with pytest.raises(FormatError, match="cut off"):
        read(path)


def test_the_hash_is_of_little_endian_float32_in_order():
    one, two = Dense(np.array([1.0], dtype=np.float32)), Dense(np.array([2.0], dtype=np.float32))
    assert weights_sha256(model_of(one, two)) == "b9c80b5adeca450753a16950c3cc655d271f7bef7a485bc83f112b72fef21d37"
    assert weights_sha256(model_of(one, two)) != weights_sha256(model_of(two, one))


@pytest.mark.parametrize("good", [SMALL, LEVELS], ids=["small", "levels"])
def test_a_file_cut_anywhere_is_refused(good):
    for end in range(len(good)):
        for reader in (decode, layout):
            with pytest.raises(FormatError) as caught:
                reader(good[:end])
            assert 0 <= caught.value.offset <= end


def test_bytes_after_the_end_are_refused():
    with pytest.raises(FormatError, match="left over"):
        decode(SMALL + b"\0")


@pytest.mark.parametrize("good", [SMALL, LEVELS], ids=["small", "levels"])
def test_any_single_flipped_bit_is_refused(good):
    for damaged in flipped_bits(good):
        with pytest.raises(FormatError):
            decode(damaged)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data):
    for start in (b"", SMALL[:8], SMALL[:22]):
        with pytest.raises(FormatError):
            decode(start + data)


def test_damage_by_a_transfer_as_text_is_named():
    with pytest.raises(FormatError, match="a transfer as text changed its line ends"):
        decode(SMALL.replace(b"\r\n", b"\n"))
    with pytest.raises(FormatError, match=r"not a \.sqz file; expected"):
        decode(b"PK\x03\x04" + bytes(100))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (SMALL.decode("latin-1").encode(), "; a transfer as text changed its bytes"),
        (b"version https://git-lfs.github.com/spec/v1\n", ", but a pointer of Git LFS; run git lfs pull"),
        (b"<!DOCTYPE html><title>Not found</title>", ", but a web page, perhaps the error of a download"),
        (b"\x1f\x8b\x08\x00" + SMALL, ", but compressed by gzip; decompress it first"),
    ],
)
def test_what_arrived_in_place_of_a_file_is_named(data, problem):
    with pytest.raises(FormatError, match=rf"not a \.sqz file{problem}"):
        decode(data)


def test_a_file_of_a_version_before_0_1_0_is_refused_with_advice(tmp_path):
    old = (GOLDEN / "before-0.1.0.sqz").read_bytes()
    (tmp_path / "old.sqz").write_bytes(old)
    problem = "written by a version of squeeze-compress before 0.1.0; make it again with this version"
    readers = (
        lambda: decode(old),
        lambda: layout(old),
        lambda: decode(old[:12]),
        lambda: decode(old.replace(b"\r\n", b"\n")),
        lambda: read(tmp_path / "old.sqz"),
    )
    for reader in readers:
        with pytest.raises(FormatError, match=problem) as caught:
            reader()
        assert caught.value.offset == 0


def test_a_file_has_at_most_8192_tensors():
    tensors = [Dense(np.ones(1, np.float32))] * 8193
    with pytest.raises(SqueezeError, match=r"tensors: 8,193 .*0 to 8,192"):
        encode(model_of(*tensors))
    assert len(decode(encode(model_of(*tensors[:8192]))).tensors) == 8192


def test_the_caller_limits_the_weights():
    weights = sum(tensor.to_dense().size for tensor in small_model().tensors.values())
    assert_same(decode(SMALL, max_weights=weights), small_model())
    for reader in (decode, layout):
        with pytest.raises(FormatError, match="max_weights"):
            reader(SMALL, max_weights=weights - 1)


ONE = np.ones(2, dtype=np.float32)


@pytest.mark.parametrize(
    ("model", "error", "problem"),
    [
        (model_of(Dense(ONE * np.nan)), PassError, "tensor layer.0: a value is not finite"),
        (model_of(Pruned(-np.zeros(2, dtype=np.float32), ONE == 0)), PassError, "pruned weight is -0.0"),
        (model_of(Shared(ONE * np.array([0, np.inf], np.float32), np.zeros(2, np.uint16))), PassError, "finite"),
        (model_of(Shared(-np.zeros(1, np.float32), np.zeros(2, np.uint16))), PassError, "-0.0"),
        (
            model_of(
                Shared(np.array([0, 3e38], np.float32), np.zeros((1, 1), np.uint16), "float32", np.ones(1, np.int8))
            ),
            PassError,
            "beyond float32",
        ),
        (
            model_of(
                Shared(
                    np.array([0, 3e37], np.float32),
                    np.zeros((1, 1, 3, 3), np.uint16),
                    "float32",
                    coefficient_exponents=np.zeros((3, 3), np.int8),
                )
            ),
            PassError,
            "beyond float32",
        ),
        (model_of(labels=("one",)), DataError, "1 labels for 2 classes"),
        (model_of(labels=("one", "two\nlines")), DataError, "line break"),
        (model_of(classes=1 << 30), SqueezeError, "classes: 1,073,741,824"),
        (model_of(Dense(np.ones((1,) * 9, np.float32))), SqueezeError, "dimensions of layer.0: 9"),
        (model_of(preprocessing=replace(CAFFE, scale=np.inf)), SqueezeError, "not finite"),
    ],
)
def test_a_model_that_cannot_round_trip_is_refused(model, error, problem):
    with pytest.raises(error, match=problem):
        encode(model)


def test_an_unknown_codec_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"'hufman' is not known; did you mean 'huffman'\? \(allowed: .*huffman-runs"):
        encode(small_model(), ["hufman"])
    with pytest.raises(ConfigError, match="no codec"):
        encode(small_model(), [])


@pytest.mark.parametrize("data", [SMALL, LEVELS])
def test_other_class_names_leave_the_payloads_as_they_are(data):
    model = decode(data)
    names = tuple(f"name {index}" for index in range(model.classes))
    renamed = with_labels(data, names)
    assert_same(decode(renamed), replace(model, labels=names))
    assert with_labels(renamed, model.labels) == data
    payload = layout(data).file_bytes - layout(data).header_bytes - layout(data).label_bytes
    assert layout(renamed).file_bytes - layout(renamed).header_bytes - layout(renamed).label_bytes == payload


def test_class_names_that_a_file_cannot_have_are_refused():
    with pytest.raises(DataError, match="labels for"):
        with_labels(SMALL, ("one",))
    with pytest.raises(FormatError):
        with_labels(SMALL[:-1], ())
