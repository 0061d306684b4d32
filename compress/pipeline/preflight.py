"""Preflight checks: errors in a pipeline that are found before the first stage runs."""

from __future__ import annotations

import logging
import math

import numpy as np

from compress import container
from compress.configuration.config import Pipeline
from compress.data.collect import PhotoList
from compress.data.photos import Photos
from compress.errors import ConfigError, DataError, first_names
from compress.evaluation.goals import Goal
from compress.evaluation.repeated_photos import photo_digests, warn_of_repeated_photos
from compress.model import Model, Preprocessing
from compress.networks.factory import output_of
from compress.networks.layer_calls import COMPRESSIBLE
from compress.passes.layer_patterns import options_by_layer
from compress.runtime.memory import release_free_memory, resident_bytes
from compress.tensors.forms import Shared
from compress.training.splits import training_labels

_LOGGER = logging.getLogger(__name__)

_MIN_SHARE = 0.5
"""Smallest share of the parameters that passes compress without a warning."""

_MAX_INPUT = 1_000
"""Inputs of known networks stay below 300."""

_MIN_RANGE = 0.1
"""Inputs of known networks range over more than 1."""

_MARGIN = 1.05
"""Factor on the needed memory in an error message: the memory at the start of a process varies."""


def check_layers(pipeline: Pipeline, model: Model) -> None:
    """Check that each layer pattern of the stages matches a layer.

    Raises:
        ConfigError: a pattern matches none; says its line.
    """
    for index, stage in enumerate(pipeline.stages):
        for path, layers in stage.pass_.layer_options().items():
            with pipeline.document.locating_errors("stages", index, *path):
                options_by_layer(model, None, layers)


def check_bytes(pipeline: Pipeline, model: Model) -> None:
    """Check that a file whose weights are all zero is no larger than the limits of the stages.

    Args:
        pipeline: with the stages and the coding.
        model: with the labels of the file.
    Raises:
        ConfigError: it is; says the line.
    """
    limits = {index: limit for index, stage in enumerate(pipeline.stages) if (limit := stage.pass_.max_file_bytes)}
    if not limits:
        return
    zeros = {
        name: Shared(np.zeros(1, np.float32), np.zeros(tensor.shape, np.uint16))
        for name, tensor in model.tensors.items()
        if name not in model.uncompressed
    }
    file_bytes = len(container.encode(model.with_tensors(zeros), pipeline.encode.codecs))
    parts = ["header", *(["class names"] if model.labels else [])]
    parts += [f"{len(model.uncompressed):,} tensors that no pass compresses"] if model.uncompressed else []
    for index, limit in limits.items():
        if limit < file_bytes:
            raise pipeline.document.error(
                ["stages", index, "bytes"],
                f"{limit:,} bytes are too few: with zero weights the file takes {file_bytes:,} ({', '.join(parts)})",
                f"more than {file_bytes:,}",
            )


def check_memory(pipeline: Pipeline, model: Model, memory_bytes: int) -> None:
    """Check that the statistics of the stages fit into memory, if their layers are worked on one by one.

    Raises:
        ConfigError: they do not; says what is needed.
    """
    from compress.calibration.memory_plan import statistics_memory  # noqa: PLC0415  imports scipy

    gathered = [stage.pass_.row_block_bytes for stage in pipeline.stages if stage.pass_.row_block_bytes is not None]
    if not gathered:
        return
    memory = statistics_memory(model, max(gathered))
    release_free_memory()
    required = resident_bytes() + memory.minimum_bytes
    if memory_bytes < required and memory.layers:
        largest = memory.largest
        raise ConfigError(
            f"{memory_bytes / 1e9:.2f} GB of memory are too few: the statistics need {required / 1e9:.2f} GB, most of "
            f"it for {largest.name} with rows of {largest.columns:,} weights; use a smaller row_block_memory, or "
            "passes without statistics, as prune by magnitude",
            key="--memory",
            allowed=f"{math.ceil(_MARGIN * required / 1e8) / 10:.1f}GB or more; default: half of this machine's",
        )


def check_outputs(pipeline: Pipeline, model: Model) -> None:
    """Check that goal and stages suit the compared output of the network.

    Raises:
        ConfigError: a limit does not suit it, or a stage trains with labels although photos have no classes; says its
            line.
    """
    output = output_of(model)
    with pipeline.document.locating_errors():
        pipeline.goal.check_output(output)
    if getattr(pipeline.calibration, "balance_classes", False) and output.kind != "distribution":
        problem = f"the outputs are {output.words}, which have no classes"
        raise pipeline.document.error(["data", "calibration", "balance_classes"], problem, "false")
    for index, stage in enumerate(pipeline.stages):
        if stage.pass_.needs_labels and not output.is_classes:
            problem = f"{stage.pass_.kind} needs a class for each photo, and the outputs are {output.words}"
            raise pipeline.document.error(["stages", index, "pass"], problem, "distill, which needs no labels")


