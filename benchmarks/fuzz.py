"""Fuzzing of both decoders with damaged files: `python -m benchmarks.fuzz --files 100000`.

The Python decoder must refuse each file with a FormatError, or decode it, within a second and 256 MB. It does so twice,
with the runtime in C as a WebAssembly module and without it, and the answers must be the same. A file with wrong
checksums must not decode to other weights than the good file that it comes from. The decoder in C, built with
sanitizers, reads the same files. It must refuse what Python refuses and decode the rest to the same bits, except what
it reports as unsupported.

Files that break a rule are saved in OUT/fuzz, and the exit code is 1. The seed determines the files.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import click

from benchmarks import c_decoder
from benchmarks.benchmark_command import benchmark_command
from benchmarks.fuzz_files import file_of
from benchmarks.fuzz_reader import Findings, FuzzTask, read_files
from compress.cli import console
from compress.errors import SqueezeError
from compress.runtime.atomic_files import write_atomically

FILES_PER_TASK = 500
MAX_REASONS = 40
MAX_SHOWN = 20


@benchmark_command()
@click.option("--files", type=click.IntRange(1), default=100_000, show_default=True, help="Number of files.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of all random choices.")
@click.option("--out", type=click.Path(path_type=Path), default="out", show_default=True, help="Folder of results.")
@click.option(
    "--max-weights",
    type=click.IntRange(1, 1 << 28),
    default=1 << 20,
    show_default=True,
    help="Limit of the weights of a file, for both decoders.",
)
@click.option("--workers", type=click.IntRange(1), help="Number of processes. [default: one for each processor]")
@click.option("--without-c", is_flag=True, help="Skip the decoder in C.")
def main(files: int, seed: int, out: Path, max_weights: int, workers: int | None, without_c: bool) -> None:
    """Read damaged files and check that each is refused or correctly decoded."""
    started = time.perf_counter()
    folder = out / "fuzz"
    flags = (*c_decoder.SANITIZERS, f"-DSQZ_MAX_WEIGHTS={max_weights}u")
    program = None if without_c else c_decoder.build(folder / "sqz_dump", flags)
    found = read_all(files, seed, max_weights, program, workers or os.cpu_count() or 1)
    for number, kind, _ in found.violations:
        write_atomically(folder / f"{seed}-{number}-{kind}.sqz", file_of(number, seed).data)
    console.say(summary(found, files, time.perf_counter() - started))
    if found.violations:
        for number, kind, problem in found.violations[:MAX_SHOWN]:
            console.error(f"{folder / f'{seed}-{number}-{kind}.sqz'}: {problem}")
        sys.exit(1)


def read_all(files: int, seed: int, max_weights: int, c_program: Path | None, workers: int) -> Findings:
    """Read files 0 to `files` - 1 in `workers` processes.

    Raises:
        SqueezeError: a process died.
    """
    found = Findings()
    # spawn, not fork: a forked process inherits locks of threads, and its memory is not its own.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        tasks = [
            FuzzTask(start, min(start + FILES_PER_TASK, files), seed, max_weights, c_program)
            for start in range(0, files, FILES_PER_TASK)
        ]
        try:
            with console.progress("files", files) as advance:
                for task, part in zip(tasks, pool.map(read_files, tasks), strict=True):
                    found.add(part)
                    advance(task.end - task.start)
        except BrokenProcessPool as error:
            raise SqueezeError("a worker process died; run with --workers 1 to see at which file") from error
    return found


def summary(found: Findings, files: int, seconds: float) -> str:
    """Return the results as a table."""
    refused = sum(found.rejected.values())
    milliseconds, number = found.slowest
    rows = [
        ("files", f"{files:,} in {seconds:,.0f} s"),
        ("decoded", f"{found.decoded:,}"),
        ("refused", f"{refused:,}"),
        ("violations", f"{len(found.violations):,}"),
        ("slowest", f"{milliseconds:,.0f} ms, file {number:,}"),
        ("memory", f"{found.grown_bytes / 2**20:,.0f} MB growth"),
    ]
    return "\n".join([*_lines(rows), "", "refused because", *_counted(found.rejected), *_peer(found)])


def _peer(found: Findings) -> Iterator[str]:
    if found.answers:
        yield from ("", "the decoder in C", *_counted(found.answers))


def _counted(counts: dict[str, int]) -> Iterator[str]:
    ordered = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    rows = [(reason, f"{count:,}") for reason, count in itertools.islice(ordered, MAX_REASONS)]
    if rest := sum(count for _, count in ordered[MAX_REASONS:]):
        rows.append(("others", f"{rest:,}"))
    return _lines(rows)


def _lines(rows: list[tuple[str, str]]) -> Iterator[str]:
    width = max((len(name) for name, _ in rows), default=0)
    return (f"  {name:{width}}  {text}" for name, text in rows)


if __name__ == "__main__":
    main()
