"""Files that installed packages carry."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from compress.errors import DataError


def installed_file(package: str, *parts: str) -> Path:
    """Return the path of a file inside an installed package, without running the package's code.

    `importlib.resources` would import the package first, which costs seconds for some and may reach the network.

    Args:
        package: top-level import name.
        parts: folders and file name below the package.
    Raises:
        DataError: the package, or the file in it, is not there.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise DataError(f"the package {package} is not installed; install it with pip")
    path = Path(spec.origin).parent.joinpath(*parts)
    if not path.is_file():
        raise DataError(f"the installed package {package} has no file {'/'.join(parts)}; reinstall it with pip")
    return path
