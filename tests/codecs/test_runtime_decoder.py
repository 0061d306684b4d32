"""Decoding by the runtime in C; `check.py` compares it with each codec's own loops."""

from __future__ import annotations

import os
import subprocess
import sys

import check
import numpy as np
import pytest
import wasmtime

from compress.codecs import CODECS, runtime_decoder
from compress.codecs.runtime_decoder import RuntimeCodec, decode_stream

RUNTIME_CODECS = [codec for codec in CODECS.values() if isinstance(codec, RuntimeCodec)]
only_on_linux = pytest.mark.skipif(sys.platform != "linux", reason="limits and units of memory are Linux's")
runtime_codecs = pytest.mark.parametrize("codec", RUNTIME_CODECS, ids=[codec.name for codec in RUNTIME_CODECS])


@runtime_codecs
@pytest.mark.parametrize("shape", [(3000,), (30, 100), (10, 12, 5, 5), (20, 30, 1, 5)], ids=str)
def test_the_runtime_decodes_streams_itself(codec, shape):
    symbols = check.golden_symbols().reshape(shape)
    np.testing.assert_array_equal(decode_stream(codec.id, codec.encode(symbols), shape), symbols)


@runtime_codecs
def test_the_runtime_refuses_damaged_streams(codec):
    data, shape = codec.encode(check.golden_symbols()), (3000,)
    for damaged in (b"", data[:1], data[:-1], data + b"\0"):
        assert decode_stream(codec.id, damaged, shape) is None
    assert decode_stream(codec.id, data, (4000,)) is None
    assert decode_stream(codec.id, data, (1 << 40, 1 << 40)) is None
    assert decode_stream(codec.id, data, (0, 3000)) is None


def test_a_fault_of_the_runtime_leaves_a_stream_to_the_loops_of_the_package(monkeypatch):
    function = '(func (export "decode_stream") (param i32) (result i32) (i32.load (i32.const -4)))'
    engine = wasmtime.Engine()
    faulty = wasmtime.Module(engine, f'(module (memory (export "memory") 1) {function})')
    monkeypatch.setattr(runtime_decoder, "_load_module", lambda: (engine, faulty))
    data = CODECS["huffman"].encode(check.golden_symbols())
    assert decode_stream(CODECS["huffman"].id, data, (3000,)) is None
    np.testing.assert_array_equal(CODECS["huffman"].decode(data, (3000,)), check.golden_symbols())


def test_a_first_use_compiles_nothing(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    load = "import compress; compress.load('squeezenet-500k')"
    subprocess.run([sys.executable, "-c", load], env=environment, check=True, capture_output=True)
    assert not [*tmp_path.iterdir()]


def printed_by(code: str) -> list[str]:
    """Run code with limits of resources in a process of its own."""
    code = f"import resource\nfrom compress.codecs import CODECS\n{code}"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()


@only_on_linux
def test_a_process_without_room_for_an_instance_decodes_with_its_own_loops():
    symbols = check.golden_symbols()
    code = f"""
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
from compress.codecs.runtime_decoder import decode_stream
data = {CODECS["huffman"].encode(symbols)!r}
print(decode_stream(1, data, (3000,)), CODECS["huffman"].decode(data, (3000,)).sum())
"""
    assert printed_by(code) == ["None", str(symbols.sum())]


@only_on_linux
def test_a_short_stream_of_many_symbols_takes_no_memory():
    code = f"""
from compress.errors import FormatError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    CODECS["context"].decode({CODECS["context"].encode(np.zeros(1000, np.uint16))!r}, (1, 1 << 27))
except FormatError as error:
    print(error.problem.replace(" ", "-"), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    problem, grown = printed_by(code)
    assert problem == "the-coded-bits-end-too-early"
    assert int(grown) < 50_000  # KiB
