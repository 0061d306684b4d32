"""The decoder in C, built by the system's compiler and asked about one file after the other in one process."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from compress.errors import ConfigError

SOURCES = Path(__file__).parents[1] / "decoders" / "c"
WARNINGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
SANITIZERS = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def compiler() -> str:
    """Return the path of the system's C compiler.

    Raises:
        ConfigError: there is none.
    """
    for name in ("cc", "gcc", "clang"):
        if path := shutil.which(name):
            return path
    raise ConfigError("there is no C compiler; install gcc or clang (Debian: apt-get install gcc libc6-dev)")


def build(program: Path, flags: Sequence[str] = ("-O2",), sources: Sequence[Path] | None = None) -> Path:
    """Compile the decoder, warnings being errors, and return the program.

    Args:
        program: path to write it to.
        flags: of the compiler, beside the warnings.
        sources: beside the decoder itself; `sqz_dump.c`, unless told otherwise.
    Raises:
        ConfigError: there is no compiler, or it refuses.
    """
    files = [SOURCES / "sqz.c", *(sources or [SOURCES / "sqz_dump.c"])]
    program.parent.mkdir(parents=True, exist_ok=True)
    command = [compiler(), *WARNINGS, *flags, f"-I{SOURCES}", *map(str, files), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(f"{' '.join(command)} failed; its sanitizers may be missing:\n{done.stderr}")
    return program


@dataclass(frozen=True)
class Answer:
    """What the decoder says of a file.

    Attributes:
        crc: CRC-32 of all weights, float32, little-endian, in order; None where the file was refused.
        error: name of the error, or "" where there was none. `crashed` where it died.
        labels_read: whether the labels were looked at.
    """

    crc: int | None
    error: str = ""
    labels_read: bool = True

    @property
    def unsupported(self) -> bool:
        """Whether the file may be good."""
        return self.error.startswith("unsupported")


class Decoder:
    """A running `sqz_dump --stream`; it is started anew where it died.

    Attributes:
        program: as `build` made it.
        complaints: what it last said on standard error before it died.
    """

    def __init__(self, program: Path) -> None:
        self.program, self.complaints = program, ""
        self._process = self._start()

    def __enter__(self) -> Decoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, data: bytes) -> Answer:
        """Return what it says of the file of these bytes."""
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
            return Answer(None, "crashed")
        if words[0] == "ok":
            return Answer(int(words[1], 16), labels_read=words[2] == "labels")
        return Answer(None, words[1])

    def close(self) -> int:
        """End it, and return its exit code, which leaks make another than 0."""
        _, complaints = self._process.communicate()
        self.complaints = complaints.decode(errors="replace")
        return self._process.returncode

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self.program, "--stream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
