"""Source files of a user's network: results of other code are never taken from a cache."""

from __future__ import annotations

import ast
import inspect
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType
from typing import Any

_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))


def code_files(made: Iterable[Any]) -> dict[str, Path | None]:
    """Return the file of the module of each function or class, by the module's name.

    Modules that the user's own modules import are included, at any depth; imports of installed packages are not
    followed. None: a module has no file, as what is built in or made at run time.
    """
    files = {each.__module__: _source_file(each) for each in made}
    pending = list(files)
    while pending:
        module, file = sys.modules.get(name := pending.pop()), files[name]
        if module is None or file is None or _is_installed(file):
            continue
        for imported in map(sys.modules.get, _imports(module, file)):
            if imported is not None and imported.__name__ not in files and (found := _own_file(imported)):
                files[imported.__name__] = found
                pending.append(imported.__name__)
    return files


def _source_file(made: Any) -> Path | None:
    module = sys.modules.get(made.__module__)
    with suppress(TypeError, OSError):
        return Path(inspect.getsourcefile(module or getattr(made, "forward", made)) or "")
    return None


def _own_file(module: ModuleType) -> Path | None:
    """Return the file of a module of the user; None: it is built in or installed."""
    with suppress(TypeError, OSError):
        file = inspect.getsourcefile(module)
        return Path(file) if file and not _is_installed(Path(file)) else None
    return None


def _is_installed(file: Path) -> bool:
    return not {"site-packages", "dist-packages"}.isdisjoint(file.parts) or file.is_relative_to(_STANDARD_LIBRARY)


def _imports(module: ModuleType, file: Path) -> Iterator[str]:
    """Yield the names of modules that the import statements of a module may mean, with the packages around them."""
    try:
        nodes = list(ast.walk(ast.parse(file.read_bytes())))
    except (OSError, SyntaxError, ValueError):  # changed since it was imported
        return
    for node in nodes:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            with suppress(ImportError):  # beyond the top-level package
                parent = resolve_name("." * node.level + (node.module or ""), module.__package__)
                names = [parent, *(f"{parent}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))
