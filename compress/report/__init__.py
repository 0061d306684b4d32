"""The report of a run: a `RunRecord` comes in, `report.json` and `report.html` go out.

`record` defines the content, `report_json` writes and reads it, `html` draws the page from it alone,
`report_files` keeps them on disk.
"""

from __future__ import annotations

from compress.report.html import to_html
from compress.report.record import RunRecord
from compress.report.report_files import read_report, write_report
from compress.report.report_json import from_json, to_json

__all__ = ["RunRecord", "from_json", "read_report", "to_html", "to_json", "write_report"]
