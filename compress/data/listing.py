"""Lists of photos in folders and CSV files."""

from __future__ import annotations

import codecs
import csv
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

from compress.data.transforms import is_photo
from compress.errors import DataError, first_names

PHOTO_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .webp .bmp .gif .tif .tiff .ppm .pgm .pbm .pnm .avif".split()  # noqa: SIM905
)
_UNREADABLE_SUFFIXES = frozenset(
    ".heic .heif .jxl .jp2 .j2k .svg .psd .xcf .eps .tga .ico .exr .hdr .dcm "  # noqa: SIM905  reads better
    ".dng .cr2 .cr3 .nef .arw .orf .rw2 .raf .srw .pef".split()
)
"""Images that Pillow cannot read, or only by another program."""

_LONGER_SUFFIX = re.compile(r"\.(jpe?g|png|webp|gif|tiff?|bmp)[^a-z]", re.IGNORECASE)
"""Suffix of a photo within names such as `cat.jpg?width=500`, `cat.jpg.1` and `cat.png~`, of downloads and copies."""

_NAMED_DELIMITER = re.compile(r'"?sep=(.)"?')
"""The first line of a table for Excel, before the names of the columns."""

_SYSTEM_FOLDERS = frozenset(["__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"])
"""Folders that archivers and file systems add."""


class ListedPhoto(NamedTuple):
    """A photo and its class name: a number, a synset or any text; None: no class."""

    path: Path
    class_name: str | None


class FolderListing(NamedTuple):
    """The photos of a folder, and the number of other images by suffix; files without suffix may be images."""

    photos: list[ListedPhoto]
    ignored: Mapping[str, int]

    @property
    def ignored_text(self) -> str:
        """Number and suffixes of the ignored files, for messages; empty if there are none."""
        if not self.ignored:
            return ""
        return f" ({sum(self.ignored.values()):,} files ignored: {', '.join(self.ignored)})"


def list_folder(folder: Path) -> FolderListing:
    """List the photos of a folder and its subfolders in sorted order, without hidden files.

    The class name is the top-level subfolder of the photo.

    Raises:
        DataError: a folder cannot be read.
    """
    ignored: Counter[str] = Counter()
    try:
        paths = [Path(path) for path in _walk(str(folder), frozenset(), ignored)]
    except OSError as error:
        raise DataError(f"cannot read the folder {error.filename}: {error.strerror}") from error
    photos = [ListedPhoto(path, None if path.parent == folder else path.relative_to(folder).parts[0]) for path in paths]
    return FolderListing(photos, ignored)


def is_ignored(name: str) -> bool:
    """Return whether a file or folder of this name is hidden, or a folder of the system."""
    return name.startswith(".") or name in _SYSTEM_FOLDERS


def _walk(folder: str, ancestors: frozenset[str], ignored: Counter[str]) -> Iterator[str]:
    """Yield photos, and count other images. Follow links to folders, but not to an ancestor: that would never end."""
    real_path = os.path.realpath(folder)
    if real_path in ancestors:
        return
    with os.scandir(folder) as scanned:
        entries = sorted((entry for entry in scanned if not is_ignored(entry.name)), key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and Path(entry.path).is_dir()):
            yield from _walk(entry.path, ancestors | {real_path}, ignored)
            continue
        suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122  a Path for each is slow
        if suffix in PHOTO_SUFFIXES or (not suffix and is_photo(Path(entry.path))):
            yield entry.path
        elif suffix in _UNREADABLE_SUFFIXES or not suffix:
            ignored[suffix or "no suffix"] += 1
        elif _LONGER_SUFFIX.search(entry.name) and is_photo(Path(entry.path)):
            ignored["other suffixes"] += 1


def list_csv(file: Path) -> tuple[list[Path], dict[str, list[str]]]:
    """Return the photos of a CSV file with a column `path`, and the cells of each other column.

    Paths are relative to the folder of the file, or to the folder with the file's name without its suffix.

    Raises:
        DataError: the file is not CSV, or has no column `path` or no rows.
    """
    rows = _read_csv_rows(file)
    if not rows:
        problem = "it has no rows; its first line names the columns, and each further line is a photo"
        raise DataError(f"no photos in {file}: {problem}")
    names = list(rows[0])
    if "path" not in names:
        raise DataError(
            f"{file} has no column 'path'; its first line, which names the columns, is {', '.join(names)}; rename the "
            "column with the photos to path, or add such a line"
        )
    if nameless := next((row for row in rows if not row["path"].strip()), None):
        raise DataError(f"{file} has a row without a path: {', '.join(nameless.values())}; complete or remove it")
    columns = {name: [row[name].strip() for row in rows] for name in names if name not in ("", "path")}
    paths = [_locate(row["path"].strip(), file) for row in rows]
    if not any(map(os.path.exists, paths)):
        raise DataError(
            f"{file}: none of its {len(paths):,} photos exists, such as {paths[0]}; paths are relative to the folder "
            "of the table"
        )
    return paths, columns


