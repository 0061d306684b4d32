"""docs/theory.md: each figure is drawn from the trained weights, kept in docs/images, and shown."""

from __future__ import annotations

import re
from pathlib import Path

from documentation.theory.__main__ import FIGURES, write_figures

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_shows_each_figure(tmp_path):
    write_figures(tmp_path)
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == {f"theory-{name}.svg" for name in FIGURES}
    assert drawn == {path.name for path in DOCS.glob("images/theory-*")}
    assert drawn == set(re.findall(r"\]\(images/(.*?)\)", (DOCS / "theory.md").read_text("utf-8")))
