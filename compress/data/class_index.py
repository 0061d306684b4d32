"""Class indices from class names: of the network, as text in sorted order, as numbers, as synsets."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from compress.data.imagenet import imagenet_synsets
from compress.data.listing import ListedPhoto
from compress.errors import DataError, first_names
from compress.runtime.file_names import escape_undecodable

LabelRule = Literal["auto", "names", "order", "none"]
"""Meaning of the names of class folders: `names` of the network's classes, or classes in sorted `order`."""

_SPLIT = re.compile(
    r"(train(ing)?|val(id|idation)?|dev|test(ing)?|eval(uation)?|holdout|calibration|fold|split)"
    r"[\s_-]*(set|data|split|images|photos)?[\s_-]*\d*",
    re.IGNORECASE,
)
"""Names of parts of a data set: `train`, `Validation`, `test_set`, `val2017`, `fold1`."""

_SPLIT_COLUMN = re.compile(
    rf"(is|in|for)?[\s_-]*({_SPLIT.pattern})|k[\s_-]?folds?|(sub|data)?set|partition|usage", re.IGNORECASE
)
"""Names of columns that say in which part of a data set a photo is: `split`, `is_train`, `kfold`."""

_NUMBER = re.compile(r"([0-9]{1,9})(\.0)?")
"""A class index. Pandas writes `3.0` if another cell of the column is empty."""

_SYNSET = re.compile(r"n[0-9]{8}")
_IMAGENET_CLASSES = 1000
_SHOWN_NAMES = 3


@dataclass(frozen=True)
class NetworkClasses:
    """The classes of a network.

    Attributes:
        count: number of classes; 0: photos have no labels, as those of a segmentation network.
        names: in class order; empty: unknown.
    """

    count: int
    names: Sequence[str] = ()

    def has_names(self, names: Iterable[str]) -> bool:
        """Return whether all of these are names of classes; case, `_`, `-` and the form of accents do not matter."""
        return all(_normalize(name) in self._by_name for name in names)

    def index_of(self, name: str) -> int | None:
        """Return the index of a class by its name; None if no class or several have it."""
        return self._by_name.get(_normalize(name))

    def is_of_several(self, name: str) -> bool:
        """Return whether several classes have this name, such as ImageNet's `missile` and `sunglasses`."""
        return self._occurrences[_normalize(name)] > 1

    @cached_property
    def _occurrences(self) -> Counter[str]:
        return Counter(map(_normalize, self.names))

    @cached_property
    def _by_name(self) -> Mapping[str, int]:
        names = map(_normalize, self.names)
        return {name: index for index, name in enumerate(names) if self._occurrences[name] == 1}

    @cached_property
    def by_synset(self) -> Mapping[str, int]:
        """Class index by synset, if the classes are ImageNet's."""
        synsets = imagenet_synsets() if self.count == _IMAGENET_CLASSES else ()
        return {synset: index for index, synset in enumerate(synsets)}


class Labels(NamedTuple):
    """Labels of photos.

    Attributes:
        indices: class index of each photo.
        origin: how they were found, for reports.
        class_names: in class order, if the order of the names was taken for the network's classes.
    """

    indices: list[int]
    origin: str
    class_names: tuple[str, ...] = ()


def is_split(name: str) -> bool:
    """Return whether this is the name of a part of a data set, such as `train`."""
    return _SPLIT.fullmatch(name) is not None


def is_split_column(name: str) -> bool:
    """Return whether a column of this name says in which part of a data set a photo is."""
    return _SPLIT_COLUMN.fullmatch(name) is not None


def find_labels(photos: Sequence[ListedPhoto], classes: NetworkClasses, rule: LabelRule, of: str) -> Labels | None:
    """Return the labels of photos whose class names are names of classes, numbers or synsets; None if they are not.

    Args:
        photos: with class names.
        classes: of the network.
        rule: `names` takes no numbers and synsets.
        of: place of the names, for `Labels.origin`.
    Raises:
        DataError: a photo has no class, or not one of the network's.
    """
    names = {photo.class_name for photo in photos if photo.class_name}
    found: dict[str, int | None]
    if rule == "names" or (classes.names and classes.has_names(names)):
        found = {name: classes.index_of(name) for name in names}
        how = f"class names {of} ({_examples(found)})"
    elif any(_NUMBER.fullmatch(name) or _SYNSET.fullmatch(name) for name in names):
        numbers = {name: match for name in names if (match := _NUMBER.fullmatch(name))}
        found = {name: int(numbers[name][1]) if name in numbers else classes.by_synset.get(name) for name in names}
        how = f"{'class indices' if len(numbers) == len(names) else 'synsets'} {of}"
    else:
        return None
    return Labels([_checked(photo, found, classes) for photo in photos], how)


def labels_in_order(photos: Sequence[ListedPhoto], names: Collection[str], classes: NetworkClasses, of: str) -> Labels:
    """Return the labels of photos whose classes are all `names` in sorted order, as in torchvision's ImageFolder.

    Raises:
        DataError: there are more or fewer names than classes, or a photo has no class.
    """
    if len(names) != classes.count:
        raise DataError(
            f"`labels: order` needs one name for each of the {classes.count:,} classes, and there are {len(names):,} "
            f"{of}: {shorten(sorted(names))}"
        )
    in_order = sorted(names)
    found = {name: index for index, name in enumerate(in_order)}
    class_names = tuple(" ".join(escape_undecodable(name).split()) for name in in_order)
    indices = [_checked(photo, found, classes) for photo in photos]
    return Labels(indices, f"sorted order {of} ({_examples(found)})", class_names)


def shorten(names: Collection[str]) -> str:
    """Return the first names as text."""
    return first_names(names, _SHOWN_NAMES)


def _normalize(name: str) -> str:
    # macOS writes an accent of a file name as a character of its own.
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFC", name).strip()).casefold()


def _examples(found: Mapping[str, int | None]) -> str:
    return shorten([f"{name} is {found[name]}" for name in sorted(found)])


def _checked(photo: ListedPhoto, found: Mapping[str, int | None], classes: NetworkClasses) -> int:
    index = found.get(photo.class_name or "")
    if index is not None and 0 <= index < classes.count:
        return index
    raise class_error(photo, index, classes)


def class_error(photo: ListedPhoto, index: int | None, classes: NetworkClasses) -> DataError:
    """Return the error for a photo with no class of the network."""
    name = photo.class_name
    if not name:
        problem = "has no class, but other photos have one"
    elif index is None and classes.is_of_several(name):
        problem = f"has the class {name!r}, a name of several classes of the network"
    elif index is None:
        neither = "no class name, number nor" if classes.names else "neither a number nor a"
        problem = f"has the class {name!r}, which is {neither} known synset of {classes.count:,} classes"
    else:
        problem = f"has the class {name}, but the network's classes are 0 to {classes.count - 1:,}"
    return DataError(
        f"{photo.path} {problem}; correct the class, name the photos and their class indices in a CSV file with columns"
        " path and index, take the sorted names for the network's classes (`labels: order`), or use the photos without"
        " labels (`labels: none`)"
    )
