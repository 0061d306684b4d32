"""Networks on the same labelled photos, against the same float network."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.comparison import CLASSIC, NNCODEC, OURS, Point, Seconds, measure
from benchmarks.nncodec_peer import Coded
from benchmarks.ready import CLASSIC_PIPELINE, codecs_of, passes_seconds
from benchmarks.timing import timed
from compress import container
from compress.cli import console
from compress.data.folder import Folder
from compress.data.photos import Photos
from compress.errors import DataError
from compress.evaluation import metrics
from compress.evaluation.metrics import Outputs
from compress.model import Model
from compress.networks.modules import to_module
from compress.runtime.devices import find_device
from compress.tensors.forms import Dense


def read_photos(path: Path, limit: int | None, model: Model, store: Path) -> Photos:
    """Return labelled photos as the network wants them.

    Raises:
        DataError: they have no labels, or cannot be read.
    """
    with console.progress("reading photos", 0) as advance:
        photos = Folder(path=path, limit=limit).load(
            model.preprocessing,
            "validation",
            classes=model.classes,
            store=store,
            progress=lambda done, total: advance(1),
        )
    if photos.labels is None:
        raise DataError(f"{path}: these photos have no labels; give a folder with a subfolder a class, or a CSV file")
    return photos


class Judge:
    """Measures points.

    Attributes:
        reference: the float network.
        photos: labelled.
        expected: what the float network says of them.
    """

    def __init__(self, reference: Model, photos: Photos, device: str | None) -> None:
        self.reference, self.photos, self.device = reference, photos, find_device(device)
        self.expected = self._outputs(reference)

    def pipeline(self, name: str, file: Path, repeats: int) -> Point:
        """Measure the `.sqz` file of a pipeline, as decoded.

        Raises:
            DataError: it is not a file of the float network's.
        """
        data = file.read_bytes()
        model, decode = timed(lambda: container.read(file), repeats)
        ours, wanted = ((it.architecture, it.classes, it.preprocessing) for it in (model, self.reference))
        if ours != wanted:
            raise DataError(f"{file}: {model.architecture} as this file has it is not the float network compared with")
        codecs = codecs_of(name)
        _, encode = timed(lambda: container.encode(model, codecs), repeats)
        series = CLASSIC if name == CLASSIC_PIPELINE else OURS
        return self._point(series, name, len(data), model, Seconds(passes_seconds(file), encode, decode))

    def nncodec(self, coded: Coded) -> Point:
        """Measure what NNCodec made of the float network's weights."""
        model = self.reference.with_tensors({name: Dense(array) for name, array in coded.arrays.items()})
        seconds = Seconds(None, coded.encode_seconds, coded.decode_seconds)
        return self._point(NNCODEC, f"qp {coded.qp}", coded.file_bytes, model, seconds)

    def _point(self, series: str, name: str, file_bytes: int, model: Model, seconds: Seconds) -> Point:
        return measure(series, name, file_bytes, self._outputs(model), self.expected, seconds)

    def _outputs(self, model: Model) -> Outputs:
        network = to_module(model).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return metrics.run(network, self.photos, model.preprocessing, console.progress)
