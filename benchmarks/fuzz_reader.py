"""Reads fuzzed files, in a process of its own, with the decoder here and the one in C, and judges what they say.

Memory: while a file is decoded, RLIMIT_DATA is so many bytes above what the process had when the first file came.
Linux counts all private writable memory there, heap and mappings, so taking too much is a MemoryError in the very
file, where a maximum read afterwards could not say which one it was. RLIMIT_AS would count what numba only reserves.
Where there is no such limit, the growth that is printed, of the process at its largest, has to do.
Time: seconds of the processor, for others may be busy on the same machine.
"""

from __future__ import annotations

import functools
import re
import resource
import signal
import time
import warnings
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.c_decoder import Answer, Decoder
from benchmarks.fuzz_files import FuzzFile, file_of, originals
from compress.container.file import decode
from compress.errors import FormatError

MOST_SECONDS = 1.0
MOST_BYTES = 256 << 20
HUNG_SECONDS = 20


@dataclass(frozen=True)
class Task:
    """Files to read: numbers from `start` up to `end`, which is not among them."""

    start: int
    end: int
    seed: int
    max_weights: int
    c_program: Path | None


@dataclass
class Findings:
    """What came of some files.

    Attributes:
        decoded: files that were decoded.
        rejected: files refused with a FormatError, by its reason.
        answers: files by what the decoder in C said.
        violations: number, kind and what was wrong.
        slowest: milliseconds, and the number of the file.
        grown_bytes: how much the largest process grew above what it had before the first file.
    """

    decoded: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, str, str]] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, 0)
    grown_bytes: int = 0

    def add(self, other: Findings) -> None:
        """Count in what another process found."""
        self.decoded += other.decoded
        self.rejected += other.rejected
        self.answers += other.answers
        self.violations += other.violations
        self.slowest = max(self.slowest, other.slowest)
        self.grown_bytes = max(self.grown_bytes, other.grown_bytes)


@dataclass(frozen=True)
class Outcome:
    """What the decoder here made of a file: the CRC-32 of its weights, or why it refused; else what was wrong."""

    crc: int | None = None
    reason: str = ""
    wrong: str = ""


def read_files(task: Task) -> Findings:
    """Read the files of a task and judge them; the process is not for anything else."""
    warnings.simplefilter("error")
    right = [_crc(data, task.max_weights) for data in originals()]
    _memory_limits()
    before = _first_peak_bytes()
    found = Findings()
    peer = Decoder(task.c_program) if task.c_program else None
    for number in range(task.start, task.end):
        file = file_of(number, task.seed)
        outcome, seconds = _read(file.data, task.max_weights)
        found.slowest = max(found.slowest, (1000 * seconds, number))
        if outcome.crc is not None:
            found.decoded += 1
        elif not outcome.wrong:
            found.rejected[outcome.reason] += 1
        problems = [_judge(file, outcome, right[file.original], seconds)]
        if peer:
            answer = peer.ask(file.data)
            found.answers["decoded" if answer.crc is not None else answer.error] += 1
            problems.append(_compare(outcome, answer, peer))
        found.violations += [(number, file.kind, problem) for problem in problems if problem]
    if peer and peer.close():
        found.violations.append((task.end - 1, "end", f"the decoder in C: {peer.complaints[:2000]}"))
    found.grown_bytes = _peak_bytes() - before
    return found


def _read(data: bytes, max_weights: int) -> tuple[Outcome, float]:
    while_decoding, otherwise = _memory_limits()
    started = time.process_time()
    signal.signal(signal.SIGALRM, _hung)
    signal.alarm(HUNG_SECONDS)
    resource.setrlimit(resource.RLIMIT_DATA, while_decoding)
    try:
        outcome = Outcome(crc=_crc(data, max_weights))
    except FormatError as error:
        outcome = Outcome(reason=_reason(error))
    except Exception as error:
        outcome = Outcome(wrong=f"{type(error).__name__}: {error}")
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, otherwise)  # the decoder in C needs more for its sanitizers
        signal.alarm(0)
    return outcome, time.process_time() - started


def _crc(data: bytes, max_weights: int) -> int:
    crc = 0
    for tensor in decode(data, max_weights).tensors.values():
        crc = zlib.crc32(tensor.to_dense().astype("<f4").tobytes(), crc)
    return crc


def _judge(file: FuzzFile, outcome: Outcome, right: int, seconds: float) -> str:
    """Return what is wrong with how the decoder here took a file, or nothing."""
    if outcome.wrong:
        return outcome.wrong
    if seconds > MOST_SECONDS:
        return f"took {seconds:.1f} seconds"
    must_be_right = not file.corrected or file.kind == "good"
    if outcome.crc is not None and must_be_right and outcome.crc != right:
        return "decoded to other weights though no checksum was made right"
    if file.kind in ("good", "cut") and (outcome.crc is None) == (file.kind == "good"):
        return f"a file that is {file.kind}: {outcome.reason or 'decoded'}"
    return ""


def _compare(outcome: Outcome, answer: Answer, peer: Decoder) -> str:
    """Return how the two decoders differ, or nothing."""
    if answer.error == "crashed":
        return f"the decoder in C died: {peer.complaints[:2000]}"
    if answer.unsupported or outcome.wrong:
        return ""
    if not answer.labels_read and outcome.reason.startswith("labels"):
        return ""
    if answer.crc != outcome.crc:
        return f"here {_said(outcome.crc, outcome.reason)}, in C {_said(answer.crc, answer.error)}"
    return ""


def _said(crc: int | None, reason: str) -> str:
    return f"refused ({reason})" if crc is None else f"decoded to {crc:08x}"


def _reason(error: FormatError) -> str:
    """Return why a file was refused, without what differs from file to file."""
    problem = re.sub(r"^tensor .*?: (?=\D)", "tensor: ", error.problem, flags=re.DOTALL)
    problem = re.sub(r"^tensor (.*) is damaged$", "tensor is damaged", problem, flags=re.DOTALL)
    problem = re.sub(r"named '.*'$", "named alike", problem, flags=re.DOTALL)
    return re.sub(r"\d[\d,]*", "N", re.sub(r"\(\d.*?\)", "(...)", problem))[:70]


def _peak_bytes() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@functools.cache
def _first_peak_bytes() -> int:
    return _peak_bytes()


@functools.cache
def _memory_limits() -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the limits while a file is decoded, from what there is now, and otherwise."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    status = Path("/proc/self/status")
    if not status.exists():
        return (soft, hard), (soft, hard)
    now = 1024 * int(re.findall(r"VmData:\s+(\d+) kB", status.read_text())[0])
    return (now + MOST_BYTES, hard), (soft, hard)


def _hung(signum: int, frame: object) -> None:
    raise TimeoutError(f"took more than {HUNG_SECONDS} seconds")
