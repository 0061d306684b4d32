"""The runtime in C: its sources, and the memory that it needs for a model."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from compress.errors import ConfigError, WeightsError

_IN_WHEEL = Path(__file__).parents[1] / "c_runtime"
_IN_CHECKOUT = Path(__file__).parents[2] / "runtime" / "c"
_VALUE_BYTES = 64
"""Size of `sqz_value` on a 64-bit processor."""

WHY_NOT = "squeeze-compress describe MODEL --factory FUNCTION says why"
"""How a user learns why the file of a network has no program."""

_UNSUPPORTED = 3
"""Exit code of sqz_classify."""


@dataclass(frozen=True)
class CMemory:
    """The memory that the runtime in C needs for a model on a 64-bit processor; a 32-bit one needs less.

    Attributes:
        workspace_bytes: of the file.
        values: number of `sqz_value`.
        weights_bytes: of the loaded weights.
        arena_bytes: with loaded weights, for photos of up to 640 x 480 pixels.
        streaming_arena_bytes: the same without loaded weights.
    """

    workspace_bytes: int
    values: int
    weights_bytes: int
    arena_bytes: int
    streaming_arena_bytes: int

    @property
    def loaded_bytes(self) -> int:
        """All memory with loaded weights."""
        return self.workspace_bytes + self.values_bytes + self.weights_bytes + self.arena_bytes

    @property
    def streaming_bytes(self) -> int:
        """All memory without loaded weights."""
        return self.workspace_bytes + self.values_bytes + self.streaming_arena_bytes

    @property
    def values_bytes(self) -> int:
        """Memory of the values."""
        return self.values * _VALUE_BYTES


def sources_folder() -> Path:
    """Return the folder with the sources of the runtime and its programs."""
    return _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CHECKOUT


def runtime_sources() -> list[Path]:
    """Return the `.c` files of the runtime, in alphabetical order."""
    return sorted(sources_folder().glob("*.c"))


def find_compiler() -> str:
    """Return the path of the system's C compiler.

    Raises:
        ConfigError: there is no compiler.
    """
    for name in ("cc", "gcc", "clang"):
        if path := shutil.which(name):
            return path
    raise ConfigError("no C compiler found; install gcc or clang (Debian: apt-get install gcc libc6-dev)")


def measure_memory(model: Path) -> CMemory:
    """Let the runtime plan the memory for a model; this builds it with the system's compiler.

    Raises:
        ConfigError: the network does not run in C, or there is no compiler, or it fails.
        WeightsError: the tensors do not fit the network.
    """
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([_build(Path(folder)), model], capture_output=True, text=True, check=False)
    if done.returncode == _UNSUPPORTED:
        advice = "squeeze-compress decompress -o model.onnx writes it for ONNX Runtime"
        raise ConfigError(f"the runtime in C cannot run this network: {WHY_NOT}; {advice}", file=model)
    if done.returncode:
        raise WeightsError(f"the runtime in C refuses the network: {done.stderr.strip()}")
    return CMemory(**{name.replace("-", "_"): int(number) for name, number in map(str.split, done.stdout.splitlines())})


def _build(folder: Path) -> Path:
    program = folder / "sqz_classify"
    sources = [*runtime_sources(), sources_folder() / "classify" / "sqz_classify.c"]
    command = [find_compiler(), "-O1", f"-I{sources_folder()}", *map(str, sources), "-lm", "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(f"{' '.join(command)} failed:\n{done.stderr}")
    return program
