from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.fuzz_changes import MUTATIONS
from benchmarks.fuzz_files import file_of, originals
from benchmarks.fuzz_reader import FuzzTask, read_files
from compress.codecs import CODECS
from compress.container.file import decode, layout


def test_number_and_seed_determine_a_file():
    numbers = range(4000, 4100)
    assert [file_of(number, 3) for number in numbers] == [file_of(number, 3) for number in numbers]
    assert all(file_of(number, 3).data != file_of(number, 4).data for number in numbers[:5])


def test_good_files_come_first_then_truncated_ones():
    good = originals()
    assert [file_of(number, 0).data for number in range(len(good))] == list(good)
    assert [len(file_of(len(good) + cut, 0).data) for cut in range(50)] == list(range(50))
    assert all(decode(data) for data in good)


def test_the_good_files_use_trellis_and_prediction_of_the_context_codec_in_every_combination():
    indices = [tensor.indices for tensor in decode(originals()[-2]).tensors.values()]
    heads = [CODECS["context"].encode(each)[0] for each in indices]
    assert {head & 3 for head in heads} == {0, 1, 2, 3}  # the flags of prediction and of the trellis


def test_a_good_file_has_each_number_of_codes_and_coded_codebooks():
    data = originals()[-1]
    heads = [CODECS["huffman"].encode(tensor.indices)[0] for tensor in decode(data).tensors.values()]
    assert heads == [0x82, 0x83, 0x84]
    assert all(tensor.codebook_bytes < 2 * 60 for tensor in layout(data).tensors)


def test_every_kind_of_mutation_occurs():
    kinds = {(file.kind, file.data in originals()) for file in (file_of(number, 0) for number in range(2000, 5000))}
    assert {kind for kind, unchanged in kinds if not unchanged} == {*MUTATIONS, "unsealed"}


def test_a_decoder_that_accepts_anything_is_a_violation(tmp_path, recwarn):
    program = tmp_path / "decoder"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nread = sys.stdin.buffer.read\n"
        "while head := read(4):\n"
        "    read(int.from_bytes(head, 'little'))\n"
        "    print('ok 00000000', flush=True)\n"
    )
    program.chmod(0o755)
    found = read_files(FuzzTask(0, 20, 0, 1 << 20, program))
    assert len(found.violations) == 20
    assert found.decoded == len(originals())
    assert read_files(FuzzTask(0, 20, 0, 1 << 20, None)).violations == []


@pytest.mark.parametrize("options", [[], ["--without-c"]])
def test_a_run_without_violations_exits_with_0(tmp_path, options):
    command = [sys.executable, "-m", "benchmarks.fuzz", "--files", "1500", "--workers", "1", "--out", tmp_path]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "violations  0" in done.stdout
    assert ("the decoder in C" in done.stdout) == (not options)
