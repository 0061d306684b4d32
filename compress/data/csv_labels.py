"""Labels of the photos of a CSV file, from one of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from compress.data.class_index import LabelRule, Labels, NetworkClasses, class_error, find_labels, labels_in_order
from compress.data.listing import ListedPhoto
from compress.errors import DataError

_LABEL_COLUMNS = ("index", "label", "class", "synset")
"""Columns for the class, by priority."""

Columns = Mapping[str, Sequence[str]]


def csv_labels(
    file: Path, paths: Sequence[Path], columns: Columns, classes: NetworkClasses, rule: LabelRule, column: str | None,
    *, required: bool,
) -> Labels | None:  # fmt: skip
    """Return the labels of a CSV file's photos; None if it has no label column.

    Args:
        file: the CSV file, for errors.
        paths: of the photos.
        columns: the cells of each other column.
        classes: of the network.
        rule: how the cells and the classes are matched.
        column: with the labels; None: the known columns, which must agree.
        required: a file without a label column, but with other columns, is an error.
    Raises:
        DataError: the column is missing or unclear, or a cell is no class of the network.
    """
    names = _label_columns(file, columns, column, required=required)
    found = {name: _labels_of(paths, columns[name], classes, rule, name) for name in names}
    readable = {name: labels for name, labels in found.items() if isinstance(labels, Labels)}
    if not readable:
        error = next(iter(found.values()), None)
        if isinstance(error, DataError):
            raise error
        return None
    chosen, labels = next(iter(readable.items()))
    for other in names:
        cells = readable[other].indices if other in readable else columns[other]
        _check_agreement(file, paths, (chosen, labels.indices), (other, cells))
    return labels


def _label_columns(file: Path, columns: Columns, column: str | None, *, required: bool) -> list[str]:
    """Return the columns that may hold the classes. An `index` that counts the rows is none beside another one."""
    if column is not None:
        if column.lower() not in columns:
            raise DataError(f"{file} has no column {column!r}; its columns are path, {', '.join(columns)}")
        return [column.lower()]
    names = [name for name in _LABEL_COLUMNS if name in columns]
    if not names and columns and required:
        raise DataError(
            f"{file}: none of the columns {', '.join(columns)} is known to hold the class; name it "
            "(`label_column:`), or use the photos without labels (`labels: none`)"
        )
    if "index" not in names or not _counts_rows(columns["index"]):
        return names
    if names == ["index"]:
        raise DataError(
            f"{file}: the column index counts the rows; if these are the classes, name it (`label_column: index`), "
            "else name the column with the classes, or use the photos without labels (`labels: none`)"
        )
    return names[1:]


def _counts_rows(cells: Sequence[str]) -> bool:
    """Return whether each cell is one more than the cell above; the rows may be cut from a longer table."""
    first = int(cells[0]) if cells and cells[0].isdecimal() else None
    return first is not None and len(cells) > 1 and list(cells) == [str(first + row) for row in range(len(cells))]


def _labels_of(
    paths: Sequence[Path], cells: Sequence[str], classes: NetworkClasses, rule: LabelRule, column: str
) -> Labels | DataError:
    photos = [ListedPhoto(path, cell) for path, cell in zip(paths, cells, strict=True)]
    of = f"in the column {column}"
    try:
        if rule == "order":
            return labels_in_order(photos, set(cells), classes, of)
        return find_labels(photos, classes, rule, of) or class_error(photos[0], None, classes)
    except DataError as error:
        return error


def _check_agreement(
    file: Path, paths: Sequence[Path], chosen: tuple[str, Sequence[int]], other: tuple[str, Sequence[object]]
) -> None:
    """Check that photos that are alike in one column have one class in the other."""
    first: dict[object, int] = {}
    for path, index, cell in zip(paths, chosen[1], other[1], strict=True):
        expected = cell if isinstance(cell, int) else first.setdefault(cell, index)
        if index != expected:
            raise DataError(
                f"{file}: the columns {chosen[0]} and {other[0]} give different classes, for example for {path}; "
                f"name the right one (`label_column: {other[0]}`)"
            )
