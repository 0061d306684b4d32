"""Accuracy and predictions of a finished model on photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import nn

from compress.data.photos import Photos
from compress.data.sources import source_at
from compress.data.transforms import read_photo, to_input, to_pixels
from compress.errors import DataError
from compress.evaluation import metrics
from compress.evaluation.results import Accuracy, Prediction
from compress.model import Model
from compress.networks.modules import check_input, to_module
from compress.networks.squeezenet_weights import default_class_names
from compress.runtime.devices import find_device
from compress.runtime.progress import Progress, no_progress


def evaluate_model(
    model: Model, data: Path, limit: int | None, device: str | None, progress: Progress = no_progress
) -> tuple[Accuracy, tuple[str, ...]]:
    """Return the accuracy and the photos that could not be read; see `compare_models` for the arguments.

    Raises:
        DataError: the photos have no labels, or cannot be read.
        WeightsError: the model's preprocessing does not fit its network.
    """
    network = on_device(model, device)
    photos = read_labeled_photos(model, data, limit, None, progress)
    accuracy = metrics.accuracy(metrics.run(network, photos, model.preprocessing, progress))
    assert accuracy is not None  # there are labels
    return accuracy, photos.skipped


def read_labeled_photos(model: Model, data: Path, limit: int | None, cache: Path | None, progress: Progress) -> Photos:
    """Return labeled photos in a model's preprocessing; see `compare_models` for the arguments.

    Raises:
        DataError: the photos have no labels, or cannot be read.
    """
    source = source_at(data, limit)
    photos = source.load(model.preprocessing, "validation", classes=model.classes, cache=cache, progress=progress)
    if photos.labels is None:
        raise DataError(
            f"{data}: these photos have no labels; give a folder with one subfolder for each class, or a CSV file"
        )
    return photos


def predict_photos(
    model: Model, photos: Sequence[Path], device: str | None, k: int = 5
) -> Iterator[tuple[Path, tuple[Prediction, ...]]]:
    """Yield each photo with its `k` most probable classes, best first.

    Raises:
        DataError: a photo cannot be read.
        WeightsError: the model's preprocessing does not fit its network.
    """
    network = on_device(model, device)
    names = class_names(model)
    for photo in photos:
        try:
            pixels = to_pixels(read_photo(photo), model.preprocessing)[None]
        except DataError as error:
            raise DataError(f"{photo}: {error}") from error
        with torch.inference_mode():
            inputs = torch.from_numpy(to_input(pixels, model.preprocessing)).to(next(network.parameters()).device)
            logits = network(inputs).cpu().numpy()[0]
        yield photo, metrics.predictions(logits, names, k)


def class_names(model: Model) -> tuple[str, ...]:
    """Return the model's class names, or ImageNet's for a SqueezeNet of 1,000 classes, or `class 0` and so on."""
    names = model.labels or default_class_names(model.architecture, model.classes)
    return names or tuple(f"class {index}" for index in range(model.classes))


def on_device(model: Model, device: str | None) -> nn.Module:
    """Return a model's network on a device; None: a GPU if there is one.

    Raises:
        WeightsError: the model's preprocessing does not fit its network.
        ConfigError: there is no such device.
    """
    network = to_module(model)
    check_input(network, model)
    return network.to(find_device(device))
