"""Names of a network's classes; needs no torch."""

from __future__ import annotations

from compress.container.inspection import BUILTIN_NETWORKS
from compress.data.imagenet import imagenet_names
from compress.model import Model
from compress.networks.factory import INVERTED_RESIDUAL


def class_names(model: Model) -> tuple[str, ...]:
    """Return the model's class names, or ImageNet's for a SqueezeNet of 1,000 classes, or `class 0` and so on."""
    names = model.labels or default_class_names(model.architecture, model.classes)
    return names or tuple(f"class {index}" for index in range(model.classes))


def default_class_names(architecture: str, classes: int) -> tuple[str, ...]:
    """Return ImageNet's class names for a network of this package with 1,000 classes, else none."""
    is_own = architecture.partition(" ")[0] in {*BUILTIN_NETWORKS, INVERTED_RESIDUAL}
    return imagenet_names() if is_own and classes == 1000 else ()