def report_compressible(model: Model) -> None:
    """Log the share of the parameters that passes compress; below half, warn with the names of the others."""
    total, left = model.parameter_count(), model.parameter_count(model.uncompressed)
    share = 1 - left / max(total, 1)
    said = f"passes compress {total - left:,} of {total:,} parameters ({share:.1%})"
    if share >= _MIN_SHARE:
        _LOGGER.info("%s", said)
        return
    largest = sorted(model.uncompressed, key=lambda name: -math.prod(model.tensors[name].shape))
    _LOGGER.warning("%s; left as they are: %s. Passes compress %s", said, first_names(largest), COMPRESSIBLE)


def report_input(preprocessing: Preprocessing) -> None:
    """Log the input; warn if pixels become inputs far from zero or nearly equal, as with a std of another scale.

    A network with a global pool accepts photos of any size, and is much worse for another one than it was trained on.
    """
    size = f"{preprocessing.height}x{preprocessing.width}"
    _LOGGER.info("input: %s %s, %s (model.input_size, resize)", size, preprocessing.channels, preprocessing.resize)
    mean, std = np.array(preprocessing.mean), np.array(preprocessing.std)
    ends = np.sort((np.array([[0.0], [255.0]]) * preprocessing.scale - mean) / std, axis=0)
    is_narrow = bool((np.ptp(ends, axis=0) < _MIN_RANGE).any())
    if is_narrow or (ends[0] > 0).any() or (ends[1] < 0).any() or np.abs(ends).max() > _MAX_INPUT:
        _LOGGER.warning(
            "preprocessing: pixels from 0 to 255 become inputs from %.4g to %.4g; mean and std may be of another scale "
            "(a pixel times scale %.4g, minus mean, over std)",
            ends.min(),
            ends.max(),
            preprocessing.scale,
        )


def check_labels(goal: Goal, validation: Photos | PhotoList) -> None:
    """Check that the validation photos have labels if the goal limits accuracy.

    Raises:
        DataError: they have none.
    """
    if goal.needs_labels and validation.labels is None:
        raise DataError(
            "the goal limits the drop of top-1 or top-5, but the validation photos have no labels; "
            "name labeled photos in data.validation (command compress: --data or --validation), as a folder with one "
            "subfolder for each class or a CSV file with the classes, or limit max_divergence or min_agreement instead "
            "(command compress: --bytes)"
        )


def check_class_names(calibration: PhotoList, validation: PhotoList) -> None:
    """Check that calibration and validation have the same classes, if the order of their names was taken.

    Raises:
        DataError: they do not.
    """
    names, others = calibration.class_names, validation.class_names
    if names and others and names != others:
        index = next(index for index, pair in enumerate(zip(names, others, strict=True)) if pair[0] != pair[1])
        raise DataError(
            f"class {index} is {names[index]} in data.calibration and {others[index]} in data.validation: their sorted "
            "names differ; give both the same classes, or use the photos of calibration without labels (`labels: none`)"
        )


def check_training(pipeline: Pipeline, calibration: Photos, classes: int) -> None:
    """Check that the calibration photos suit training, if a stage trains with labels.

    Raises:
        DataError: they have no labels, or their labels do not fit the classes.
    """
    if any(stage.pass_.needs_labels for stage in pipeline.stages):
        training_labels(calibration, classes)


def check_disjoint(calibration: Photos, validation: Photos) -> None:
    """Check that no photo is in both sets, by its pixels. Warn of photos that are in validation several times.

    Raises:
        DataError: some are; names one.
    """
    names = dict(zip(photo_digests(calibration), calibration.names, strict=True))
    digests = photo_digests(validation)
    warn_of_repeated_photos(validation, digests)
    shared = [(name, names[digest]) for digest, name in zip(digests, validation.names, strict=True) if digest in names]
    if shared:
        name, other_name = shared[0]
        known_as = "" if name == other_name else f" (in calibration: {other_name})"
        raise DataError(
            f"{len(shared):,} of {len(validation):,} validation photos are also calibration photos, for example "
            f"{name}{known_as}; this would overestimate accuracy: give data.calibration and data.validation "
            "different photos"
        )
