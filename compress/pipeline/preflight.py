"""What can be known to be wrong before the work begins."""

from __future__ import annotations

import hashlib

from compress.data.photos import Photos
from compress.errors import ConfigError, DataError
from compress.evaluation.goals import Goal
from compress.model import Model
from compress.networks.weight_sources import load
from compress.passes import Distill, Train
from compress.passes.layer_patterns import options_by_layer
from compress.pipeline.config import Pipeline
from compress.training.splits import labels_of
from compress.training.teacher_adapter import teacher_for


def check_layers(pipeline: Pipeline, model: Model) -> None:
    """Check that the network has the layers that the stages name.

    Raises:
        ConfigError: a pattern in `layers` names none; says where it stands.
    """
    for place, stage in enumerate(pipeline.stages):
        nested = {"prune": stage.step.prune} if isinstance(stage.step, Train) else {}
        for options, above in ((stage.step, ()), *((step, (key,)) for key, step in nested.items())):
            try:
                options_by_layer(model, None, getattr(options, "layers", {}))
            except ConfigError as error:
                raise pipeline.document.located(error, "stages", place, *above) from error


def check_teachers(pipeline: Pipeline, model: Model) -> None:
    """Check that other teachers than the float network can be had.

    Raises:
        ConfigError: one cannot, or tells other classes apart; says where it stands.
        FormatError, WeightsError: its weights are no good.
    """
    for place, stage in enumerate(pipeline.stages):
        if isinstance(stage.step, Distill) and stage.step.teacher:
            try:
                teacher_for(model, load(stage.step.teacher, pipeline.seed))
            except ConfigError as error:
                problem, key = str(error).removeprefix(f"{error.key}: "), error.key or "teacher"
                named = ConfigError(problem, key=key.replace("model", "teacher", 1))
                raise pipeline.document.located(named, "stages", place) from error


def check_labels(goal: Goal, validation: Photos) -> None:
    """Check that what the goal asks can be measured.

    Raises:
        DataError: it needs labels, and there are none.
    """
    if goal.needs_labels and validation.labels is None:
        raise DataError(
            "the goal limits the drop of top-1 or top-5, but the validation photos have no labels; "
            "name labelled photos in data.validation, or limit max_divergence or min_agreement instead"
        )


def check_training(pipeline: Pipeline, calibration: Photos, classes: int) -> None:
    """Check that the photos can be trained on, where a stage is to.

    Raises:
        DataError: they have no labels, or labels that are no good for so many classes.
    """
    if any(isinstance(stage.step, Train) for stage in pipeline.stages):
        labels_of(calibration, classes)


def check_apart(calibration: Photos, validation: Photos) -> None:
    """Check that no photo is in both sets, whatever its file is called.

    Raises:
        DataError: some are; names one.
    """
    names = dict(zip(_digests(calibration), calibration.names, strict=True))
    found = zip(_digests(validation), validation.names, strict=True)
    both = [(name, names[digest]) for digest, name in found if digest in names]
    if both:
        name, also = both[0]
        known_as = "" if name == also else f" (there as {also})"
        raise DataError(
            f"{len(both):,} of {len(validation):,} validation photos are calibration photos too, {name}{known_as} among"
            " them; a network looks better than it is on photos that it was fitted to: give data.calibration and "
            "data.validation different photos"
        )


def _digests(photos: Photos) -> list[bytes]:
    places = range(len(photos))
    return [hashlib.sha256(photos.at(slice(place, place + 1)).tobytes()).digest() for place in places]
