"""Compiled functions and their cache on disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = """
from compress.runtime.jit import compiled

FACTOR = {factor}

@compiled(inline=True)
def inlined(value: int) -> int:
    return {expression}
"""
CALLER = """
from library import FACTOR, inlined
from compress.runtime.jit import compiled

@compiled()
def caller(value: int) -> int:
    return FACTOR * inlined(value)
"""
RESULT_AND_HITS = "print(caller.caller(10), sum(caller.caller.machine_code.stats.cache_hits.values()))"


@pytest.fixture
def run(tmp_path):
    """Run the caller of an inlined function in a new process, and return the numbers that `shown` prints."""

    def numbers(factor=1, expression="value", cache=str(tmp_path / "cache"), setup="", shown=RESULT_AND_HITS):
        (tmp_path / "library.py").write_text(LIBRARY.format(factor=factor, expression=expression))
        (tmp_path / "caller.py").write_text(CALLER)
        program = f"""if True:
            {setup}
            import caller, numba
            assert numba.config.CACHE_DIR == {cache!r}  # unchanged for the functions of others
            {shown}"""
        paths = os.pathsep.join([str(tmp_path), str(Path.cwd())])
        environment = {**os.environ, "PYTHONPATH": paths, "NUMBA_CACHE_DIR": cache}
        done = subprocess.run(
            [sys.executable, "-B", "-c", program], env=environment, check=True, capture_output=True, text=True
        )
        return tuple(map(int, done.stdout.split()))

    return numbers


def test_machine_code_is_cached_until_something_that_it_uses_changes(run):
    assert run() == (10, 0)
    assert run() == (10, 1)
    assert run(expression="value + 1") == (11, 0)  # the caller's own file is the same
    assert run(factor=2) == (20, 0)


def test_machine_code_of_other_options_is_not_taken_from_the_cache(run):
    allocates = "import functools; from compress.runtime import jit"
    allocates += "; jit.compiled = functools.partial(jit.compiled, allocates=True)"
    assert run() == (10, 0)
    assert run(setup=allocates) == (10, 0)
    assert run(setup=allocates) == (10, 1)


def test_nothing_is_compiled_or_loaded_before_its_first_use(run):
    count = "len(caller.caller.machine_code.overloads), len(caller.inlined.machine_code.overloads)"
    assert run(shown=f"print({count})") == (0, 0)
    assert run(shown=f"print(caller.caller(10), {count})") == (10, 1, 1)
    assert run(shown=f"print(caller.caller(10), {count})") == (10, 1, 0)  # the caller's machine code includes it


def test_machine_code_is_loaded_from_the_cache_without_numbas_compiler(run):
    needs_compiler = "import sys; print(caller.caller(10), int('numba.np.linalg' in sys.modules))"
    assert run(shown=needs_compiler) == (10, 1)
    assert run(shown=needs_compiler) == (10, 0)
    assert run(shown="print(caller.caller(10), numba.njit(lambda value: value + 1)(2))") == (10, 3)  # it compiles later


def test_arguments_of_other_types_are_converted_and_compile_nothing(run):
    values = "caller.caller(numpy.uint8(3)), caller.caller(True), len(caller.caller.machine_code.overloads)"
    used = f"import numpy; print({values})"
    assert run(shown=used) == (3, 1, 1)


def test_threads_may_use_a_function_first_at_the_same_time(run):
    threads = "from concurrent.futures import ThreadPoolExecutor as Pool; print(*Pool(8).map(caller.caller, range(8)))"
    assert run(shown=threads) == tuple(range(8))


def test_the_cache_is_beside_the_source_by_default(run, tmp_path):
    assert run(cache="") == (10, 0)
    assert run(cache="") == (10, 1)
    assert list((tmp_path / "__pycache__").rglob("caller.caller-*.nbi"))


def test_the_cache_of_a_read_only_package_is_in_the_home_folder(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    read_only = "import os; os.access = lambda path, mode: False"
    assert run(cache="", setup=read_only) == (10, 0)
    assert run(cache="", setup=read_only) == (10, 1)
    assert list((tmp_path / "home" / ".cache" / "numba").rglob("caller.caller-*.nbi"))
