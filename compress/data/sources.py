"""Photo sources by their name in a pipeline file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from compress.data.class_index import LabelRule
from compress.data.collect import PhotoSource
from compress.data.digits import Digits
from compress.data.folder import Folder
from compress.data.idx import Idx, has_idx_files
from compress.data.samples import Samples
from compress.errors import ConfigError

SOURCES: Mapping[str, type[PhotoSource]] = {"samples": Samples, "folder": Folder, "digits": Digits, "idx": Idx}


def check_label_column(label_column: str | None) -> None:
    """Check that no label column is named for photos that are of no table.

    Raises:
        ConfigError: one is.
    """
    if label_column is not None:
        problem = f"{label_column!r} names a column, and the photos are of no table"
        raise ConfigError(problem, key="--label-column", allowed="with a CSV file")


def source_at(
    path: Path, limit: int | None, labels: LabelRule = "auto", label_column: str | None = None
) -> PhotoSource:
    """Return the source of the photos at a path: a folder, a CSV file, a photo, or a folder of idx files.

    See `Folder` for the arguments. The labels of idx files are numbers.

    Raises:
        ConfigError: there is a label column, and the photos are of idx files.
    """
    if has_idx_files(path):
        check_label_column(label_column)
        return Idx(path, limit, "none" if labels == "none" else "auto")
    return Folder(path, limit, labels=labels, label_column=label_column)
