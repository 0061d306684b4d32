"""Reading a model takes numpy and no more: the rooms below never import torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import compress

PACKAGE = Path(compress.__file__).parent
BELOW_TORCH = ("errors", "files", "tensors", "model", "codecs", "container")


def imported_by(path):
    """Names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files_of(module):
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return [path.with_suffix(".py")] if path.with_suffix(".py").exists() else sorted(path.glob("*.py"))


def reached_from(module):
    """Everything that `module` imports, and what the modules of this package among it import."""
    reached, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            if name.startswith("compress."):
                waiting += [imported for path in files_of(name) for imported in imported_by(path)]
    return reached


@pytest.mark.parametrize("module", BELOW_TORCH)
def test_no_module_below_the_networks_imports_torch(module):
    assert files_of(f"compress.{module}")
    assert not {name for name in reached_from(f"compress.{module}") if name.split(".")[0] == "torch"}


def test_reading_a_model_in_a_fresh_process_loads_no_torch():
    modules = ", ".join(f"compress.{module}" for module in BELOW_TORCH)
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=PACKAGE.parent).returncode == 0
