"""The decoder in C: builds it with the system's compiler, and runs it as one process that reads many files."""

from __future__ import annotations

import subprocess
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compress.errors import ConfigError
from compress.export.c_runtime import find_compiler, runtime_sources, sources_folder
from compress.model import Model

SOURCES = sources_folder()
DUMP = SOURCES / "dump" / "sqz_dump.c"
NETWORK = [SOURCES / f"sqz_{part}.c" for part in ("network", "operators", "photo")]
"""What runs networks, besides the decoder."""

WARNINGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
SANITIZERS = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def build(program: Path, flags: Sequence[str] = ("-O2",), sources: Sequence[Path] | None = None) -> Path:
    """Compile the decoder, with warnings as errors, and return the path of the program.

    Args:
        program: path of the result.
        flags: of the compiler, in addition to the warnings.
        sources: in addition to the decoder; None: `DUMP`.
    Raises:
        ConfigError: there is no compiler, or it fails.
    """
    files = [*sorted({*runtime_sources()} - {*NETWORK}), *(sources or [DUMP])]
    program.parent.mkdir(parents=True, exist_ok=True)
    command = [find_compiler(), *WARNINGS, *flags, f"-I{SOURCES}", *map(str, files), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(f"{' '.join(command)} failed; the compiler may lack sanitizers:\n{done.stderr}")
    return program


def weights_crc(model: Model) -> int:
    """Return the CRC-32 of all weights of a model, as in `CAnswer`."""
    crc = 0
    for tensor in model.tensors.values():
        crc = zlib.crc32(tensor.to_dense().astype("<f4").tobytes(), crc)
    return crc


@dataclass(frozen=True)
class CAnswer:
    """The decoder's answer to a file.

    Attributes:
        crc: CRC-32 of all weights, float32, little-endian, in order; None: refused.
        error: name of the error, `crashed`, or an empty string.
    """

    crc: int | None
    error: str = ""

    @property
    def unsupported(self) -> bool:
        """Whether the file may be valid, and only this decoder does not support it."""
        return self.error.startswith("unsupported")


class CDecoder:
    """A running `sqz_dump --stream`, restarted after a crash.

    Attributes:
        program: the result of `build`.
        complaints: its standard error before the last crash, or at its end.
    """

    def __init__(self, program: Path) -> None:
        self.program, self.complaints = program, ""
        self._process = self._start()

    def ask(self, data: bytes) -> CAnswer:
        """Return the answer to a file."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(len(data).to_bytes(4, "little") + data)
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        words = self._process.stdout.readline().decode().split()
        if not words:
            self.complaints = self._process.communicate()[1].decode(errors="replace")
            self._process = self._start()
            return CAnswer(None, "crashed")
        if words[0] == "ok":
            return CAnswer(int(words[1], 16))
        return CAnswer(None, words[1])

    def close(self) -> int:
        """Stop the process and return its exit code; a leak gives a nonzero code."""
        _, complaints = self._process.communicate()
        self.complaints = complaints.decode(errors="replace")
        return self._process.returncode

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self.program, "--stream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
