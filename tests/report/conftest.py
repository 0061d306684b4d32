"""Chromium, and the pages of three reports."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from records import make_hostile_record, make_record

from benchmarks.browser import Browser, chromium
from compress.report import to_html


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="session")
def report_pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `labeled.html`, `unlabeled.html` and `hostile.html`."""
    folder = tmp_path_factory.mktemp("pages")
    records = {
        "labeled": make_record(),
        "unlabeled": make_record(labeled=False, goal_bytes=400_000),
        "hostile": make_hostile_record(),
    }
    for name, record in records.items():
        (folder / f"{name}.html").write_text(to_html(record), encoding="utf-8")
    return folder
