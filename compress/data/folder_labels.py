"""Labels of the photos of a folder, from the names of its subfolders."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from compress.data.class_index import LabelRule, Labels, NetworkClasses, find_labels, is_split, labels_in_order, shorten
from compress.data.listing import ListedPhoto, is_ignored
from compress.errors import DataError

_LOGGER = logging.getLogger(__name__)

_CONTENT = re.compile(r"(images?|imgs?|photos?|pictures?|masks?|labels?|annotations?)", re.IGNORECASE)
"""Names of folders by what their files are; `mask` alone may be a class."""

_OF = "of the subfolders"


def folder_labels(
    photos: Sequence[ListedPhoto], folder: Path, classes: NetworkClasses, rule: LabelRule, *, required: bool
) -> Labels | None:
    """Return the labels of a folder's photos; None if they have none.

    Subfolders are classes if they have the names of the network's classes, class indices or synsets, or if there are as
    many as classes of a network without class names, and none has only other files than photos. Far fewer subfolders,
    none of them named like a class, are no classes, unless the folders in them are.

    Args:
        photos: of the folder.
        folder: parent of the subfolders.
        classes: of the network.
        rule: how subfolders and classes are matched.
        required: doubt is an error even if the subfolders are not as many as the classes; training and test photos
            together are a warning.
    Raises:
        DataError: it is unclear to which class the photos belong.
    """
    labels = _find_labels(photos, folder, classes, rule, required=required)
    if labels and required:
        _warn_of_parts(photos, folder)
    return labels


def _find_labels(
    photos: Sequence[ListedPhoto], folder: Path, classes: NetworkClasses, rule: LabelRule, *, required: bool
) -> Labels | None:
    names = {photo.class_name for photo in photos if photo.class_name}
    if not names and rule == "auto":
        return None
    subfolders = {path.name for path in folder.iterdir() if path.is_dir() and not is_ignored(path.name)}
    if rule == "order":
        return labels_in_order(photos, subfolders, classes, _OF)
    if labels := find_labels(photos, classes, rule, _OF):
        return labels
    complete = len(subfolders) == classes.count
    others = sorted(name for name in subfolders - names if _has_files(folder / name))
    if complete and not classes.names and not _are_parts(names) and not others:
        return labels_in_order(photos, subfolders, classes, _OF)
    in_doubt = all(photo.class_name for photo in photos) and (
        2 * len(subfolders) >= classes.count or _are_splits(names) or any(classes.has_names([name]) for name in names)
    )
    deeper = _deeper_classes(photos, folder, classes) if required and not _are_parts(names) and not others else ()
    if complete or (required and in_doubt) or deeper:
        problem = _deeper_problem(folder, names, deeper) if deeper else _problem(names, subfolders, others, classes)
        raise DataError(f"{folder}: {problem}, or use the photos without labels (`labels: none`)")
    return None


def _warn_of_parts(photos: Sequence[ListedPhoto], folder: Path) -> None:
    """Warn of class folders that contain parts of a data set: training photos overestimate accuracy."""
    paths = [photo.path.relative_to(folder).parts for photo in photos]
    parts = sorted({inside[1] for inside in paths if len(inside) > 2})
    if len(parts) > 1 and all(map(is_split, parts)):
        _LOGGER.warning(
            "%s: the class folders contain %s, and the photos of all are used; for one part, make class folders of its "
            "own, or a table",
            folder,
            shorten(parts),
        )


def _are_splits(names: Collection[str]) -> bool:
    """Return whether all or at least two subfolders are parts of a data set; beside two, none is a class."""
    splits = [is_split(name) for name in names]
    return all(splits) or splits.count(True) >= 2


def _are_parts(names: Collection[str]) -> bool:
    """Return whether subfolders are parts of a data set: splits, or `images` and `masks`."""
    return _are_splits(names) or (len(names) > 1 and all(map(_CONTENT.fullmatch, names)))


def _deeper_classes(photos: Sequence[ListedPhoto], folder: Path, classes: NetworkClasses) -> Collection[str]:
    """Return the names of the folders in the subfolders if they are those of the classes; none otherwise."""
    paths = [photo.path.relative_to(folder).parts for photo in photos]
    names = {parts[1] for parts in paths if len(parts) > 2}
    if not names or any(len(parts) <= 2 for parts in paths):
        return ()
    known = classes.has_names(names) if classes.names else len(names) == classes.count and not _are_parts(names)
    return names if known or names <= classes.by_synset.keys() else ()


def _deeper_problem(folder: Path, names: Collection[str], deeper: Collection[str]) -> str:
    """Return that the folders in the subfolders `names` are classes, and what to do."""
    return (
        f"the class folders are one level deeper ({shorten(sorted(deeper))}); name the folder that contains them in "
        f"the path, such as {folder / min(names)}"
    )


def _has_files(folder: Path) -> bool:
    return any(not is_ignored(path.name) for path in folder.iterdir())


def _problem(names: set[str], subfolders: set[str], others: Sequence[str], classes: NetworkClasses) -> str:
    """Return why subfolders are no classes, and what to do; `others` have files, but no photos."""
    order = ", or take the subfolders in sorted order (`labels: order`)" if len(subfolders) == classes.count else ""
    if _are_parts(names):
        parts = f"the subfolders {shorten(sorted(names))} are parts of a data set, not classes"
        return f"{parts}; name one of them in the path{order}"
    if others and order and not classes.names:
        return (
            f"there are files, but no photos, in {shorten(others)}, so the subfolders may be no classes; name the "
            f"folder that contains the class folders, or move these files away{order}"
        )
    if not classes.names:
        return (
            f"{len(subfolders):,} subfolders ({shorten(sorted(subfolders))}) for {classes.count:,} classes; add or "
            f"remove subfolders until there is one for each class{order}"
        )
    unknown = sorted(name for name in names if not classes.has_names([name]))
    if unknown and all(map(classes.is_of_several, unknown)):
        return (
            f"the subfolders {shorten(unknown)} have a name of several classes of the network; name the photos and "
            f"their class indices in a CSV file with columns path and index{order}"
        )
    missing = [name for name in classes.names if not any(NetworkClasses(1, [name]).has_names([each]) for each in names)]
    without = f"; classes without photos: {shorten(missing)}" if missing else ""
    if several := [name for name in unknown if classes.is_of_several(name)]:
        without += f"; {shorten(several)} is the name of several classes"
    return (
        f"the subfolders {shorten(unknown)} have no name of a class of the network{without}; rename the "
        f"subfolders{order}"
    )
