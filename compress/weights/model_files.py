"""Models from files on the command line."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from compress import container
from compress.builtin_models import EMBEDDED, find_model
from compress.errors import ConfigError, WeightsError, format_errors_of
from compress.model import TORCHVISION, Model, trust_factory
from compress.networks.description_text import METADATA_KEY, parse_description
from compress.networks.factory import NetworkFactory, is_factory, names_in_network
from compress.networks.float_values import to_float32
from compress.tensors.forms import Dense
from compress.weights.checkpoint_file import CHECKPOINT_SUFFIXES, Checkpoint, is_checkpoint, read_checkpoint
from compress.weights.embedded_weights import EmbeddedWeights
from compress.weights.factory_models import load_checkpoint, model_of
from compress.weights.squeezenet_model import load_squeezenet

_LOGGER = logging.getLogger(__name__)

_ADVICE = "run a pipeline without stages, and use its .sqz file"
"""Advice for checkpoints of networks that take other photos."""


def load_named_model(
    name: str, architecture: str | None = None, factory: str | None = None, like: Model | None = None
) -> Model:
    """Return the installed float weights (`embedded`), or the model of a file; see `load_model`."""
    if name != EMBEDDED:
        return load_model(find_model(name), architecture, factory, like)
    return _of_architecture(EmbeddedWeights().load(), architecture, name)


def load_model(
    path: Path, architecture: str | None = None, factory: str | None = None, like: Model | None = None
) -> Model:
    """Read a model from a `.sqz` file or a checkpoint.

    A checkpoint that `decompress` wrote describes its network. Of any other one, the network is `architecture` or is
    made by `factory`.

    Args:
        path: the file.
        architecture: of a SqueezeNet's checkpoint; None: decided by the kernels of its first layer. If the file names
            its network, it must be the same.
        factory: function that may make the network, `package.module:function`.
        like: model of the same function, which has the arguments, the preprocessing and the class names that a
            checkpoint lacks; None: no arguments, torchvision's preprocessing, no names.
    Raises:
        FormatError: the `.sqz` file is damaged.
        WeightsError: the checkpoint is unreadable or of another network.
        ConfigError: unknown suffix or architecture, the file names another function, or the function's network does not
            accept such photos.
    """
    if path.suffix.lower() == ".sqz":
        return _of_architecture(_trusted(container.read(path), factory, path), architecture, path)
    if not is_checkpoint(path):
        allowed = ", ".join([".sqz", *CHECKPOINT_SUFFIXES])
        raise ConfigError(f"unknown format {path.suffix!r}", file=path, allowed=allowed)
    checkpoint = read_checkpoint(path)
    if METADATA_KEY in checkpoint.metadata:
        return _of_architecture(_trusted(_described_model(checkpoint), factory, path), architecture, path)
    if factory and not architecture:
        model = _factory_model(checkpoint, factory, like)
    else:
        model = _squeezenet(checkpoint, architecture)
    for note in model.source_notes:  # the report of a run has them
        _LOGGER.info("%s: %s", path, note)
    return model


def _trusted(model: Model, factory: str | None, path: Path) -> Model:
    """Return the model with its function trusted; the error for another function names the file."""
    try:
        return trust_factory(model, factory)
    except ConfigError as error:
        raise ConfigError(error.problem, file=path, key=error.key) from error


def _squeezenet(checkpoint: Checkpoint, architecture: str | None) -> Model:
    """Return the SqueezeNet in a checkpoint; None: the one that its first layer hints at."""
    try:
        return load_squeezenet(architecture or _guess(checkpoint), checkpoint, TORCHVISION)
    except WeightsError as error:
        remedy = "; if it is a network of your own, add --factory package.module:function" if not architecture else ""
        raise WeightsError(f"{error}{remedy}") from error


def _of_architecture(model: Model, architecture: str | None, name: Path | str) -> Model:
    if architecture not in {None, model.architecture}:
        raise ConfigError(f"{name} holds {model.architecture}, not {architecture}", key="--architecture")
    return model


def _described_model(checkpoint: Checkpoint) -> Model:
    """Return the model of a checkpoint that `decompress` wrote."""
    with format_errors_of(checkpoint.path):
        model = parse_description(checkpoint.metadata[METADATA_KEY])
    own_names = names_in_network(model.architecture, model.tensors.keys())
    in_order = [name for name in own_names if name in checkpoint.tensors]  # `.safetensors` sorts them
    tensors: dict[str, Dense] = {}
    for name in (*in_order, *checkpoint.tensors):
        tensors.setdefault(own_names.get(name, name), Dense(to_float32(name, checkpoint.tensors[name])))
    return replace(model, tensors=tensors)


def _factory_model(checkpoint: Checkpoint, function: str, like: Model | None) -> Model:
    """Return the model of another program's checkpoint."""
    if like and not (is_factory(like.architecture) and NetworkFactory.parse(like.architecture).function == function):
        like = None
    made = NetworkFactory.parse(like.architecture) if like else NetworkFactory(function)
    network = made.call()
    notes = load_checkpoint(network, checkpoint, function)
    try:
        model = model_of(network, made, like.preprocessing if like else TORCHVISION)
    except ConfigError as error:
        problem = f"{error.problem}; a checkpoint has no preprocessing of its own: {_ADVICE}"
        raise ConfigError(problem, file=checkpoint.path) from error
    if not like:  # a network with a global pool accepts photos of any size
        assumed = "photos are resized and cropped to 224 x 224, as torchvision does"
        _LOGGER.info("%s has no preprocessing: %s; for other photos, %s", checkpoint.path, assumed, _ADVICE)
    return replace(model, labels=like.labels if like else (), source_notes=notes)


def _guess(checkpoint: Checkpoint) -> str:
    """Return the SqueezeNet with the kernels of the first layer."""
    first = (tensor for name, tensor in checkpoint.tensors.items() if name.endswith("features.0.weight"))
    return "squeezenet1_0" if any(tensor.shape[-1:] == (7,) for tensor in first) else "squeezenet1_1"
