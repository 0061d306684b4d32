"""Data files in installed packages."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from compress.errors import DataError


def package_file(package: str, *parts: str) -> Path:
    """Return the path of a file in an installed package.

    Unlike `importlib.resources`, it does not import the package, which may take seconds.

    Raises:
        DataError: the package is not installed, or has no such file.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise DataError(f"the package {package} is not installed; install it with pip")
    path = Path(spec.origin).parent.joinpath(*parts)
    if not path.is_file():
        raise DataError(f"the installed package {package} has no file {'/'.join(parts)}; reinstall it with pip")
    return path
