"""Names of a network's classes; needs no torch.

For an architecture that says nothing about outputs, `describe_outputs` imports neither Pillow nor pydantic: `inspect`
starts sooner.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from compress.container.inspection import BUILTIN_NETWORKS
from compress.data.imagenet import imagenet_names
from compress.errors import ConfigError
from compress.model import Model

if TYPE_CHECKING:
    from compress.data.class_index import NetworkClasses


def class_names(model: Model) -> tuple[str, ...]:
    """Return the model's class names, or ImageNet's for a SqueezeNet of 1,000 classes, or `class 0` and so on."""
    names = model.labels or default_class_names(model.architecture, model.classes)
    return names or tuple(f"class {index}" for index in range(model.classes))


def classes_of(model: Model) -> NetworkClasses:
    """Return the classes that labels of photos may have: none if a photo has not one distribution over classes."""
    from compress.data.class_index import NetworkClasses  # noqa: PLC0415
    from compress.networks.factory import output_of  # noqa: PLC0415

    return NetworkClasses(model.classes if output_of(model).is_classes else 0, model.labels)


def describe_outputs(model: Model) -> str:
    """Return `10 classes`, or the compared part of the outputs of another network in words."""
    if not _names_outputs(model.architecture):
        return f"{model.classes:,} classes"
    from compress.networks.factory import output_of  # noqa: PLC0415

    output = output_of(model)
    return f"{model.classes:,} classes" if output.is_classes else output.words


def _names_outputs(architecture: str) -> bool:
    """Return whether the options of a network name the compared part of its outputs; logits otherwise."""
    try:
        return "outputs" in json.loads(architecture.partition(" ")[2] or "{}")
    except (ValueError, TypeError, RecursionError):  # no network can be made of the text
        return False


def check_classifier(model: Model) -> None:
    """Check that a model gives each photo one distribution over classes.

    Raises:
        ConfigError: it does not.
    """
    from compress.networks.factory import output_of  # noqa: PLC0415

    output = output_of(model)
    if not output.is_classes:
        raise ConfigError(
            f"this network is no classifier: its compared outputs are {output.words}; `compare` measures how far a "
            "model is from another, and compress.load returns the network with all of its outputs"
        )


def default_class_names(architecture: str, classes: int) -> tuple[str, ...]:
    """Return ImageNet's class names for a network of this package with 1,000 classes, else none."""
    from compress.networks.factory import INVERTED_RESIDUAL  # noqa: PLC0415

    is_own = architecture.partition(" ")[0] in {*BUILTIN_NETWORKS, INVERTED_RESIDUAL}
    return imagenet_names() if is_own and classes == 1000 else ()
