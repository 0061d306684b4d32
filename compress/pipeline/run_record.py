"""The record of a run, made from its models and measurements."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from compress import container
from compress.configuration.config import Pipeline
from compress.container.codec_choice import bytes_by_codec
from compress.container.layout import Layout, TensorLayout
from compress.container.payload import symbols_of
from compress.data.photos import Photos
from compress.evaluation.goals import goal_records
from compress.evaluation.results import significant
from compress.model import Model
from compress.networks.factory import output_of
from compress.pipeline import environment
from compress.pipeline.inputs import RunInputs
from compress.pipeline.layer_errors import LayerError
from compress.pipeline.stage_recorder import StageRecorder, distinct_values
from compress.report.record import SCHEMA_VERSION, DataRecord, FileRecord, LayerRecord, RunRecord
from compress.report.weight_histogram import WeightHistogram
from compress.runtime.file_names import escape_undecodable
from compress.runtime.threads import map_on_all_cores
from compress.tensors.forms import Dense, Shared, Tensor

_PRIVATE = "a photo (the report names none)"


def build_record(
    pipeline: Pipeline, inputs: RunInputs, recorder: StageRecorder, path: str, data: bytes, command: str
) -> RunRecord:
    """Return the record of a run whose file has the content `data`, and which the line `command` repeats."""
    model, reference, layout = recorder.model, recorder.reference, container.layout(data)
    baseline, proof = recorder.stages[0], recorder.stages[-1]
    output = output_of(reference)
    parameters = reference.parameter_count()
    trained_by = [f"trained by the stage {name}" for name in recorder.trained_by]
    return RunRecord(
        schema_version=SCHEMA_VERSION,
        pipeline=escape_undecodable(pipeline.name),
        description=pipeline.description,
        network=reference.architecture,
        weights_source=", ".join([pipeline.model.description, *inputs.reference.source_notes, *trained_by]),
        weights_sha256=container.weights_sha256(reference),
        parameters=parameters,
        uncompressed_parameters=reference.parameter_count(reference.uncompressed),
        uncompressed_bytes=sum(each.payload_bytes for each in layout.tensors if each.name in reference.uncompressed),
        float_bytes=parameters * 4,
        seed=pipeline.seed,
        goals=goal_records(pipeline.goal, len(data), baseline.accuracy, proof.accuracy, proof.fidelity),
        data=(
            data_record("calibration", inputs.context.calibration, show_names=pipeline.report.photos),
            data_record("validation", inputs.validation, show_names=pipeline.report.photos),
        ),
        stages=tuple(recorder.stages),
        layers=_layer_records(model, model.reference or reference, layout, recorder.layer_errors()),
        file=_file_record(path, data, model, layout),
        example=recorder.example(),
        decode_seconds=recorder.decode_seconds,
        command=command,
        configuration=pipeline.configuration,
        versions=environment.versions(),
        machine=environment.machine(),
        changed_photos=recorder.changed_photos(),
        outcomes=recorder.outcomes(),
        compared="" if output.is_classes else output.words,
    )


def data_record(role: str, photos: Photos, *, show_names: bool = True) -> DataRecord:
    """Return the record of a set of photos."""
    labeled = photos.labels is not None
    skipped = tuple(escape_undecodable(each) if show_names else _PRIVATE for each in photos.skipped)
    return DataRecord(role, escape_undecodable(photos.description), len(photos), labeled, skipped, photos.fingerprint)


def _file_record(path: str, data: bytes, model: Model, layout: Layout) -> FileRecord:
    components = layout.bytes_by_component
    return FileRecord(
        path=path,
        file_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        weights_sha256=container.weights_sha256(model),
        header_bytes=components["header"],
        label_bytes=components["class names"],
        index_bytes=components["indices"],
        value_bytes=components["values"],
        position_bytes=components["positions"],
        codebook_bytes=components["codebooks"],
        scale_bytes=components["scales"],
        bias_bytes=components["biases"],
    )


def _layer_records(
    model: Model, reference: Model, layout: Layout, errors: Mapping[str, LayerError]
) -> tuple[LayerRecord, ...]:
    weights = [each.weights for each in layout.tensors]
    codec_bytes = map_on_all_cores(lambda each: _bytes_by_codec(model.tensors[each.name]), layout.tensors, weights)
    return tuple(
        _layer_record(each, model.tensors[each.name], reference.tensors[each.name], by_codec, errors.get(each.name))
        for each, by_codec in zip(layout.tensors, codec_bytes, strict=True)
    )


def _layer_record(
    layout: TensorLayout, tensor: Tensor, reference: Tensor, codec_bytes: Mapping[str, int], error: LayerError | None
) -> LayerRecord:
    return LayerRecord(
        name=layout.name,
        shape=layout.shape,
        weights=layout.weights,
        nonzero_weights=int(tensor.mask.sum()),
        index_bits=_index_bits(tensor, layout),
        distinct_values=distinct_values(tensor),
        codec=layout.codec,
        scan_order=layout.scan_order,
        codec_bytes=codec_bytes,
        entropy_bytes=round(layout.entropy_bytes, 1),
        index_bytes=layout.index_bytes,
        position_bytes=layout.position_bytes,
        codebook_bytes=layout.codebook_bytes,
        scale_bytes=layout.scale_bytes,
        histogram=_histogram(tensor, reference) if len(layout.shape) >= 2 else None,
        relative_error=None if error is None else significant(error.relative_error),
        divergence_nats=None if error is None else significant(error.divergence_nats),
    )


def _bytes_by_codec(tensor: Tensor) -> Mapping[str, int]:
    return {} if isinstance(tensor, Dense) else bytes_by_codec(symbols_of(tensor))


def _index_bits(tensor: Tensor, layout: TensorLayout) -> int:
    if isinstance(tensor, Shared):
        return (distinct_values(tensor) - 1).bit_length()
    return 16 if layout.stored_as == "float16" else 32


def _histogram(tensor: Tensor, reference: Tensor) -> WeightHistogram:
    """Return the histogram of a layer, before scaling and the kernel transform, as its codebook is."""
    float_weights = reference.to_dense()
    if not isinstance(tensor, Shared):
        return WeightHistogram.of(float_weights, tensor.to_dense(), None)
    decoded = tensor.codebook[tensor.indices]
    return WeightHistogram.of(tensor.unscaled(float_weights).astype(np.float32), decoded, tensor.codebook)
