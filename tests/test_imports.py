"""The rooms of the package: their order, their names, and that reading a model does not load torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = (
    "errors", "runtime", "tensors", "model", "codecs", "container", "builtin_models", "data", "networks", "weights",
    "calibration", "context", "evaluation", "quantization", "training", "passes", "report", "export",
    "builtin_pipelines", "configuration", "pipeline", "search", "__init__", "cli", "__main__",
)  # fmt: skip
"""The rooms of `compress/` from the bottom to the top."""

WITHOUT_TORCH = ("errors", "tensors", "model", "codecs", "container", "builtin_models", "builtin_pipelines")
SLOW_TO_IMPORT = {"torch", "sklearn", "matplotlib"}


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(file): file for folder in ("compress", "benchmarks") for file in (ROOT / folder).rglob("*.py")}


def imported(module: str, *, when_loaded: bool = False) -> Iterator[str]:
    """Yield the modules that a module imports.

    Args:
        module: of this project.
        when_loaded: leave out imports inside functions and those for type checkers.
    """
    waiting: list[ast.AST] = [ast.parse(FILES[module].read_text("utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            for name in node.names:
                inside = f"{node.module}.{name.name}"
                yield inside if inside in FILES else str(node.module)
        elif not (when_loaded and (isinstance(node, ast.FunctionDef) or _is_for_type_checkers(node))):
            waiting.extend(ast.iter_child_nodes(node))


def _is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__main__" if parts[0] != "compress" else "__init__"


def in_package(modules: Iterator[str]) -> set[str]:
    return {module for module in modules if module.split(".")[0] == "compress"}


def test_every_room_has_a_place_in_the_order():
    assert {room_of(module) for module in in_package(iter(FILES))} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_rooms_below_it(room):
    below = {room, *ROOMS[: ROOMS.index(room)]}
    for module in in_package(iter(FILES)):
        if room_of(module) == room:
            assert {room_of(name) for name in in_package(imported(module))} <= below, module


@pytest.mark.parametrize("package", ["compress", "benchmarks"])
def test_no_module_imports_itself_by_way_of_others(package):
    graph = {
        module: {name for name in imported(module) if name in FILES and name != package} - {module}
        for module in FILES
        if module.split(".")[0] == package
    }
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(reversed(error.args[1]))}")


@pytest.mark.parametrize("room", WITHOUT_TORCH)
def test_a_room_that_reads_models_loads_neither_torch_nor_another_slow_library(room):
    waiting = {module for module in in_package(iter(FILES)) if room_of(module) == room}
    loaded: set[str] = set()
    while waiting:
        module = waiting.pop()
        loaded.add(module)
        # What is imported inside a function is loaded where a caller asks for it: torch writes `.pth` files itself.
        waiting |= {name for name in imported(module, when_loaded=True) if name in FILES} - loaded
        heavy = {name for name in imported(module, when_loaded=True) if name.split(".")[0] in SLOW_TO_IMPORT}
        assert not heavy, module


def test_no_two_modules_or_classes_share_a_name():
    names: dict[str, set[str]] = {}
    for module, file in FILES.items():
        if file.name != "__init__.py":
            names.setdefault(f"module {file.stem}", set()).add(module)
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                names.setdefault(f"class {node.name}", set()).add(module)
    assert not {name: found for name, found in names.items() if len(found) > 1}


def test_every_package_says_what_it_is_for():
    for module, file in FILES.items():
        if file.name == "__init__.py":
            assert ast.get_docstring(ast.parse(file.read_text("utf-8"))), module


READING = f"""
import compress, compress.container, compress.tensors, compress.codecs, compress.errors
import compress.cli.main, compress.container.inspection
compress.read({str(ROOT / "tests/golden/small-v1.sqz")!r})
"""
FINDING_A_MISTAKE = """
from compress.cli.main import main
try:
    main(["validate", "squeezenet", "--set", "stages.0.bogus=1"])
except SystemExit as error:
    assert error.code == 2
"""
COMMAND = """
from compress.cli.main import main
main({!r}, standalone_mode=False)
"""
CHECKING_A_PIPELINE = """
from compress.builtin_pipelines import builtin_pipelines
from compress.configuration.config import read_pipeline
from compress.configuration.json_schema import schema_text
read_pipeline(builtin_pipelines()["squeezenet"]), schema_text()
"""
LOADING_INPUTS = """
import pathlib, tempfile
from compress.builtin_pipelines import builtin_pipelines
from compress.configuration.config import read_pipeline
from compress.pipeline.inputs import load_inputs
pipeline = read_pipeline(builtin_pipelines()["squeezenet"], ["data.calibration.count=2"])
with tempfile.TemporaryDirectory() as folder:
    load_inputs(pipeline, pathlib.Path(folder))
"""


def modules_imported_by(code: str, slow: set[str]) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh process that then prints which of the slow modules it imported."""
    code = f"{code}\nimport sys\nprint(sorted({slow} & set(sys.modules)))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("code", "slow", "said"),
    [
        (READING, {"torch", "sklearn", "matplotlib", "pydantic", "numba"}, ""),
        (FINDING_A_MISTAKE, {*SLOW_TO_IMPORT, "numba", "scipy", "jinja2", "http.client"}, "unknown key"),
        (CHECKING_A_PIPELINE, {"numba", "scipy", "torch"}, ""),
        (COMMAND.format(["validate", "squeezenet"]), {*SLOW_TO_IMPORT, "numba", "scipy", "rich"}, ""),
        (COMMAND.format(["models"]), {*SLOW_TO_IMPORT, "numpy", "rich"}, ""),
        (COMMAND.format(["schema"]), {*SLOW_TO_IMPORT, "numba", "scipy", "rich"}, ""),
        (COMMAND.format(["verify", "squeezenet"]), {*SLOW_TO_IMPORT, "PIL", "pydantic", "rich", "numba"}, ""),
        (COMMAND.format(["verify", "squeezenet-500k"]), {*SLOW_TO_IMPORT, "numba"}, ""),
        (COMMAND.format(["inspect", "squeezenet"]), {*SLOW_TO_IMPORT, "PIL", "pydantic", "rich", "numba"}, ""),
        (LOADING_INPUTS, {"torch._dynamo", "torch._inductor", "scipy.stats"}, ""),
        (COMMAND.format(["inspect", "mcunet-300k"]), {*SLOW_TO_IMPORT, "PIL", "pydantic"}, ""),
        ("import compress.evaluation.evaluate", {"scipy.stats", "scipy.special"}, ""),
    ],
)
def test_a_fresh_process_imports_no_slow_library_that_it_does_not_need(code, slow, said):
    done = modules_imported_by(code, slow)
    assert said in done.stderr
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr
