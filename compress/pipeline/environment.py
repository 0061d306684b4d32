"""Facts about the program and the machine that a run records."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import shlex
from collections.abc import Iterable, Mapping

import torch

from compress.context import Context
from compress.runtime.file_names import escape_undecodable
from compress.runtime.program_code import code_digest

_PACKAGES = ("squeeze-compress", "numpy", "numba", "torch", "scikit-learn", "dahuffman", "scipy", "pillow", "ndf")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect the result."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def result_key(context: Context, inputs: Mapping[str, object]) -> str:
    """Return the cache key of a result: a hash of JSON values, the code, the package versions and the machine."""
    settings = {
        "code": code_digest(),
        "versions": versions(),
        "device": context.device.type,
        "threads": torch.get_num_threads(),
        "processes": context.processes.world_size,
    }
    return hashlib.sha256(json.dumps({**inputs, **settings}, sort_keys=True).encode()).hexdigest()[:32]


def machine() -> str:
    """Return processor, cores and system in a phrase."""
    return f"{os.cpu_count()} cores of {platform.machine()}, {platform.system()} {platform.release()}"


def run_command(pipeline: str, seed: int | None, overrides: Iterable[str]) -> str:
    """Return the command line that repeats a run."""
    words = ["squeeze-compress", "run", pipeline]
    for override in overrides:
        words += ["--set", override]
    if seed is not None:
        words += ["--seed", str(seed)]
    return escape_undecodable(shlex.join(words))
