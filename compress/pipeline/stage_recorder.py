"""Measurement of each stage: validation against the float network, and the record of the stage.

Before the stage `encode`, files are counted with indices of a fixed width, so that the records show the bytes
that each stage saves, and the bytes that the entropy coder saves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress import container
from compress.configuration.config import options_of
from compress.errors import DataError, PassError, SqueezeError
from compress.evaluation import metrics
from compress.evaluation.goals import Goal, goal_records
from compress.evaluation.metrics import Outputs
from compress.evaluation.results import GoalRecord, PhotoOutcomes
from compress.evaluation.round_trip import run_round_trip
from compress.model import Model
from compress.networks.factory import output_of
from compress.networks.network_class_names import class_names
from compress.pipeline.changed_photos import changed_photos
from compress.pipeline.inputs import RunInputs
from compress.pipeline.layer_errors import LayerError, measure_layer_errors
from compress.pipeline.resource_meter import ResourceUsage, measure_usage
from compress.pipeline.stages import StageResult
from compress.report.record import ChangedPhoto, PhotoExample, StageRecord
from compress.runtime.atomic_files import write_atomically
from compress.runtime.file_names import escape_undecodable
from compress.tensors.forms import Shared, Tensor

_FIXED_WIDTH = ("raw",)
"""Codecs of a file without entropy coding."""

_EXAMPLE_CLASSES = 5

_MAX_DIFFERENCE, _TINY = 0.01, 1e-30
"""Largest difference of the outputs in another process, relative to all outputs: above the rounding of bfloat16."""


class StageRecorder:
    """Validates the output of each stage on the same photos, and keeps the records.

    Attributes:
        model: output of the latest stage.
        reference: the float network; the output of a stage that trains it replaces the loaded one. Stages are compared
            with the network as the user gave it, before batch norms were folded.
        reference_outputs: outputs of the network that stages are compared with, on the validation photos.
        trained_by: names of the stages that trained the reference.
        stages: the records: the baseline first, then one for each stage.
        decode_seconds: time to read and decode the file in a new process.
    """

    def __init__(self, inputs: RunInputs, *, show_photos: bool = True) -> None:
        """Validate the float network; `show_photos` as in `ReportOptions.photos`."""
        self._show_photos = show_photos
        self.model = self.reference = inputs.reference
        self.trained_by: list[str] = []
        self.decode_seconds = 0.0
        self._photos, self._context = inputs.validation, inputs.context
        with measure_usage() as usage:
            self.reference_outputs = self._run(inputs.given)
        self._outputs, self._reference_usage = self.reference_outputs, usage
        self._float_outputs: list[Outputs] = []
        self.stages = [self._baseline()]
        if inputs.given is not inputs.reference:
            self._outputs = self._run(inputs.reference)

    def record(self, result: StageResult) -> None:
        """Validate and record the output of a stage.

        If the stage trained the float network, the earlier records are computed again with the new reference.

        Raises:
            PassError: the network fails on the photos with the stage's weights.
        """
        self.model = result.model
        with measure_usage() as usage:
            try:
                self._outputs = self._run(self.model)
            except DataError as error:
                raise PassError(str(error), stage=result.stage.name) from error
        if result.is_reference:
            self._replace_reference(result.stage.name, self._outputs)
        if result.is_float:
            self._float_outputs.append(self._outputs)
        pass_ = result.stage.pass_
        record = self._record(result.stage.name, pass_.kind, options_of(pass_), (result.usage, usage))
        self.stages.append(replace(record, from_cache=result.from_cache, training=result.model.training))

    def goal_results(self, model: Model, goal: Goal) -> tuple[GoalRecord, ...]:
        """Validate a model, and return the results of a goal's limits on quality."""
        outputs = self._run(model)
        before, after = metrics.accuracy(self.reference_outputs), metrics.accuracy(outputs)
        return goal_records(
            replace(goal, bytes=None), 0, before, after, metrics.fidelity(outputs, self.reference_outputs)
        )

    def record_file(self, path: Path, codecs: Sequence[str]) -> bytes:
        """Write the file, which may use these codecs; record the stage `encode`, and return the content."""
        with measure_usage() as usage:
            data = container.encode(self.model, codecs)
            write_atomically(path, data)
        options = {"codecs": list(codecs)}
        self.stages.append(self._record("encode", "encode", options, (usage, ResourceUsage()), len(data)))
        return data

    def record_proof(self, path: Path) -> None:
        """Validate and record the file, decoded in a new process.

        Raises:
            SqueezeError: the process failed, the decoded weights differ from the model in a bit, or they give other
                outputs there.
        """
        with measure_usage() as usage:
            round_trip = run_round_trip(path, self._photos, str(self._context.device), trusted=self.model.trusted)
        if round_trip.weights_sha256 != container.weights_sha256(self.model):
            raise SqueezeError(f"{path}: the decoded weights differ from the encoded ones")
        own = self._outputs.logits
        difference = float(np.linalg.norm(round_trip.logits - own)) / max(float(np.linalg.norm(own)), _TINY)
        if difference > _MAX_DIFFERENCE:
            raise SqueezeError(
                f"{path}: with the same weights, the network has other outputs in a new process, by {difference:.1%}: "
                "its code keeps values of an earlier network, such as weights in a cache of its class or module"
            )
        self._outputs = Outputs(round_trip.logits, self._photos.labels, self.reference_outputs.kind)
        self.stages.append(self._record("proof", "proof", {}, (usage, ResourceUsage()), path.stat().st_size))
        self.decode_seconds = round_trip.decode_seconds

    def outcomes(self) -> PhotoOutcomes | None:
        """Return the result of the latest stage on each validation photo; None: the network is no classifier."""
        return metrics.photo_outcomes(self._outputs, self.reference_outputs)

    def example(self) -> PhotoExample | None:
        """Return the predictions for the first photo by the float network and by the latest stage, if they classify."""
        if not self._outputs.is_classes:
            return None
        names = class_names(self.model)
        before, after = (
            metrics.predictions(outputs.logits[0], names, _EXAMPLE_CLASSES)
            for outputs in (self.reference_outputs, self._outputs)
        )
        photo = escape_undecodable(self._photos.names[0]) if self._show_photos else ""
        return PhotoExample(photo, before, after)

    def changed_photos(self) -> tuple[ChangedPhoto, ...] | None:
        """Return the photos whose answer changed from the float network to the latest stage; None: they are private."""
        if not self._show_photos or not self._outputs.is_classes:
            return None
        return changed_photos(self._photos, self.reference_outputs, self._outputs, class_names(self.model))

    def layer_errors(self) -> Mapping[str, LayerError]:
        """Return the errors of the layers of the latest stage; empty if the network has no gradients."""
        context = replace(self._context, reference=self.reference)
        return measure_layer_errors(self.model, self.model.reference or self.reference, context)

    def _replace_reference(self, stage: str, outputs: Outputs) -> None:
        self.trained_by.append(stage)
        self.reference, self.reference_outputs = self.model, outputs
        earlier = zip(self.stages[1:], self._float_outputs, strict=True)
        again = [replace(record, fidelity=metrics.fidelity(own, outputs)) for record, own in earlier]
        self.stages = [self._baseline(), *again]

    def _baseline(self) -> StageRecord:
        return self._record("baseline", "baseline", {}, (ResourceUsage(), self._reference_usage))

    def _run(self, model: Model) -> Outputs:
        network, context = self._context.network(model), self._context
        return metrics.run(
            network, self._photos, model.preprocessing, context.progress, context.processes, output_of(model).kind
        )

    def _record(
        self,
        name: str,
        kind: str,
        options: Mapping[str, object],
        usages: tuple[ResourceUsage, ResourceUsage],
        file_bytes: int | None = None,
    ) -> StageRecord:
        """Return the record of a stage; `usages` are of the pass and of its validation."""
        weights = [self.model.tensors[layer] for layer in self.model.weight_names()]
        dense = [tensor.to_dense() for tensor in weights]
        count, zeros = sum(values.size for values in dense), sum(int((values == 0).sum()) for values in dense)
        if file_bytes is None:
            file_bytes = len(container.encode(self.model, _FIXED_WIDTH))
        return StageRecord(
            name=name,
            kind=kind,
            options=options,
            file_bytes=file_bytes,
            sparsity=zeros / max(count, 1),
            bits_per_weight=file_bytes * 8 / max(count + self.model.parameter_count(self.model.uncompressed), 1),
            distinct_values=sum(map(distinct_values, weights)),
            seconds=usages[0].seconds,
            validation_seconds=usages[1].seconds,
            peak_memory_bytes=max(usage.peak_bytes for usage in usages),
            accuracy=metrics.accuracy(self._outputs),
            fidelity=metrics.fidelity(self._outputs, self.reference_outputs),
            notes=() if kind in {"encode", "proof"} else self.model.notes,
        )


def distinct_values(tensor: Tensor) -> int:
    """Return the number of codebook entries in use, zero included; of unshared values, the number of different ones."""
    values: NDArray[Any] = tensor.indices if isinstance(tensor, Shared) else tensor.to_dense()
    return len(np.unique(values))
