"""The inputs of a run: float weights and photos, loaded once and checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import torch

from compress import container
from compress.configuration.config import Pipeline
from compress.context import Context
from compress.data.collect import PhotoList
from compress.data.photos import Photos, Role
from compress.errors import DataError
from compress.evaluation.round_trip import check_importable
from compress.model import Model
from compress.networks.factory import needs_trust
from compress.networks.network_class_names import classes_of
from compress.pipeline import preflight
from compress.runtime.devices import find_device
from compress.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from compress.runtime.memory import default_memory_bytes
from compress.runtime.progress import Progress, no_progress
from compress.weights.inverted_residual_weights import InvertedResidualWeights
from compress.weights.user_network import UserNetwork

_UNFOLDED = "batch norms are not folded: the network's outputs would change"


@dataclass(frozen=True, eq=False)
class RunInputs:
    """The inputs of all stages.

    Attributes:
        context: of the first stage.
        validation: photos that measure each stage.
        cache: folder that runs share.
        given: the float network as the user gave it; `reference` may have folded batch norms.
    """

    context: Context
    validation: Photos
    cache: Path
    given: Model

    @property
    def reference(self) -> Model:
        """The float network before the first stage."""
        return self.context.reference


@dataclass(frozen=True, eq=False)
class ListedInputs:
    """The float network and the photos of a run, not decoded yet.

    Attributes:
        given: the float network as the user gave it.
        reference: with folded batch norms if the pipeline asks for them; else `given` itself.
    """

    given: Model
    reference: Model
    calibration: PhotoList
    validation: PhotoList


def list_inputs(pipeline: Pipeline, memory_bytes: int | None = None) -> ListedInputs:
    """Load the weights of a pipeline, list its photos, and run the preflight checks that need no pixels.

    Args:
        pipeline: names the weights and the photos.
        memory_bytes: memory that this process may use; None: half of the machine's.
    Raises:
        SqueezeError: weights or photos are not available, or do not suit the stages and the goal.
    """
    given, folded = _load_networks(pipeline)
    reference = folded or given
    preflight.check_layers(pipeline, reference)
    preflight.check_outputs(pipeline, reference)
    check_importable(reference)
    preflight.check_memory(pipeline, reference, memory_bytes or default_memory_bytes())
    calibration, validation = (_list_photos(pipeline, role, reference) for role in get_args(Role))
    preflight.check_labels(pipeline.goal, validation)
    preflight.check_class_names(calibration, validation)
    labels = reference.labels or validation.class_names or calibration.class_names
    if pipeline.encode.labels == "none":
        labels = ()
    given = replace(given, labels=labels)
    reference = replace(folded, labels=labels) if folded else given
    preflight.check_bytes(pipeline, reference)
    return ListedInputs(given, reference, calibration, validation)


def load_inputs(
    pipeline: Pipeline,
    cache: Path,
    device: str | None = None,
    progress: Progress = no_progress,
    out: Path | None = None,
    processes: ProcessGroup = SINGLE_PROCESS,
    memory_bytes: int | None = None,
    listed: ListedInputs | None = None,
) -> RunInputs:
    """Load the inputs of a pipeline, and run all preflight checks.

    Args:
        pipeline: names the weights and the photos.
        cache: folder that runs share.
        device: where networks run; None: a GPU if there is one.
        progress: reports the progress.
        out: folder for the partial result of a failed stage; None: it is lost.
        processes: the process group of the run.
        memory_bytes: as in `list_inputs`.
        listed: result of `list_inputs`; None: not listed yet.
    Raises:
        SqueezeError: weights or photos are not available, or do not suit the stages and the goal.
    """
    found_device = find_device(device)
    torch.set_deterministic_debug_mode("warn")  # `use_deterministic_algorithms` imports a compiler
    listed = listed or list_inputs(pipeline, memory_bytes)
    given, reference = listed.given, listed.reference
    # The user's code may read memory that it never wrote. Filling new memory takes a tenth of the time of statistics.
    torch.utils.deterministic.fill_uninitialized_memory = needs_trust(reference.architecture)  # type: ignore[attr-defined]
    with processes.first_before_others():
        lists = listed.calibration, listed.validation
        calibration, validation = (photos.decode(reference.preprocessing, cache, progress) for photos in lists)
    _check_equal(processes, reference, calibration, validation)
    preflight.check_disjoint(calibration, validation)
    preflight.check_training(pipeline, calibration, reference.classes)
    if processes.is_first:
        preflight.report_compressible(reference)
        preflight.report_input(reference.preprocessing)
    context = Context(
        reference,
        calibration,
        pipeline.seed,
        device=found_device,
        progress=progress,
        codecs=pipeline.encode.codecs,
        store=cache,
        out=out if processes.is_first else None,
        processes=processes,
        memory_bytes=memory_bytes or default_memory_bytes(),
    )
    if reference is not given and not context.has_same_outputs(given, reference):
        context = replace(context, reference=replace(given, notes=(*given.notes, _UNFOLDED)))
    return RunInputs(context, validation, cache, given)


def _load_networks(pipeline: Pipeline) -> tuple[Model, Model | None]:
    """Return the network as the user gave it, and with folded batch norms if the pipeline asks for them."""
    source, seed = pipeline.model, pipeline.seed
    with pipeline.document.locating_errors():
        if isinstance(source, UserNetwork | InvertedResidualWeights) and source.fold_batch_norm:
            return replace(source, fold_batch_norm=False).load(seed), source.load(seed)
        return source.load(seed), None


def _list_photos(pipeline: Pipeline, role: Role, model: Model) -> PhotoList:
    source = pipeline.calibration if role == "calibration" else pipeline.validation
    with pipeline.document.locating_errors():
        return source.list_photos(role, classes_of(model))


def _check_equal(processes: ProcessGroup, reference: Model, *photos: Photos) -> None:
    """Check that all processes loaded the same inputs.

    Raises:
        DataError: this process has other weights or photos than the first.
    """
    own = (container.weights_sha256(reference), *(each.fingerprint for each in photos))
    if own != processes.broadcast(own):
        raise DataError(
            f"process {processes.rank} of {processes.world_size} has other weights or photos than the first; all "
            "machines need the same files under the same paths, and the same package versions"
        )
