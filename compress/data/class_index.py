"""Class indices from the class names of folders and CSV files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from compress.data.imagenet import imagenet_synsets
from compress.data.listing import ListedPhoto, read_csv_rows
from compress.errors import DataError

_NUMBER = re.compile(r"[0-9]{1,9}")
_SYNSET = re.compile(r"n[0-9]{8}")
_IMAGENET_CLASSES = 1000


def read_synsets(file: Path) -> dict[str, int]:
    """Read the class index of each synset from a CSV file with columns `index` and `synset`.

    Raises:
        DataError: a column is missing, or an index is not a number.
    """
    try:
        return {row["synset"].strip(): int(row["index"]) for row in read_csv_rows(file)}
    except (KeyError, ValueError):
        raise DataError(f"{file} must have the columns 'index', a number, and 'synset'") from None


def class_indices(
    photos: Sequence[ListedPhoto], classes: int, synsets: Mapping[str, int] | None, folder: Path | None = None
) -> list[int] | None:
    """Return the class index of each photo; None if the photos have no classes.

    Subfolders are classes if the name of one is a number or a synset, or if there are as many as classes. Their sorted
    names are then the classes, as in torchvision's ImageFolder.

    Args:
        photos: of one folder or CSV file.
        classes: number of classes of the network.
        synsets: class index of each synset; None: ImageNet's, for 1,000 classes.
        folder: parent of the class subfolders; None: the photos are of a CSV file.
    Raises:
        DataError: a photo has no class, or not one of the network's.
    """
    names = {photo.class_name for photo in photos if photo.class_name is not None}
    if not names:
        return None
    indices = synsets
    if folder:
        subfolders = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        complete = len(subfolders) == classes
        if not complete and not any(_NUMBER.fullmatch(name) or _SYNSET.fullmatch(name) for name in names):
            return None
        if complete and synsets is None:
            indices = {name: index for index, name in enumerate(subfolders)}
    if indices is None:
        imagenet = imagenet_synsets() if classes == _IMAGENET_CLASSES else ()
        indices = {synset: index for index, synset in enumerate(imagenet)}
    return [_class_index(photo, indices, classes) for photo in photos]


def _class_index(photo: ListedPhoto, indices: Mapping[str, int], classes: int) -> int:
    name = photo.class_name or ""
    index = int(name) if _NUMBER.fullmatch(name) else indices.get(name)
    if index is not None and 0 <= index < classes:
        return index
    if not name:
        problem = "has no class, but other photos have one"
    elif index is None:
        problem = f"has the class {name!r}, which is neither a number nor a known synset of {classes:,} classes"
    else:
        problem = f"has the class {name}, but the network's classes are 0 to {classes - 1:,}"
    raise DataError(
        f"{photo.path} {problem}; correct the class, give the class of each synset (`synsets:`, a CSV file with columns"
        " index and synset), or use the photos without labels (`labels: none`)"
    )
