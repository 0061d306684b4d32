"""Class names of networks whose files have none; needs no torch."""

from __future__ import annotations

from compress.container.inspection import BUILTIN_NETWORKS
from compress.data.imagenet import imagenet_names


def default_class_names(architecture: str, classes: int) -> tuple[str, ...]:
    """Return ImageNet's class names for a built-in network of 1,000 classes, else none."""
    return imagenet_names() if architecture in BUILTIN_NETWORKS and classes == 1000 else ()
