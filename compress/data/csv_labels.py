"""Labels of the photos of a CSV file, from one of its columns."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from compress.data.class_index import (
    LabelRule,
    Labels,
    NetworkClasses,
    class_error,
    find_labels,
    is_split,
    is_split_column,
    labels_in_order,
    shorten,
)
from compress.data.listing import ListedPhoto
from compress.errors import DataError

_LOGGER = logging.getLogger(__name__)

_LABEL_COLUMNS = ("index", "label", "class", "synset")
"""Columns for the class, by priority."""

_MAX_PARTS = 20
"""Maximum parts of a data set. A column with more different cells divides it into no parts, whatever its name."""

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
        required: a file without a label column, but with other columns, is an error; training and test rows together
            are a warning.
    Raises:
        DataError: the column is missing or unclear, or a cell is no class of the network.
    """
    names = _label_columns(file, paths, columns, column, required=required)
    if required:
        _warn_of_splits(file, columns, names)
    if column is not None:
        _check_one_hot(file, columns, names[0], classes)
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


def _label_columns(
    file: Path, paths: Sequence[Path], columns: Columns, column: str | None, *, required: bool
) -> list[str]:
    """Return the columns that may hold the classes. An `index` that counts the rows is none beside another one."""
    if column is not None:
        if (name := column.strip().lower()) in columns:
            _check_not_empty(file, paths, columns, [name])
            return [name]
        problem = f"{file} has no column {column!r}" if name != "path" else f"{file}: the column path names the photos"
        raise DataError(f"{problem}; its columns are path, {', '.join(columns)}")
    known = [name for name in _LABEL_COLUMNS if name in columns]
    names = [name for name in known if any(columns[name])]
    if known and required:
        _check_not_empty(file, paths, columns, known)
    elif columns and required:
        raise DataError(
            f"{file}: none of the columns {', '.join(columns)} is known to hold the class; name it "
            "(`label_column:`), or use the photos without labels (`labels: none`)"
        )
    cells = columns["index"] if "index" in names else ()
    counts = _counts_rows(cells)
    # The rows of a longer table keep their numbers when they are shuffled; the class may be in a column of any name.
    if names == ["index"] and (counts or (len(columns) > 1 and len(set(cells)) == len(cells) > 1)):
        raise DataError(
            f"{file}: the column index {'counts the rows' if counts else 'differs in every row'}; if these are the "
            "classes, name it (`label_column: index`), else name the column with the classes, or use the photos "
            "without labels (`labels: none`)"
        )
    return names[1:] if counts else names


def _check_not_empty(file: Path, paths: Sequence[Path], columns: Columns, names: Sequence[str]) -> None:
    """Check that one of the columns for the class has a cell.

    Raises:
        DataError: all are empty.
    """
    if not any(any(columns[name]) for name in names):
        raise DataError(
            f"{paths[0]} has no class, and no other photo has one: the column {names[0]} of {file} is empty; write the "
            "classes into it, name another column (`label_column:`), or use the photos without labels (`labels: none`)"
        )


def _warn_of_splits(file: Path, columns: Columns, labels: Sequence[str]) -> None:
    """Warn of a column that divides the rows into parts of a data set: training photos overestimate accuracy.

    The cells are the names of parts, or the column has the name of one, such as `is_train`, or one such as `fold`.
    """
    for name, cells in columns.items():
        parts = sorted(set(cells))
        named = is_split_column(name) and len(parts) <= min(_MAX_PARTS, len(cells) - 1)
        if name not in labels and len(parts) > 1 and (named or all(map(is_split, filter(None, parts)))):
            _LOGGER.warning(
                "%s: the column %s divides the photos into %s, and all are used; for one part, keep its rows in a "
                "table of its own",
                file,
                name,
                shorten([part or "(empty)" for part in parts]),
            )


def _check_one_hot(file: Path, columns: Columns, label: str, classes: NetworkClasses) -> None:
    """Check that the label column is not one column of a one-hot table.

    Of the columns of two classes, that of the second holds the right indices, and is accepted.

    Raises:
        DataError: it is.
    """
    marks = [name for name, cells in columns.items() if set(cells) <= {"0", "1", "0.0", "1.0"}]
    is_one_hot = all(sum(map(float, row)) == 1 for row in zip(*(columns[name] for name in marks), strict=True))
    if label in marks and is_one_hot and (len(marks) > 2 or (len(marks) == 2 and classes.index_of(label) == 0)):
        raise DataError(
            f"{file}: one of the columns {shorten(marks)} is 1 for each photo, so {label} does not hold the class; "
            "write the class of each photo into one column"
        )


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
            return labels_in_order(photos, set(filter(None, cells)), classes, of)
        unknown = (each for each in photos if each.class_name and classes.index_of(each.class_name) is None)
        return find_labels(photos, classes, rule, of) or class_error(next(unknown, photos[0]), None, classes)
    except DataError as error:
        return error


def _check_agreement(
    file: Path, paths: Sequence[Path], chosen: tuple[str, Sequence[int]], other: tuple[str, Sequence[object]]
) -> None:
    """Check that photos that are alike in one column have one class in the other, in both directions."""
    index_of: dict[object, int] = {}
    cell_of: dict[int, object] = {}
    for path, index, cell in zip(paths, chosen[1], other[1], strict=True):
        expected = cell if isinstance(cell, int) else index_of.setdefault(cell, index)
        if index != expected or cell != cell_of.setdefault(index, cell):
            raise DataError(
                f"{file}: the columns {chosen[0]} and {other[0]} give different classes, for example for {path}; "
                f"name the right one (`label_column: {other[0]}`)"
            )
