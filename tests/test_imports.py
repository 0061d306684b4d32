"""Rooms of the house, from the bottom to the top: none looks up, and reading a model needs no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "compress"
ROOMS = (
    "errors", "compiled", "files", "progress", "ranks", "kernels", "tensors", "model", "codecs", "container",
    "data", "networks", "device", "patches", "triangles", "layer_statistics", "calibration", "statistics_file",
    "divergence", "channels", "channel_changes", "paired", "file_size", "passes", "significance", "report", "validate",
    "proof", "inspection", "export", "evaluation", "ready", "pipeline", "search", "comparison", "console", "parameters",
    "search_commands", "cache_commands", "__init__", "cli", "__main__",
)  # fmt: skip
WITHOUT_TORCH = {
    "errors",
    "compiled",
    "files",
    "kernels",
    "tensors",
    "model",
    "codecs",
    "container",
    "inspection",
    "ready",
}


def modules() -> Iterator[tuple[str, Path]]:
    """Each file of the package, and the room that it is in."""
    for file in sorted(PACKAGE.rglob("*.py")):
        yield file.relative_to(PACKAGE).parts[0].removesuffix(".py"), file


def imported(file: Path) -> Iterator[str]:
    """The modules that a file imports, those inside its functions too."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield "compress.a_relative_import"  # rooms are imported by their full names
        elif isinstance(node, ast.ImportFrom) and node.module == "compress":
            yield from (f"compress.{name.name}" for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


def rooms_of(file: Path) -> set[str]:
    names = [name.split(".") for name in imported(file)]
    return {parts[1] if len(parts) > 1 else "__init__" for parts in names if parts[0] == "compress"}


def test_every_room_has_a_place_in_the_order():
    assert {room for room, _ in modules()} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_rooms_below_it(room):
    below = {room, *ROOMS[: ROOMS.index(room)]}
    for owner, file in modules():
        if owner == room:
            assert rooms_of(file) <= below, file


@pytest.mark.parametrize("room", sorted(WITHOUT_TORCH))
def test_a_room_that_reads_models_needs_no_torch_and_no_room_that_does(room):
    for owner, file in modules():
        if owner == room:
            assert rooms_of(file) <= WITHOUT_TORCH
            heavy = {name for name in imported(file) if name.split(".")[0] in {"torch", "sklearn", "matplotlib"}}
            # Writing a .pth file is torch's own; it is imported there and then.
            assert not heavy, file


def test_in_a_fresh_process_reading_imports_no_torch():
    code = """
import sys
import compress, compress.container, compress.tensors, compress.codecs, compress.errors
import compress.cli, compress.inspection
compress.read(sys.argv[1])
print(sorted({"torch", "sklearn", "matplotlib", "pydantic"} & set(sys.modules)))
"""
    golden = Path(__file__).parent / "golden" / "small-v1.sqz"
    done = subprocess.run([sys.executable, "-c", code, golden], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
