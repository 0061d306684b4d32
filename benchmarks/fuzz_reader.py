"""Worker of the fuzzer: reads files with the decoders in Python and C, and checks their answers.

Memory: while a file is decoded, RLIMIT_DATA is `MAX_BYTES` above the process's memory before the first file. Linux
counts all private writable memory, so that excessive allocation is a MemoryError in the file that causes it; a maximum
read afterwards would not name the file. RLIMIT_AS would count memory that numba only reserves. On systems without the
limit, only the printed growth of the largest process shows excessive allocation.
Time: processor seconds, independent of other processes on the machine.
"""

from __future__ import annotations

import functools
import re
import resource
import signal
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.c_decoder import CAnswer, CDecoder, weights_crc
from benchmarks.fuzz_files import FuzzFile, file_of, originals
from compress.codecs.runtime_decoder import reference_decoding
from compress.container.file import decode
from compress.errors import FormatError

MAX_SECONDS = 1.0
MAX_BYTES = 256 << 20
HUNG_SECONDS = 20


@dataclass(frozen=True)
class FuzzTask:
    """Files to read: numbers from `start` to `end` - 1."""

    start: int
    end: int
    seed: int
    max_weights: int
    c_program: Path | None


@dataclass
class Findings:
    """Results of some files.

    Attributes:
        decoded: number of decoded files.
        rejected: number of files refused with a FormatError, by reason.
        answers: number of files by the answer of the decoder in C.
        violations: number of the file, its kind, and the problem.
        slowest: milliseconds, and the number of the file.
        grown_bytes: growth of the largest process since before the first file.
    """

    decoded: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, str, str]] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, 0)
    grown_bytes: int = 0

    def add(self, other: Findings) -> None:
        """Add the results of another process."""
        self.decoded += other.decoded
        self.rejected += other.rejected
        self.answers += other.answers
        self.violations += other.violations
        self.slowest = max(self.slowest, other.slowest)
        self.grown_bytes = max(self.grown_bytes, other.grown_bytes)


@dataclass(frozen=True)
class PythonAnswer:
    """Answer of the Python decoder: the CRC-32 of the weights, or the reason of a refusal, or a violation."""

    crc: int | None = None
    reason: str = ""
    wrong: str = ""


def read_files(task: FuzzTask) -> Findings:
    """Read and check the files of a task; the process must do nothing else."""
    warnings.simplefilter("error")
    right = [weights_crc(decode(data, task.max_weights)) for data in originals()]
    _memory_limits()
    before = _first_peak_bytes()
    found = Findings()
    peer = CDecoder(task.c_program) if task.c_program else None
    for number in range(task.start, task.end):
        file = file_of(number, task.seed)
        outcome, seconds = _read(file.data, task.max_weights)
        with reference_decoding():
            reference, reference_seconds = _read(file.data, task.max_weights)
        seconds = max(seconds, reference_seconds)
        found.slowest = max(found.slowest, (1000 * seconds, number))
        if outcome.crc is not None:
            found.decoded += 1
        elif not outcome.wrong:
            found.rejected[outcome.reason] += 1
        problems = [_check(file, outcome, right[file.original], seconds)]
        if outcome != reference:
            problems.append(f"with the runtime in C {outcome}, without it {reference}")
        if peer:
            answer = peer.ask(file.data)
            found.answers["decoded" if answer.crc is not None else answer.error] += 1
            problems.append(_compare(outcome, answer, peer))
        found.violations += [(number, file.kind, problem) for problem in problems if problem]
    if peer and peer.close():
        found.violations.append((task.end - 1, "end", f"the decoder in C: {peer.complaints[:2000]}"))
    found.grown_bytes = _peak_bytes() - before
    return found


def _read(data: bytes, max_weights: int) -> tuple[PythonAnswer, float]:
    while_decoding, otherwise = _memory_limits()
    started = time.process_time()
    signal.signal(signal.SIGALRM, _hung)
    signal.alarm(HUNG_SECONDS)
    resource.setrlimit(resource.RLIMIT_DATA, while_decoding)
    try:
        outcome = PythonAnswer(crc=weights_crc(decode(data, max_weights)))
    except FormatError as error:
        outcome = PythonAnswer(reason=_reason(error))
    except Exception as error:
        outcome = PythonAnswer(wrong=f"{type(error).__name__}: {error}")
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, otherwise)  # sanitizers of the decoder in C need more
        signal.alarm(0)
    return outcome, time.process_time() - started


def _check(file: FuzzFile, outcome: PythonAnswer, right: int, seconds: float) -> str:
    """Return the violation of the Python decoder, or an empty string."""
    if outcome.wrong:
        return outcome.wrong
    if seconds > MAX_SECONDS:
        return f"took {seconds:.1f} seconds"
    must_be_right = not file.corrected or file.kind == "good"
    if outcome.crc is not None and must_be_right and outcome.crc != right:
        return "decoded to other weights although its checksums are wrong"
    if file.kind in ("good", "cut") and (outcome.crc is None) == (file.kind == "good"):
        return f"a file that is {file.kind}: {outcome.reason or 'decoded'}"
    return ""


def _compare(outcome: PythonAnswer, answer: CAnswer, peer: CDecoder) -> str:
    """Return the difference between the decoders, or an empty string."""
    if answer.error == "crashed":
        return f"the decoder in C died: {peer.complaints[:2000]}"
    if answer.unsupported or outcome.wrong:
        return ""
    if answer.crc != outcome.crc:
        return f"Python {_as_text(outcome.crc, outcome.reason)}, C {_as_text(answer.crc, answer.error)}"
    return ""


def _as_text(crc: int | None, reason: str) -> str:
    return f"refused ({reason})" if crc is None else f"decoded to {crc:08x}"


def _reason(error: FormatError) -> str:
    """Return the reason of a refusal, without names and numbers of the file."""
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
    """Return the limits while a file is decoded, relative to the present memory, and the limits otherwise."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    status = Path("/proc/self/status")
    if not status.exists():
        return (soft, hard), (soft, hard)
    now = 1024 * int(re.findall(r"VmData:\s+(\d+) kB", status.read_text())[0])
    return (now + MAX_BYTES, hard), (soft, hard)


def _hung(signum: int, frame: object) -> None:
    raise TimeoutError(f"took more than {HUNG_SECONDS} seconds")
