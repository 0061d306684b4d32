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

_FOLDERS = Path(sysconfig.get_path("stdlib")), Path(__file__).parents[1]
"""Folders of Python's library, and of this package, whose code counts anyway."""


def code_files(made: Iterable[Any], named: str) -> dict[str, Path | None]:
    """Return the files of a module and of the modules of functions and classes, by the module's name.

    The module `named` counts by its name: an object such as `functools.partial` has the module of its class.
    Modules that the user's own modules import when they are imported themselves are included, at any depth; imports of
    installed packages are not followed. None: a module has no file, as what is built in or made at run time.
    """
    files = {each.__module__: _source_file(each) for each in made}
    files[named] = Path(getattr(sys.modules[named], "__file__", None) or "")
    pending = list(files)
    while pending:
        module, file = sys.modules.get(name := pending.pop()), files[name]
        if module is None or file is None or _is_installed(file):
            continue
        for imported in _imports(module, file):
            if imported not in files and (found := _own_file(imported)):
                files[imported] = found
                pending.append(imported)
    return files


def _source_file(made: Any) -> Path | None:
    module = sys.modules.get(made.__module__)
    with suppress(TypeError, OSError):
        return Path(inspect.getsourcefile(module or getattr(made, "forward", made)) or "")
    return None


def _own_file(name: str) -> Path | None:
    """Return the file of an imported module of the user; None: it is built in, installed, or no module."""
    with suppress(KeyError, TypeError, OSError):
        file = inspect.getsourcefile(sys.modules[name])
        return Path(file) if file and not _is_installed(Path(file)) else None
    return None


def _is_installed(file: Path) -> bool:
    return not {"site-packages", "dist-packages"}.isdisjoint(file.parts) or any(map(file.is_relative_to, _FOLDERS))


def _imports(module: ModuleType, file: Path) -> Iterator[str]:
    """Yield the names of modules that the import statements of a module may mean, with the packages around them.

    Statements that ran with the module count alone: others, as in functions, may run sooner or later.
    """
    try:
        statements = list(_at_import(ast.parse(file.read_bytes())))
    except (OSError, SyntaxError, ValueError):  # changed since it was imported
        return
    for node in statements:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names if (each.asname or each.name.partition(".")[0]) in vars(module)]
        elif isinstance(node, ast.ImportFrom):
            given = [each.name for each in node.names if each.name == "*" or (each.asname or each.name) in vars(module)]
            with suppress(ImportError):  # beyond the top-level package
                parent = resolve_name("." * node.level + (node.module or ""), module.__package__)
                names = [parent, *(f"{parent}.{each}" for each in given)] if given else []
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes in a module that are no parts of its functions and classes."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield child
            yield from _at_import(child)
