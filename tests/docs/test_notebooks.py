"""The notebooks in docs/notebooks run from top to bottom, and show what they did when they were written.

Their cells run here as in Jupyter, without its kernel: it needs eighty packages.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from compress.builtin_models import builtin_models

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def cells_of(notebook: Path, kind: str) -> list[dict]:
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == kind]


def run_cell(source: str, names: dict[str, object]) -> object:
    """Run the code of a cell, and return the value of its last line if that is an expression."""
    module = ast.parse(source)
    last = module.body.pop() if isinstance(module.body[-1], ast.Expr) else None
    exec(compile(module, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None


def stored_value(cell: dict) -> dict | None:
    return next((output["data"] for output in cell["outputs"] if output["output_type"] == "execute_result"), None)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(notebook, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # also restores the folder that the notebook leaves
    names: dict[str, object] = {}
    for cell in cells_of(notebook, "code"):
        value, stored = run_cell("".join(cell["source"]), names), stored_value(cell)
        assert bool(capsys.readouterr().out) == any(output["output_type"] == "stream" for output in cell["outputs"])
        assert (value is not None) == (stored is not None)
        if stored:
            assert hasattr(value, "_repr_html_") == ("text/html" in stored)
            shown = "".join(stored["text/plain"])
            assert re.sub(r"[\d,.]+", "N", repr(value)) == re.sub(r"[\d,.]+", "N", shown)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_was_run_in_order_without_errors(notebook):
    code = cells_of(notebook, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert all(output["output_type"] in {"execute_result", "stream"} for output in outputs)
    assert all(output["name"] == "stdout" for output in outputs if output["output_type"] == "stream")  # no warnings


def test_the_notebook_shows_the_built_in_model_as_it_is():
    first, *_ = filter(None, map(stored_value, cells_of(FOLDER / "first-steps.ipynb", "code")))
    assert f"in {builtin_models()['squeezenet'].file_bytes:,} bytes" in "".join(first["text/plain"])


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_a_notebook_have_a_target(notebook):
    text = "".join(line for cell in cells_of(notebook, "markdown") for line in cell["source"])
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    assert targets
    assert all((FOLDER / target).exists() for target in targets)
