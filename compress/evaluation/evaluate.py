"""Accuracy and predictions of a finished model on photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import nn

from compress.data.class_index import LabelRule
from compress.data.collect import PhotoSource
from compress.data.listing import PHOTO_SUFFIXES, list_folder
from compress.data.photos import Photos
from compress.data.sources import source_at
from compress.data.transforms import read_photo, to_pixels
from compress.errors import DataError
from compress.evaluation import metrics
from compress.evaluation.label_order import warn_of_other_order
from compress.evaluation.repeated_photos import warn_of_repeated_photos
from compress.evaluation.results import Accuracy, Prediction
from compress.model import Model
from compress.networks.modules import check_input, to_module
from compress.networks.network_class_names import check_classifier, class_names, classes_of
from compress.runtime.devices import find_device
from compress.runtime.file_names import escape_undecodable
from compress.runtime.progress import Progress, no_progress


def raise_error(error: DataError) -> None:
    """Raise an error: the default of `predict_photos`."""
    raise error


class Evaluation(NamedTuple):
    """Accuracy on labeled photos.

    Attributes:
        accuracy: top-1 and top-5.
        data: description of the photos and their labels.
        skipped: unreadable photos, each with the reason.
    """

    accuracy: Accuracy
    data: str
    skipped: tuple[str, ...]


def evaluate_model(
    model: Model,
    data: Path,
    limit: int | None,
    device: str | None,
    progress: Progress = no_progress,
    *,
    labels: LabelRule = "auto",
    label_column: str | None = None,
) -> Evaluation:
    """Measure the accuracy of a model; see `compare_models` for the arguments.

    Raises:
        ConfigError: the network is no classifier.
        DataError: the photos have no labels, or cannot be read.
        WeightsError: the model's preprocessing does not fit its network.
    """
    check_classifier(model)
    network = on_device(model, device)
    photos = read_labeled_photos(model, source_at(data, limit, labels, label_column), None, progress)
    warn_of_repeated_photos(photos)
    outputs = metrics.run(network, photos, model.preprocessing, progress)
    warn_of_other_order(outputs)
    accuracy = metrics.accuracy(outputs)
    assert accuracy is not None  # there are labels
    return Evaluation(accuracy, escape_undecodable(photos.description), tuple(map(escape_undecodable, photos.skipped)))


def read_labeled_photos(model: Model, source: PhotoSource, cache: Path | None, progress: Progress) -> Photos:
    """Return the labeled photos of a source in a model's preprocessing.

    `cache` is as in `PhotoSource.load`.

    Raises:
        DataError: the photos have no labels, or cannot be read.
    """
    listed = source.list_photos("validation", classes_of(model))
    if listed.labels is None:
        raise DataError(
            f"{listed.kind}: these photos have no labels; give a folder with one subfolder for each class, or a CSV "
            "file"
        )
    return listed.decode(model.preprocessing, cache, progress)


def predict_photos(
    model: Model,
    paths: Sequence[Path],
    device: str | None,
    k: int = 5,
    on_error: Callable[[DataError], None] = raise_error,
) -> Iterator[tuple[Path, tuple[Prediction, ...]]]:
    """Yield each photo with its `k` most probable classes, best first.

    Args:
        model: the model.
        paths: photos, and folders of photos.
        device: where the network runs; None: a GPU if there is one.
        k: number of classes.
        on_error: called for each photo that cannot be read, and each folder without photos.
    Raises:
        ConfigError: the network is no classifier.
        DataError: as `on_error` does, or the network fails on a photo.
        WeightsError: the model's preprocessing does not fit its network.
    """
    check_classifier(model)
    network = on_device(model, device)
    names = class_names(model)
    for photo in (photo for path in paths for photo in _photos_at(path, on_error)):
        try:
            pixels = to_pixels(read_photo(photo), model.preprocessing)[None]
        except DataError as error:
            on_error(DataError(f"{photo}: {error}"))
            continue
        photos = Photos(pixels, None, (str(photo),), "", "")
        outputs = metrics.run(network, photos, model.preprocessing, no_progress)
        yield photo, metrics.predictions(outputs.logits[0], names, k)


def _photos_at(path: Path, on_error: Callable[[DataError], None]) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        listing = list_folder(path)
    except DataError as error:
        on_error(error)
        return []
    if not listing.photos:
        looked_for = ", ".join(sorted(PHOTO_SUFFIXES))
        on_error(DataError(f"no photos in {path}{listing.ignored_text}; looked for {looked_for}"))
    return [photo.path for photo in listing.photos]


def on_device(model: Model, device: str | None) -> nn.Module:
    """Return a model's network on a device; None: a GPU if there is one.

    Raises:
        WeightsError: the model's preprocessing does not fit its network.
        ConfigError: there is no such device.
    """
    network = to_module(model, find_device(device))
    check_input(network, model)
    return network
