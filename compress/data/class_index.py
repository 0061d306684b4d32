"""From what a folder or a CSV file calls a class to its index in the network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from compress.data.imagenet import imagenet_synsets
from compress.data.listing import Listed, csv_rows
from compress.errors import DataError

NUMBER = re.compile(r"[0-9]{1,9}")
SYNSET = re.compile(r"n[0-9]{8}")
IMAGENET_CLASSES = 1000


def read_synsets(file: Path) -> dict[str, int]:
    """Read which class each synset is from a CSV file with columns `index` and `synset`.

    Raises:
        DataError: it is no such CSV file.
    """
    try:
        return {row["synset"].strip(): int(row["index"]) for row in csv_rows(file)}
    except (KeyError, ValueError):
        raise DataError(f"{file} must have the columns 'index', a number, and 'synset'") from None


def csv_labels(listed: Sequence[Listed], classes: int, synsets: Mapping[str, int] | None) -> list[int] | None:
    """Return the class index of each photo of a CSV file, or None where it has no column of labels.

    Raises:
        DataError: a label is not one of the network's classes.
    """
    if all(photo.class_name is None for photo in listed):
        return None
    return [_label(photo, _known_synsets(synsets, classes), classes) for photo in listed]


def folder_labels(
    listed: Sequence[Listed], folder: Path, classes: int, synsets: Mapping[str, int] | None
) -> list[int] | None:
    """Return the class index of each photo of a folder, or None where its subfolders are no classes.

    They are classes if one is called by a number or a synset, or if there are as many as the network has classes:
    then the sorted order of their names is the order of the classes, as in torchvision's ImageFolder.

    Raises:
        DataError: a photo is in no subfolder although these are classes, or in one that is none of the network's.
    """
    names = {photo.class_name for photo in listed if photo.class_name is not None}
    subfolders = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    complete = len(subfolders) == classes
    if not names or not (complete or any(NUMBER.fullmatch(name) or SYNSET.fullmatch(name) for name in names)):
        return None
    if synsets is None and complete:
        known: Mapping[str, int] = {name: index for index, name in enumerate(subfolders)}
    else:
        known = _known_synsets(synsets, classes)
    return [_label(photo, known, classes) for photo in listed]


def _known_synsets(synsets: Mapping[str, int] | None, classes: int) -> Mapping[str, int]:
    if synsets is not None:
        return synsets
    return {synset: index for index, synset in enumerate(imagenet_synsets())} if classes == IMAGENET_CLASSES else {}


def _label(photo: Listed, known: Mapping[str, int], classes: int) -> int:
    name = photo.class_name or ""
    index = int(name) if NUMBER.fullmatch(name) else known.get(name)
    if index is not None and 0 <= index < classes:
        return index
    if not name:
        problem = "has no class, others have"
    elif index is None:
        problem = f"has the class {name!r}, which is no number and no synset known for {classes:,} classes"
    else:
        problem = f"has the class {name}, but the network's classes run from 0 to {classes - 1:,}"
    raise DataError(
        f"{photo.path} {problem}; correct it, say which class each synset is (`synsets:`, a CSV file with columns"
        " index and synset), or use the photos without labels (`labels: none`)"
    )
