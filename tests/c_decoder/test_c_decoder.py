"""The decoder in C gives the same bits as the one in Python, and refuses the same files."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import forge
import numpy as np
import pytest
import test_coefficient_attacks
import test_header_attacks
import test_value_attacks
from hypothesis import given
from hypothesis import strategies as st
from tensor_strategies import dense, model_of, pruned, shared

from benchmarks import c_decoder
from benchmarks.format_models import coefficients_model, levels_model, small_model
from benchmarks.fuzz_files import columns_model
from compress.builtin_models import find_model
from compress.codecs import CODECS, WRITERS
from compress.codecs.context.small_context_codec import max_table_bytes
from compress.codecs.primitives.trellis import TRELLIS_4096, trellis_levels
from compress.codecs.primitives.varint import encode_varint
from compress.codecs.runtime_decoder import reference_decoding
from compress.configuration.config import Encode
from compress.container.file import decode, encode
from compress.container.header import FileHeader
from compress.container.prefix import PREFIX
from compress.errors import ConfigError, FormatError
from compress.tensors.forms import Dense, Pruned, Shared
from compress.tensors.levels import levels_codebook, levels_to_symbols

GOLDEN = Path(__file__).parents[1] / "golden"
MAX_WEIGHTS = 1 << 20
SMALL, LEVELS = forge.small_file(), levels_model()
SMOOTH = model_of(Dense(np.ldexp(256 + np.arange(60), -12).astype(np.float32)))
FILES = {
    "small": SMALL,
    "header stored": forge.sealed(forge.header_bytes_of(SMALL), forge.body_of(SMALL)),
    "raw": encode(small_model(), ["raw"]),
    "runs": encode(small_model(), ["huffman-runs"]),
    "coefficients": encode(coefficients_model(), list(CODECS)[:3]),
    "levels": encode(replace(LEVELS, tensors=dict(list(LEVELS.tensors.items())[:2])), ["huffman"]),
    "context": encode(small_model(), ["context"]),
    "context and coefficients": encode(coefficients_model(), ["context"]),
    "coded values": encode(SMOOTH, ["context"]),
    "codes by column": encode(columns_model(), ["huffman"]),
}


def built(program, *arguments, **options):
    """Build the decoder; without a compiler the tests fail instead of being skipped."""
    try:
        return c_decoder.build(program, *arguments, **options)
    except ConfigError as error:
        pytest.fail(str(error))


@pytest.fixture(scope="module", autouse=True)
def _python_decodes_without_the_runtime():
    with reference_decoding():
        yield


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("c-decoder")


@pytest.fixture(scope="session")
def program(folder):
    return built(folder / "sqz_dump")


@pytest.fixture(scope="session")
def small_program(folder):
    return built(folder / "small", ("-Os",))


@pytest.fixture(scope="session")
def decoder(folder):
    flags = (*c_decoder.SANITIZERS, f"-DSQZ_MAX_WEIGHTS={MAX_WEIGHTS}u")
    running = c_decoder.CDecoder(built(folder / "sanitized", flags))
    yield running
    assert running.close() == 0, running.complaints


def assert_refused(decoder, data):
    answer = decoder.ask(data)
    assert answer.crc is None
    assert answer.error != "crashed", decoder.complaints


def assert_same_answer(decoder, data):
    """Check that both refuse, or decode to the same bits, unless the decoder in C does not support the file."""
    answer = decoder.ask(data)
    assert answer.error != "crashed", decoder.complaints
    try:
        expected, problem = c_decoder.weights_crc(decode(data, MAX_WEIGHTS)), ""
    except FormatError as error:
        expected, problem = None, error.problem
    assert answer.unsupported or answer.crc == expected, (answer, problem)


def varints(*numbers):
    return b"".join(encode_varint(number) for number in numbers)


def file_of_one(record, payload):
    """A file of one tensor `w` with this record."""
    header = FileHeader("one", 1, small_model().preprocessing, 0, 0, 0, ()).to_bytes()
    return forge.sealed(header[:-1] + b"\1" + b"\0\1w" + record, forge.with_crc(payload))


UNKNOWN_CODEC = file_of_one(varints(1, 1, 2, 200, 1, 1), b"\0\0\x80\x3f\0")
"""One weight, codec 200."""


def with_checksums(data, good):
    """Correct the checksums of `data`, which lie where those of `good` do."""
    data = bytearray(data)
    _, _, _, stored_bytes, _, _ = PREFIX.unpack(good[: PREFIX.size])
    at = PREFIX.size + stored_bytes
    struct.pack_into("<I", data, 18, zlib.crc32(data[PREFIX.size : at]))
    header = forge.header_of(good)
    at += header.label_bytes
    for tensor in header.tensors:
        end = at + tensor.payload_bytes
        struct.pack_into("<I", data, end, zlib.crc32(data[at:end]))
        at = end + 4
    struct.pack_into("<I", data, at, zlib.crc32(data[:at]))
    return bytes(data)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    "model",
    [small_model(), levels_model(), coefficients_model(), columns_model()],
    ids=["small", "levels", "coefficients", "columns"],
)
def test_every_form_in_every_codec_gives_the_same_bits(decoder, model, codec):
    assert decoder.ask(encode(model, [codec])).crc == c_decoder.weights_crc(model)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*-v1.sqz")), ids=lambda path: path.stem)
def test_a_published_file_is_read_forever(decoder, path):
    data = path.read_bytes()
    assert decoder.ask(data).crc == c_decoder.weights_crc(decode(data))


def test_unsupported_files_have_errors_of_their_own(decoder):
    assert decoder.ask(UNKNOWN_CODEC).error == "unsupported-codec"
    assert decoder.ask(forge.sealed(forge.header_bytes_of(SMALL), b"", version=2)).error == "unsupported-version"


def test_a_file_of_a_version_before_0_1_0_has_an_error_of_its_own(decoder):
    old = (GOLDEN / "before-0.1.0.sqz").read_bytes()
    for data in (old, old[:12], old.replace(b"\r\n", b"\n")):
        assert decoder.ask(data) == c_decoder.CAnswer(None, "before-0.1.0")
    assert decoder.ask(SMALL.replace(b"\r\n", b"\n")).error == "not-sqz"


@pytest.mark.parametrize(("tensors", "expected"), [(8192, "ok"), (8193, "bad-header"), (65536, "bad-header")])
def test_a_file_has_at_most_8192_tensors(decoder, tensors, expected):
    """Names are numbers; each shares no byte with the previous one."""
    header = FileHeader("many", 1, small_model().preprocessing, 0, 0, 0, ()).to_bytes()[:-1]
    names = b"".join(varints(0, 5) + f"{number:05}".encode() for number in range(tensors))
    records = varints(1, 0, 0) * tensors  # one dimension of no weights, dense
    data = forge.sealed(header + varints(tensors) + names + records, forge.with_crc(b"") * tensors)
    answer = decoder.ask(data)
    assert (answer.error or "ok") == expected
    assert_same_answer(decoder, data)


def test_compressed_labels_are_read(decoder):
    labels = tuple(f"a label that is much like the one before, {number % 7}" for number in range(900))
    model = replace(small_model(), classes=900, labels=labels)
    assert forge.header_of(encode(model)).label_coding == 1
    assert decoder.ask(encode(model)).crc == c_decoder.weights_crc(model)


@given(st.lists(dense() | pruned() | shared(), max_size=4), st.sampled_from(list(CODECS)))
def test_every_model_gives_the_same_bits(decoder, tensors, codec):
    model = model_of(*tensors)
    assert decoder.ask(encode(model, [codec])).crc == c_decoder.weights_crc(model)


@pytest.mark.parametrize("entries", [1, 2, 4097, 4098, 1 << 16])
@pytest.mark.parametrize("codec", CODECS)
def test_codebooks_of_any_length_are_read(decoder, codec, entries):
    symbols = np.unique(np.linspace(0, entries - 1, 4000).astype(np.uint16)).reshape(1, -1)
    model = model_of(Shared(levels_codebook(entries), symbols, "float16" if entries < 4098 else "float32"))
    assert decoder.ask(encode(model, [codec])).crc == c_decoder.weights_crc(model)


def stream_file(symbols, coded):
    """A file of one tensor of levels with this stream of `context`."""
    entries = int(symbols.max(initial=0)) + 1
    record = varints(symbols.ndim, *symbols.shape, 2 + 32, CODECS["context"].id, entries - 1, len(coded))
    return file_of_one(record, coded)


def trellis_symbols(levels):
    return levels_to_symbols(trellis_levels(levels.reshape(len(levels), -1), TRELLIS_4096)).reshape(levels.shape)


def correlated(rng, shape):
    """Levels that each row shares, so that a stream with prediction is shorter."""
    return np.tile(rng.integers(-20, 21, shape[1:]), (shape[0], *[1] * (len(shape) - 1))).astype(np.int32)


def far_predicted(rng, shape):
    """Two columns of signs, two that are 15 and -15 times the first, and zeros: predictors would leave 16 bits."""
    levels = np.zeros(shape, np.int32)
    levels[:, :2] = rng.choice([-1, 1], (shape[0], 2))
    levels[:, 2], levels[:, 3] = 15 * levels[:, 0], -15 * levels[:, 0]
    return levels


RNG = np.random.default_rng(0)
LEVEL_ARRAYS = {
    "large kernels": levels_to_symbols(RNG.geometric(0.05, (20, 3, 9, 9)).astype(np.int32) - 10),
    "far levels": levels_to_symbols(RNG.integers(-32767, 32769, (40, 7, 3, 3)).astype(np.int32)),
    "units": levels_to_symbols(RNG.integers(-300, 301, (50, 90)).astype(np.int32)),
    "trellis": trellis_symbols(RNG.integers(-2, 3, (40, 4, 3, 3)).astype(np.int32)),
    "trellis in units": trellis_symbols(RNG.integers(-90, 91, (60, 90)).astype(np.int32)),
    "prediction": levels_to_symbols(correlated(RNG, (40, 300))),
    "prediction of high order": levels_to_symbols(correlated(RNG, (300, 1100)) // 9),
    "prediction with weights at their bounds": levels_to_symbols(far_predicted(np.random.default_rng(1), (200, 64))),
    "one row": levels_to_symbols(RNG.integers(-3, 4, (1, 2000)).astype(np.int32)),
    "one dimension": levels_to_symbols(RNG.integers(-3, 4, 700).astype(np.int32)),
}


@pytest.mark.parametrize("symbols", LEVEL_ARRAYS.values(), ids=LEVEL_ARRAYS)
def test_every_option_of_context_gives_the_same_bits(decoder, symbols):
    file = stream_file(symbols, CODECS["context"].encode(symbols))
    assert decoder.ask(file).crc == c_decoder.weights_crc(decode(file))


@pytest.mark.parametrize("symbols", LEVEL_ARRAYS.values(), ids=LEVEL_ARRAYS)
def test_a_build_for_size_gives_the_same_bits(small_program, symbols, tmp_path):
    """Without vectors the weights of predictions are updated in another way."""
    file = stream_file(symbols, CODECS["context"].encode(symbols))
    (tmp_path / "model.sqz").write_bytes(file)
    done = subprocess.run([small_program, tmp_path / "model.sqz", "-"], capture_output=True, check=True)
    assert zlib.crc32(done.stdout) == c_decoder.weights_crc(decode(file))


def test_a_build_with_inexact_floats_gives_the_same_bits(folder):
    """The codec is of integers; a fast way to compute their quotients is in floats."""
    path, program = find_model("squeezenet-240k"), built(folder / "inexact", ("-O3", "-ffast-math"))
    done = subprocess.run([program, path, "-"], capture_output=True, check=True)
    assert zlib.crc32(done.stdout) == c_decoder.weights_crc(decode(path.read_bytes()))


def test_the_levels_cover_all_options_of_context():
    heads = {CODECS["context"].encode(symbols)[0] for symbols in LEVEL_ARRAYS.values()}
    assert {head & 3 for head in heads} >= {0, 1, 2}
    assert {head // 4 % 6 for head in heads} >= {0, 4, 5}


def squeezed(squeezenet):
    """SqueezeNet with each kind of tensor: codebooks of 32 entries and scales, levels, pruned values, and biases."""
    tensors = {}
    for number, (name, tensor) in enumerate(squeezenet.tensors.items()):
        values = tensor.to_dense()
        if values.ndim == 1:
            tensors[name] = Dense(values.astype(np.float16).astype(np.float32), "float16")
            continue
        rows = np.round(4 * np.log2(np.abs(values).max(axis=(1, 2, 3)))).astype(np.int8)
        scaled = values / (2 ** (rows / 4))[:, None, None, None]
        if number % 6 == 0:
            mask = np.abs(values) > np.quantile(np.abs(values), 0.6)
            tensors[name] = Pruned(np.where(mask, values, np.float32(0)), mask)
        elif number % 6 == 2:
            levels = np.round(15 * scaled).astype(np.int64)
            symbols = np.where(levels > 0, 2 * levels - 1, -2 * levels).astype(np.uint16)
            tensors[name] = Shared(levels_codebook(40), symbols, "float16", rows)
        else:
            codebook = np.append(0, np.quantile(scaled, np.linspace(0.01, 0.99, 31))).astype(np.float16)
            nearest = np.abs(scaled[..., None] - codebook.astype(np.float32)).argmin(axis=-1).astype(np.uint16)
            columns = np.arange(values.shape[1]).astype(np.uint8).view(np.int8) // 32
            tensors[name] = Shared(codebook.astype(np.float32), nearest, "float16", rows, columns)
    return replace(squeezenet, tensors=tensors)


def test_a_real_squeezenet_gives_the_same_bits(program, squeezenet, tmp_path):
    model = squeezed(squeezenet)
    path, out = tmp_path / "model.sqz", tmp_path / "weights.bin"
    path.write_bytes(encode(model))
    done = subprocess.run([program, path, out], capture_output=True, text=True, check=True)
    expected = b"".join(tensor.to_dense().astype("<f4").tobytes() for tensor in model.tensors.values())
    assert out.read_bytes() == expected
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == list(model.tensors)
    assert "features.0.weight                pruned 64 x 3 x 3 x 3, " in done.stdout
    assert subprocess.run([program, path, "-"], capture_output=True, check=True).stdout == expected


SCAN_ORDERS = {
    1: lambda indices: indices.swapaxes(0, 1),
    2: lambda indices: (
        np.moveaxis(indices.reshape(*indices.shape[:2], -1), 2, 0).reshape(-1, indices.shape[1])
        if indices.size
        else indices.reshape(0, 1)
    ),
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    ("order", "shape"), [(1, (3, 5)), (1, (3, 5, 2, 2)), (2, (3, 5, 2, 3)), (2, (3, 5, 4)), (2, (0, 5, 4))]
)
def test_every_scan_order_gives_the_same_bits(decoder, codec, order, shape):
    indices = (np.arange(np.prod(shape)).reshape(shape) ** 2 % 7 % 4).astype(np.uint16)
    codebook = np.array([0, -0.5, 0.25, 1.5], dtype=np.float32)
    rows = np.arange(shape[0]).astype(np.int8) * 5 - 7
    columns = np.arange(shape[1]).astype(np.int8) * 3
    coded = CODECS[codec].encode(np.ascontiguousarray(SCAN_ORDERS[order](indices)))
    exponents = [bytes([0, 249]) + CODECS["raw"].encode((part + 7).astype(np.uint16)) for part in (rows, columns)]
    lengths = [len(part) for part in exponents]
    record = varints(len(shape), *shape, 2 + 8 + 16 + 128, CODECS[codec].id, order, 3, len(coded), *lengths)
    file = file_of_one(record, codebook[1:].tobytes() + b"".join(exponents) + coded)
    expected = Shared(codebook, indices, "float32", rows, columns).to_dense()
    assert decoder.ask(file).crc == zlib.crc32(expected.tobytes()) == c_decoder.weights_crc(decode(file))


@pytest.mark.parametrize(("order", "shape"), [(1, (3, 5, 2)), (2, (3, 5, 2, 2))])
def test_the_values_of_a_pruned_tensor_are_row_major_in_every_scan_order(decoder, order, shape):
    mask = np.arange(np.prod(shape)).reshape(shape) % 3 == 1
    values = np.where(mask, np.arange(1, 1 + mask.size).reshape(shape), 0).astype(np.float32)
    values.reshape(-1)[1] = -0.0  # not pruned
    coded = CODECS["huffman"].encode(np.ascontiguousarray(SCAN_ORDERS[order](mask)).reshape(-1).astype(np.uint16))
    record = varints(len(shape), *shape, 1 + 128, 1, order, np.count_nonzero(mask), len(coded))
    file = file_of_one(record, values[mask].tobytes() + coded)
    assert decoder.ask(file).crc == zlib.crc32(values.tobytes()) == c_decoder.weights_crc(decode(file))


@pytest.mark.parametrize(("order", "shape"), [(0, (2, 2, 2)), (3, (2, 2, 2)), (1, (8,)), (2, (2, 4)), (1, ())])
def test_a_scan_order_that_is_unknown_or_lacks_dimensions_is_refused(decoder, order, shape):
    coded = CODECS["huffman"].encode(np.zeros(np.prod(shape, dtype=int), np.uint16))
    file = file_of_one(varints(len(shape), *shape, 2 + 128, 1, order, 0, len(coded)), coded)
    assert decoder.ask(file).error == "bad-header"
    assert_same_answer(decoder, file)


def test_a_dense_tensor_has_no_scan_order(decoder):
    assert decoder.ask(file_of_one(varints(2, 1, 1, 128, 1), bytes(4))).error == "bad-header"
    assert decoder.ask(file_of_one(varints(2, 1, 1, 0), bytes(4))).crc == zlib.crc32(bytes(4))


@pytest.mark.parametrize("exponent", [1, 2, 3])
@pytest.mark.parametrize("steps", range(-2, 4))
def test_the_largest_weight_is_the_last_finite_one(decoder, exponent, steps):
    value = np.float32(float(np.finfo(np.float32).max) / 2 ** (exponent / 4))
    value = np.uint32(int(value.view(np.uint32)) + steps).view(np.float32)
    rows, coded = bytes([0, exponent, 0]), CODECS["raw"].encode(np.ones(1, np.uint16))
    record = varints(1, 1, 2 + 8, 0, 1, len(coded), len(rows))
    assert_same_answer(decoder, file_of_one(record, value.astype("<f4").tobytes() + rows + coded))


@pytest.mark.parametrize("good", FILES.values(), ids=FILES)
def test_a_file_cut_anywhere_or_too_long_is_refused(decoder, good):
    for data in (*(good[:end] for end in range(len(good))), good + b"\0"):
        assert_refused(decoder, data)


@pytest.mark.parametrize("good", FILES.values(), ids=FILES)
def test_any_single_flipped_bit_is_refused(decoder, good):
    for damaged in forge.flipped_bits(good):
        assert_refused(decoder, damaged)


@pytest.mark.parametrize("good", FILES.values(), ids=FILES)
def test_a_flipped_bit_with_correct_checksums_gives_the_same_answer_as_in_python(decoder, good):
    for damaged in forge.flipped_bits(good):
        assert_same_answer(decoder, with_checksums(damaged, good))


ATTACKS = {**test_header_attacks.ATTACKS, **test_value_attacks.ATTACKS, **test_coefficient_attacks.ATTACKS}


@pytest.mark.parametrize("data", [data for data, _ in ATTACKS.values()], ids=ATTACKS)
def test_an_attack_is_refused(decoder, data):
    assert_refused(decoder, data)


@pytest.fixture(scope="session")
def pieces(folder):
    return built(folder / "pieces", c_decoder.SANITIZERS, sources=[Path(__file__).with_name("pieces.c")])


@pytest.mark.parametrize("good", FILES.values(), ids=FILES)
def test_the_reported_workspace_is_the_exact_minimum(pieces, good):
    done = subprocess.run([pieces], input=good, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr.decode()


def test_the_example_in_the_readme_reads_a_squeezenet_for_microcontrollers(folder, tmp_path, squeezenet):
    """Its workspace is 64,000 bytes."""
    text = (c_decoder.SOURCES / "README.md").read_text("utf-8")
    (example,) = re.findall(r"```c\n(.*?)```", text, re.DOTALL)
    read = "fread(file, 1, sizeof file, stdin)"
    main = f"int main(void) {{ static uint8_t file[1 << 21]; return read_weights(file, {read}); }}"
    source = tmp_path / "example.c"
    source.write_text(f"#include <stdio.h>\n{example}\n{main}\n", "utf-8")
    program = built(folder / "example", sources=[source])
    file = encode(squeezed(squeezenet), Encode("context", target="microcontroller").codecs)
    done = subprocess.run([program], input=file, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"")
    assert subprocess.run([program], input=file[:-1], capture_output=True, check=False).returncode == 3  # cut off


def test_the_tables_of_a_small_stream_take_what_the_writer_reckons(program, tmp_path):
    for symbols in (trellis_symbols(RNG.integers(-90, 91, (64, 30, 3, 3)).astype(np.int32)), LEVEL_ARRAYS["units"]):
        path = tmp_path / "stream.sqz"
        path.write_bytes(stream_file(symbols, WRITERS["context-small"].encode(symbols)))
        listed = subprocess.run([program, path], capture_output=True, text=True, check=True).stdout
        workspace = int(listed.split()[-1])
        header_bytes = 200
        assert workspace - header_bytes <= max_table_bytes(symbols.shape) < 1.3 * workspace


def test_more_weights_than_the_arithmetic_allows_do_not_compile(tmp_path):
    with pytest.raises(ConfigError, match="SQZ_MAX_WEIGHTS must be at most 2\\^29"):
        c_decoder.build(tmp_path / "program", [f"-DSQZ_MAX_WEIGHTS={2**29 + 1}u"])


def test_exit_codes_distinguish_damaged_and_unsupported_files(program, tmp_path):
    path = tmp_path / "model.sqz"
    for data, code in ((SMALL, 0), (SMALL[:-1], 1), (UNKNOWN_CODEC, 3)):
        path.write_bytes(data)
        assert subprocess.run([program, path, tmp_path / "out"], capture_output=True, check=False).returncode == code
    assert subprocess.run([program, tmp_path / "none"], capture_output=True, check=False).returncode == 1
    assert subprocess.run([program], capture_output=True, check=False).returncode == 2


def test_clang_gives_no_warnings(tmp_path):
    if not shutil.which("clang"):
        pytest.skip("clang is not installed")
    files = [*c_decoder.SOURCES.glob("*.c"), c_decoder.DUMP]
    subprocess.run(
        ["clang", *c_decoder.WARNINGS, f"-I{c_decoder.SOURCES}", *files, "-o", tmp_path / "program"], check=True
    )