def _locate(path: str, file: Path) -> Path:
    """Return the path of a photo; where no file has such a name, `\\` is `/`, and accents have the other form."""
    folders = file.with_suffix(""), file.parent
    spellings = dict.fromkeys([path, path.replace("\\", "/"), *(normalize(form, path) for form in ("NFC", "NFD"))])
    found = (folder / each for each in spellings for folder in folders)
    try:
        return next((photo for photo in found if photo.is_file()), file.parent / path)
    except OSError:  # a name that is too long; reading the photo gives the reason
        return file.parent / path


def _delimiter(header: str) -> str:
    """Return the character between the cells: the one that divides the header into most columns, by default a comma."""

    def columns(mark: str) -> tuple[bool, int]:
        cells = next(csv.reader([header], delimiter=mark, skipinitialspace=True), [])
        return not any('"' in cell for cell in cells), len(cells)  # a quote in a cell: it was divided at a wrong place

    return max(",;\t|", key=columns)


def _encoding(file: Path) -> str:
    """Return UTF-16 if a file begins with its mark, as Excel's "Unicode text"; UTF-8 otherwise."""
    with file.open("rb") as stream:
        return "utf-16" if stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _numbered_rows(file: Path, stream: Iterable[str], delimiter: str, first: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the first line of each row, and its cells; `first` is the number of the first line of all.

    Raises:
        DataError: a quote opens a cell and does not close it. The cell would take the rows below.
    """
    lines: list[str] = []  # of the row

    def recorded() -> Iterator[str]:
        for line in stream:
            lines.append(line)
            yield line

    rows = csv.reader(recorded(), delimiter=delimiter, skipinitialspace=True)
    blanks = re.compile(rf'(?<=")[ \t]+(?=[{re.escape(delimiter)}\r\n]|$)')  # an error if strict, after a cell
    try:
        for cells in rows:
            if len(lines) > 1:  # what is wrong in one line takes no other
                checked = (blanks.sub("", line) for line in lines)
                list(csv.reader(checked, delimiter=delimiter, skipinitialspace=True, strict=True))
            yield first, cells
            first += len(lines)
            lines.clear()
    except csv.Error as error:
        raise DataError(
            f'{file}, line {first}: a quote (") opens a cell and does not close it; remove it, or write the cell in '
            'quotes, and "" for each quote in it'
        ) from error


def _read_csv_rows(file: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file by column name, in lower case, without empty rows.

    Raises:
        DataError: the file is no CSV of UTF-8 or UTF-16, the rows differ in length, or two columns have one name.
    """
    try:
        if file.exists() and not file.is_file():  # a named pipe would wait for a writer
            raise OSError("not a file")
        with file.open(encoding=_encoding(file), newline="") as stream:
            first = stream.readline()
            named = _NAMED_DELIMITER.fullmatch(first.strip("\r\n"))
            delimiter = named[1] if named else _delimiter(first)
            if not named:  # else the columns are in the next line
                stream.seek(0)
            numbered = _numbered_rows(file, stream, delimiter, 1 + bool(named))
            columns = [column.strip().lower() for column in next(numbered, (1, []))[1]]
            if repeated := [name for name in columns if name and columns.count(name) > 1]:
                raise DataError(f"{file} has two columns {repeated[0]!r}; rename one")
            rows = []
            for line, cells in ((line, cells) for line, cells in numbered if any(map(str.strip, cells))):
                if len(cells) != len(columns):
                    expected = f"expected {len(columns)}, as in the line that names the columns: {first_names(columns)}"
                    raise DataError(f"{file}, line {line}: {len(cells)} cells, {expected}")
                rows.append(dict(zip(columns, cells, strict=True)))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {file} as CSV in UTF-8 or UTF-16: {error}") from error
    return rows
