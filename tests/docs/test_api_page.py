"""docs/api.md has every public name with its signature, and its examples run."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

import compress

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
FUNCTIONS = [name for name in compress.__all__ if inspect.isfunction(getattr(compress, name))]
PIPELINE = "data: {calibration: {source: samples, count: 2}, validation: {source: samples, count: 2}}\n"


def test_the_page_documents_exactly_the_public_names():
    assert sorted(SECTIONS) == sorted(compress.__all__)
    assert sorted(re.findall(r"^\| \[`(\w+)`\]", PAGE, re.MULTILINE)) == sorted(compress.__all__)
    assert f"{'ten' if len(compress.__all__) == 10 else len(compress.__all__)} names" in PAGE


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_section_shows_the_signature(name):
    signature = inspect.signature(getattr(compress, name))
    plain = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    shown = signature.replace(parameters=plain, return_annotation=signature.empty)
    assert f"    compress.{name}{shown}\n" in SECTIONS[name]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_docstring_explains_every_parameter(name):
    documented = inspect.getdoc(getattr(compress, name))
    parameters = inspect.signature(getattr(compress, name)).parameters
    assert len(parameters) < 2 or all(f"    {parameter}: " in documented for parameter in parameters)


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("photos", "967").mkdir(parents=True)  # espresso
    for path in ("photo.jpg", "photos/967/coffee.png"):
        Image.fromarray(data.coffee()).save(path)
    Path("pipeline.yaml").write_text(PIPELINE, "utf-8")
    names: dict[str, object] = {}
    for example in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(example, "docs/api.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "<squeezenet1_1: 1,235,496 parameters in " in printed
    assert "(64, 3, 3, 3)" in printed
    assert "photo.jpg [('espresso', " in printed
    assert "True out/model.sqz out/report.html" in printed
    assert "did you mean 'squeezenet'?" in printed
