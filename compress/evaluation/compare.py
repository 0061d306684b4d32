"""Comparison of two models on the same photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from compress import container
from compress.builtin_models import EMBEDDED, SAMPLES, find_model
from compress.data.class_index import LabelRule
from compress.data.collect import PhotoList, PhotoSource
from compress.data.photos import Photos
from compress.data.samples import Samples
from compress.data.sources import check_label_column, source_at
from compress.errors import ConfigError, DataError
from compress.evaluation import comparison_record, metrics
from compress.evaluation.comparison_record import ComparedModel, ModelComparison, PairedAccuracy, PhotoPredictions
from compress.evaluation.evaluate import on_device
from compress.evaluation.goals import Goal, goal_records
from compress.evaluation.intervals import paired_accuracy
from compress.evaluation.label_order import warn_of_other_order
from compress.evaluation.metrics import Outputs
from compress.evaluation.repeated_photos import warn_of_repeated_photos
from compress.evaluation.results import Fidelity, GoalRecord, Prediction
from compress.model import Model, Preprocessing
from compress.networks.factory import output_of
from compress.networks.network_class_names import class_names, classes_of
from compress.runtime.file_names import escape_undecodable
from compress.runtime.progress import Progress, no_progress
from compress.weights.model_files import load_named_model


@dataclass(frozen=True, eq=False)
class _MeasuredModel:
    name: str
    model: Model
    photos: Photos
    outputs: Outputs


def compare_models(
    a: str,
    b: str,
    data: str,
    *,
    limit: int | None = None,
    architecture: str | None = None,
    factory: str | None = None,
    device: str | None = None,
    cache: Path | None = None,
    labels: LabelRule = "auto",
    label_column: str | None = None,
    goal: Goal | None = None,
    progress: Progress = no_progress,
) -> ModelComparison:
    """Run two models on the same photos, each with its own preprocessing; see `compress.compare` for the arguments.

    `data` may also be a folder of idx files or one photo. `cache` is as in `PhotoSource.load`, `labels` and
    `label_column` as in `Folder`. `goal` limits B relative to A.

    Raises:
        ConfigError: there is no such model or device, or the models have different numbers of classes.
        DataError: photos cannot be read, or have no labels although the goal limits accuracy.
        FormatError, WeightsError: a model cannot be read or run.
    """
    goal = goal or Goal()
    a, b = (name if name == EMBEDDED else str(find_model(name)) for name in (a, b))
    models = _load_models((a, b), architecture, factory)
    _check_outputs(models, (a, b))
    goal.check_output(output_of(models[0]))
    networks = [on_device(model, device) for model in models]
    samples = data == SAMPLES and not Path(data).exists()  # a folder of this name takes precedence
    if samples:
        check_label_column(label_column)
    source = Samples(count=limit) if samples else source_at(Path(data), limit, labels, label_column)
    photos = _read_photos(models, source, data, goal, cache, progress)
    warn_of_repeated_photos(photos[0])
    outputs = [
        metrics.run(network, own_photos, model.preprocessing, progress, kind=output_of(model).kind)
        for network, own_photos, model in zip(networks, photos, models, strict=True)
    ]
    warn_of_other_order(outputs[0])
    measured_a, measured_b = map(_MeasuredModel, (a, b), models, photos, outputs)
    return _compare(measured_a, measured_b, goal)


def _load_models(names: Sequence[str], architecture: str | None, factory: str | None) -> list[Model]:
    """Return the models; a checkpoint of another program has the preprocessing of the first `.sqz` file."""
    described = [name for name in names if name == EMBEDDED or Path(name).suffix.lower() == ".sqz"]
    loaded = {name: load_named_model(name, None, factory) for name in described}  # `architecture` is of the other one
    like = next((loaded[name] for name in described if name != EMBEDDED), None)
    return [loaded.get(name) or load_named_model(name, architecture, factory, like) for name in names]


def _check_outputs(models: Sequence[Model], names: tuple[str, str]) -> None:
    compared, other = map(output_of, models)
    if compared != other:
        raise ConfigError(
            f"the compared outputs differ: of {names[0]} {compared.words}, of {names[1]} {other.words}; run both with "
            "the same `model.outputs` and input size"
        )
    first, second = (model.classes for model in models)
    if first != second:
        raise ConfigError(
            f"{names[0]} has {first:,} classes and {names[1]} has {second:,}; compare models with the same classes"
        )


def _read_photos(
    models: Sequence[Model], source: PhotoSource, data: str, goal: Goal, cache: Path | None, progress: Progress
) -> list[Photos]:
    """Return the photos in each model's preprocessing; read once if both are equal."""
    names = next((model.labels for model in models if model.labels), ())
    listed = source.list_photos("validation", classes_of(replace(models[0], labels=names)))
    _check_labels(listed, goal, data)
    decoded: dict[Preprocessing, Photos] = {}
    for preprocessing in (model.preprocessing for model in models):
        decoded[preprocessing] = decoded.get(preprocessing) or listed.decode(preprocessing, cache, progress)
    photos = [decoded[model.preprocessing] for model in models]
    if photos[0].names != photos[1].names:
        raise DataError(f"{data}: the set of readable photos changed during the comparison; run it again")
    return photos


