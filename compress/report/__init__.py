"""What a run tells: `report.json` and `report.html`."""

from __future__ import annotations

from pathlib import Path

from compress.report.html import to_html
from compress.report.record import Record
from compress.report.schema import from_json, to_json
from compress.runtime.atomic_files import write_atomically

__all__ = ["Record", "from_json", "to_html", "to_json", "write_report"]


def write_report(record: Record, folder: Path) -> Path:
    """Write `report.json` and `report.html` into `folder`, each whole or not at all.

    Returns:
        The path of `report.html`.
    Raises:
        FormatError: the record holds a value that `report.json` cannot, such as a number that is not finite.
        OSError: a file could not be written; the old one is untouched.
    """
    text = to_json(record)
    page = to_html(record)
    write_atomically(folder / "report.json", text.encode())
    write_atomically(folder / "report.html", page.encode())
    return folder / "report.html"
