"""A finished model on photos: how often it is right, and what it sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax
from torch import nn

from compress.data.sources import source_at
from compress.data.transforms import read_photo, to_input, to_pixels
from compress.errors import DataError
from compress.evaluation import metrics
from compress.evaluation.results import Accuracy
from compress.model import Model
from compress.networks.modules import check_input, to_module
from compress.runtime.devices import find_device
from compress.runtime.progress import Progress, silent

Guess = tuple[str, float]


def evaluate_model(
    model: Model, data: Path, limit: int | None, device: str | None, progress: Progress = silent
) -> tuple[Accuracy, tuple[str, ...]]:
    """Measure top-1 and top-5.

    Args:
        model: what to measure.
        data: a folder with a subfolder a class, a CSV file with path and label, or a folder of idx files.
        limit: at most so many photos, evenly spread; None for all.
        device: where it runs; a GPU if there is one, unless told otherwise.
        progress: shows how far it is.
    Returns:
        the accuracy, and the photos that could not be read.
    Raises:
        DataError: the photos have no labels, or cannot be read.
        WeightsError: the network cannot take photos as the model wants them.
    """
    network = on_device(model, device)
    with progress("reading photos", 0) as advance:
        photos = source_at(data, limit).load(
            model.preprocessing, "validation", classes=model.classes, progress=lambda done, total: advance(1)
        )
    if photos.labels is None:
        raise DataError(f"{data}: these photos have no labels; give a folder with a subfolder a class, or a CSV file")
    accuracy = metrics.accuracy(metrics.run(network, photos, model.preprocessing, progress))
    assert accuracy is not None  # there are labels
    return accuracy, photos.skipped


def predict_photos(
    model: Model, photos: Sequence[Path], device: str | None, first: int = 5
) -> Iterator[tuple[Path, list[Guess]]]:
    """Yield, for each photo, the likeliest classes with their probabilities, the likeliest first.

    Raises:
        DataError: a photo cannot be read.
        WeightsError: the network cannot take photos as the model wants them.
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
            probabilities = softmax(network(inputs).cpu().numpy()[0].astype(np.float64))
        best = np.argsort(-probabilities, kind="stable")[:first]
        yield photo, [(names[place], float(probabilities[place])) for place in best]


def class_names(model: Model) -> tuple[str, ...]:
    """Return a name for each class: the model's own, or numbers."""
    return model.labels or tuple(f"class {place}" for place in range(model.classes))


def on_device(model: Model, device: str | None) -> nn.Module:
    """Return a model's network, ready to run where it is to run.

    Raises:
        WeightsError: it cannot take photos as the model wants them.
        ConfigError: there is no such device.
    """
    check_input(model)
    return to_module(model).to(find_device(device))
