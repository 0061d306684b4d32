from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.fuzz_changes import CHANGES
from benchmarks.fuzz_files import file_of, originals
from benchmarks.fuzz_reader import Task, read_files
from compress.codecs import CODECS
from compress.container.file import decode


def test_a_file_follows_from_its_number_and_the_seed():
    numbers = range(4000, 4100)
    assert [file_of(number, 3) for number in numbers] == [file_of(number, 3) for number in numbers]
    assert all(file_of(number, 3).data != file_of(number, 4).data for number in numbers[:5])


def test_good_files_and_all_that_are_cut_off_come_first():
    good = originals()
    assert [file_of(number, 0).data for number in range(len(good))] == list(good)
    assert [len(file_of(len(good) + cut, 0).data) for cut in range(50)] == list(range(50))
    assert all(decode(data) for data in good)


def test_among_the_good_files_are_levels_along_every_trellis_predicted_and_not():
    led = [tensor.indices for tensor in decode(originals()[-1]).tensors.values()]
    heads = [CODECS["context"].encode(indices)[0] for indices in led]
    assert {head for head in heads if head > 122} == {123, 124, 125, 126, 127}
    assert {head % 2 for head in heads if head < 80} == {0, 1}  # no trellis, and that of 32 states


def test_every_kind_of_change_leaves_some_files_good_and_damages_others():
    kinds = {(file.kind, file.data in originals()) for file in (file_of(number, 0) for number in range(2000, 5000))}
    assert {kind for kind, unchanged in kinds if not unchanged} == {*CHANGES, "unsealed"}


def test_a_decoder_that_takes_anything_is_found_out(tmp_path, recwarn):
    program = tmp_path / "decoder"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nread = sys.stdin.buffer.read\n"
        "while head := read(4):\n"
        "    read(int.from_bytes(head, 'little'))\n"
        "    print('ok 00000000 labels', flush=True)\n"
    )
    program.chmod(0o755)
    found = read_files(Task(0, 20, 0, 1 << 20, program))
    assert len(found.violations) == 20
    assert found.decoded == len(originals())
    assert read_files(Task(0, 20, 0, 1 << 20, None)).violations == []


@pytest.mark.parametrize("options", [[], ["--without-c"]])
def test_a_run_ends_well_where_every_rule_is_kept(tmp_path, options):
    command = [sys.executable, "-m", "benchmarks.fuzz", "--files", "1500", "--workers", "1", "--out", tmp_path]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "violations  0" in done.stdout
    assert ("the decoder in C" in done.stdout) == (not options)
