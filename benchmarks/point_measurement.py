"""Measurement of networks on the same labeled photos, compared with the same float network."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.nncodec_peer import NncodecResult
from benchmarks.pipeline_files import CLASSIC_PIPELINE, codecs_of, pass_seconds
from benchmarks.rate_accuracy_record import CLASSIC, NNCODEC, OURS, PointSeconds, RateAccuracyPoint, measure_point
from benchmarks.timing import timed
from compress import container
from compress.cli import console
from compress.data.photos import Photos
from compress.errors import DataError
from compress.evaluation import metrics
from compress.evaluation.metrics import Outputs
from compress.model import Model
from compress.networks.modules import to_module
from compress.runtime.devices import find_device
from compress.tensors.forms import Dense


class PointMeasurer:
    """Measures points.

    Attributes:
        reference: the float network.
        photos: with labels.
        reference_outputs: outputs of the float network.
    """

    def __init__(self, reference: Model, photos: Photos, device: str | None) -> None:
        self.reference, self.photos, self.device = reference, photos, find_device(device)
        self.reference_outputs = self._run(reference)

    def measure_pipeline(self, name: str, file: Path, repeats: int) -> RateAccuracyPoint:
        """Measure the decoded `.sqz` file of a pipeline.

        Raises:
            DataError: the file holds another network than the float network.
        """
        data = file.read_bytes()
        model, decode_seconds = timed(lambda: container.read(file), repeats)
        own, expected = ((it.architecture, it.classes, it.preprocessing) for it in (model, self.reference))
        if own != expected:
            raise DataError(f"{file}: its {model.architecture} differs from the float network")
        codecs = codecs_of(name)
        _, encode_seconds = timed(lambda: container.encode(model, codecs), repeats)
        series = CLASSIC if name == CLASSIC_PIPELINE else OURS
        seconds = PointSeconds(pass_seconds(file), encode_seconds, decode_seconds)
        return self._point(series, name, len(data), model, seconds)

    def measure_nncodec(self, result: NncodecResult) -> RateAccuracyPoint:
        """Measure the float network's weights after NNCodec."""
        model = self.reference.with_tensors({name: Dense(array) for name, array in result.arrays.items()})
        seconds = PointSeconds(None, result.encode_seconds, result.decode_seconds)
        return self._point(NNCODEC, f"qp {result.qp}", result.file_bytes, model, seconds)

    def _point(self, series: str, name: str, file_bytes: int, model: Model, seconds: PointSeconds) -> RateAccuracyPoint:
        return measure_point(series, name, file_bytes, self._run(model), self.reference_outputs, seconds)

    def _run(self, model: Model) -> Outputs:
        network = to_module(model).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return metrics.run(network, self.photos, model.preprocessing, console.progress)