def _check_labels(photos: PhotoList, goal: Goal, data: str) -> None:
    if goal.needs_labels and photos.labels is None:
        raise DataError(
            f"{data}: a limit on the drop of top-1 or top-5 needs labels, and these photos have none; give a folder "
            "with one subfolder for each class, or a CSV file, or limit agreement or divergence instead"
        )


def _compare(a: _MeasuredModel, b: _MeasuredModel, goal: Goal) -> ModelComparison:
    side_a, side_b = _compared_model(a), _compared_model(b)
    fidelity = metrics.fidelity(b.outputs, a.outputs)
    return ModelComparison(
        schema_version=comparison_record.COMPARISON_VERSION,
        a=side_a,
        b=side_b,
        same_weights=side_a.weights_sha256 == side_b.weights_sha256,
        same_preprocessing=a.model.preprocessing == b.model.preprocessing,
        differing_class_names=_differing_class_names(a.model, b.model),
        data=escape_undecodable(a.photos.description),
        skipped=tuple(map(escape_undecodable, a.photos.skipped)),
        top1=_paired_accuracy(a.outputs, b.outputs, 1),
        top5=_paired_accuracy(a.outputs, b.outputs, 5),
        agreement=fidelity.agreement,
        divergence_nats=fidelity.divergence_nats,
        photos=_photo_predictions(a, b),
        goals=_goals(goal, side_a, side_b, fidelity),
        compared="" if a.outputs.is_classes else output_of(a.model).words,
        relative_mse=fidelity.relative_mse,
    )


def _compared_model(measured: _MeasuredModel) -> ComparedModel:
    name, model = measured.name, measured.model
    return ComparedModel(
        name=escape_undecodable(name),
        architecture=model.architecture,
        file_bytes=model.parameter_count() * 4 if name == EMBEDDED else Path(name).stat().st_size,
        weights_sha256=container.weights_sha256(model),
        accuracy=metrics.accuracy(measured.outputs),
    )


def _differing_class_names(a: Model, b: Model) -> tuple[int, ...]:
    pairs = enumerate(zip(a.labels, b.labels, strict=False))  # a model without names has no labels
    return tuple(index for index, (name_a, name_b) in pairs if name_a != name_b)


def _paired_accuracy(a: Outputs, b: Outputs, k: int) -> PairedAccuracy | None:
    return None if a.labels is None else paired_accuracy(a.correct(k), b.correct(k))


def _photo_predictions(a: _MeasuredModel, b: _MeasuredModel) -> tuple[PhotoPredictions, ...]:
    """Return each photo's predictions, highest error first; a model without class names uses the other's."""
    names_a = a.model.labels or class_names(b.model)
    names_b = b.model.labels or class_names(a.model)
    errors, is_values = metrics.errors(b.outputs, a.outputs), a.outputs.kind == "values"
    labels = [None] * len(a.photos) if a.photos.labels is None else a.photos.labels.tolist()
    return tuple(
        PhotoPredictions(
            photo=escape_undecodable(a.photos.names[index]),
            label=labels[index],
            label_name=None if labels[index] is None else names_a[labels[index]],
            divergence_nats=None if is_values else float(errors[index]),
            a=_prediction(a.outputs, index, names_a),
            b=_prediction(b.outputs, index, names_b),
            relative_mse=float(errors[index]) if is_values else None,
        )
        for index in np.argsort(-errors, kind="stable").tolist()
    )


def _prediction(outputs: Outputs, photo: int, names: Sequence[str]) -> Prediction | None:
    return metrics.predictions(outputs.logits[photo], names, 1)[0] if outputs.is_classes else None


def _goals(goal: Goal, a: ComparedModel, b: ComparedModel, fidelity: Fidelity) -> tuple[GoalRecord, ...]:
    records = goal_records(goal, b.file_bytes, a.accuracy, b.accuracy, fidelity)
    return tuple(replace(record, quantity=record.quantity.replace("the float network", "A")) for record in records)
