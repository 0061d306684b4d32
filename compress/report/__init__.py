"""The report of a run: a `RunRecord` comes in, `report.json` and `report.html` go out.

`record` defines the content, `report_json` writes and reads it, `html` draws the page from it alone.
"""

from __future__ import annotations

from pathlib import Path

from compress.report.html import to_html
from compress.report.record import RunRecord
from compress.report.report_json import from_json, to_json
from compress.runtime.atomic_files import write_atomically

__all__ = ["RunRecord", "from_json", "to_html", "to_json", "write_report"]


def write_report(record: RunRecord, folder: Path) -> Path:
    """Write `report.json` and `report.html` into `folder`, each atomically, and return the path of `report.html`.

    Raises:
        FormatError: the record holds a value that JSON cannot, such as NaN.
        OSError: a file could not be written; the old one is unchanged.
    """
    text = to_json(record)
    page = to_html(record)
    write_atomically(folder / "report.json", text.encode())
    write_atomically(folder / "report.html", page.encode())
    return folder / "report.html"
