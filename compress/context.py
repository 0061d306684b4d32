"""What a pass is given beside the model."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from compress import container
from compress.calibration import statistics_file
from compress.calibration.fisher import Batch, collect
from compress.calibration.layer_sensitivity import Floats, parts_of_layers
from compress.calibration.layer_statistics import LayerStatistics
from compress.calibration.reconstruction import PairedInputs, collect_pairs
from compress.data.augmentation import drawn_stretches, random_views
from compress.data.photos import Photos
from compress.data.transforms import to_input
from compress.errors import DataError
from compress.model import Model
from compress.networks.channel_graph import dead, links
from compress.networks.factory import identity
from compress.networks.modules import to_module
from compress.runtime.distributed import ALONE, Ranks
from compress.runtime.progress import Progress, silent

_STATISTICS_VERSION = 4
"""Raised when the same photos and network would give other statistics than before."""

_GATHERED_BATCH = 10
"""Photos that run forth and back at once: more are no faster, and take memory."""

_PAIRED_BATCH = 50
"""Photos that run through both networks at once."""


@dataclass(frozen=True, eq=False)
class Context:
    """What passes share. It holds nothing that one pass leaves for another: that goes through the model.

    Attributes:
        reference: the float network, which passes recover towards.
        calibration: photos that a pass may look at; never those of the validation.
        seed: of the run.
        stage: name of the running stage; random choices derive from it and from the seed.
        device: where networks run.
        progress: shows how far a long pass is.
        codecs: names of those that the file may be coded by.
        store: folder in which a long pass keeps what it needs to go on after an interruption; None keeps nothing.
        out: folder for what a pass that fails can still save for the user; None for none.
        ranks: this process among those that do the run together.
        cache: results that depend on the reference and the photos alone, computed once.
    """

    reference: Model
    calibration: Photos
    seed: int = 0
    stage: str = "stage"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    progress: Progress = silent
    codecs: Sequence[str] = ("context", "huffman", "huffman-runs", "raw")
    store: Path | None = None
    out: Path | None = None
    ranks: Ranks = ALONE
    cache: dict[tuple[object, ...], Mapping[str, LayerStatistics]] = field(default_factory=dict, repr=False)

    @cached_property
    def stage_seed(self) -> int:
        """The stage's own seed: adding a stage changes nothing in the others."""
        return (self.seed * 0x9E3779B1 + zlib.crc32(self.stage.encode())) % 2**32

    def torch_generator(self) -> torch.Generator:
        """Return the stage's generator for torch, on the CPU whatever the device."""
        return torch.Generator().manual_seed(self.stage_seed)

    def file_bytes(self, model: Model) -> int:
        """Return how many bytes the file of a model takes."""
        return len(container.encode(model, self.codecs))

    def inputs(self, places: np.ndarray[tuple[int], np.dtype[np.int64]]) -> torch.Tensor:
        """Return the calibration photos at these places as the network's input, on the device."""
        return self.as_inputs(self.calibration.at(places))

    def as_inputs(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """Return pixels, shape (n, height, width, channels), as the network's input, on the device."""
        values = torch.from_numpy(to_input(pixels, self.reference.preprocessing))
        return values.to(self.device, memory_format=torch.channels_last)

    def statistics(self, photos: int | None) -> Mapping[str, LayerStatistics]:
        """Return the statistics of the float network on (at most) so many calibration photos, gathered once."""
        places = self._spread(photos)
        count = len(places)
        key = ("statistics", count)
        if key not in self.cache:
            self.cache[key] = self._gathered(count, self._views(places, 1), own=False)
        return self.cache[key]

    def row_statistics(self, photos: int | None, views: int = 1) -> Mapping[str, LayerStatistics]:
        """Return `statistics` with those of the rows by themselves: a gigabyte or two, kept in `store` if there is one.

        Args:
            photos: at most so many; all if None.
            views: how often each is seen: as it is, and then stretches of it at random.
        """
        places = self._spread(photos)
        if self.store is None:
            return self._gathered(len(places) * views, self._views(places, views), own=True)
        network = container.weights_sha256(self.reference), *identity(self.reference)
        photos_and_network = self.calibration.fingerprint, *network
        alone = () if self.ranks.count == 1 else (self.ranks.count,)
        decided_by = (*photos_and_network, len(places), views, self.seed, self.device.type, torch.__version__, *alone)
        digest = hashlib.sha256(repr((_STATISTICS_VERSION, *decided_by)).encode()).hexdigest()[:32]
        path = self.store / f"statistics-{digest}.npz"
        if not self.ranks.all(path.exists()):
            gathered = self._gathered(len(places) * views, self._views(places, views), own=True)
            with self.ranks.first_before_others():
                if not path.exists():
                    statistics_file.write(path, gathered)
        return statistics_file.StatisticsFile(path)

    def _gathered(self, total: int, batches: Iterator[Batch], *, own: bool) -> dict[str, LayerStatistics]:
        generator = torch.Generator().manual_seed(self.seed)
        if 0 < total < self.ranks.count:
            raise DataError(f"{total:,} photos for {self.ranks.count:,} processes; each needs one at least")
        with self.progress("gathering statistics", total) as advance:
            return collect(self.network(self.reference), batches, generator, advance, own=own, ranks=self.ranks)

    def parts_of_layers(self, model: Model, before: Model, photos: int) -> Mapping[str, Floats]:
        """Return what each layer's error adds to the divergence of a model, as `divergence.parts_of_layers`.

        Measured on a stretch, at random, of each of (at most) so many calibration photos.

        Args:
            model: the compressed one.
            before: what it was, which need not be the float network: an error is what differs between the two.
            photos: how many.
        """
        places, random = self._spread(photos), np.random.default_rng(self.stage_seed)
        height, width = self.calibration.pixels.shape[1:3]

        def views() -> Iterator[torch.Tensor]:
            for number, some in enumerate(_parted(places, _GATHERED_BATCH)):
                if self.ranks.own(number):
                    yield random_views(self.inputs(some), random)
                else:
                    drawn_stretches(len(some), height, width, random)

        with self.progress("measuring the layers' parts", len(places)) as advance:
            networks = self.network(model), self.network(self.reference)
            errors = {
                name: torch.from_numpy(model.tensors[name].to_dense() - before.tensors[name].to_dense()).to(self.device)
                for name in model.weight_names()
            }
            return parts_of_layers(*networks, errors, views(), advance, self.ranks)

    def dead(self, model: Model) -> dict[str, NDArray[np.bool_]]:
        """Return which weights of a model change no output, as `channels.dead`."""
        weights = {name: model.tensors[name].to_dense() for name in model.weight_names()}
        biases = {name: model.tensors[bias].to_dense() for name, bias in model.bias_names().items()}
        return dead(weights, biases, links(self.network(model)))

    def pairs(self, compressed: nn.Module, layers: Sequence[str], photos: int | None) -> dict[str, PairedInputs]:
        """Return the statistics of layers with one input, in the float network and in a compressed one."""
        batches = map(self.inputs, _parted(self._spread(photos), _PAIRED_BATCH))
        return collect_pairs(self.network(self.reference), compressed, layers, batches)

    def network(self, model: Model) -> nn.Module:
        """Return the torch module of a model, on the device."""
        return to_module(model).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def _spread(self, photos: int | None) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return the places of so many photos, evenly spread: a folder is sorted by class."""
        count = min(len(self.calibration), photos or len(self.calibration))
        return np.linspace(0, len(self.calibration) - 1, count).astype(np.int64)

    def _views(self, places: np.ndarray[tuple[int], np.dtype[np.int64]], views: int) -> Iterator[Batch]:
        """Yield photos and stretches of them; without inputs those that another process runs."""
        random = np.random.default_rng(self.seed)
        height, width = self.calibration.pixels.shape[1:3]
        counted = self.calibration.sample_weights
        parts = _parted(places, max(1, min(_GATHERED_BATCH, len(places) // self.ranks.count)))
        for number, some in enumerate(parts):
            weights = None if counted is None else torch.from_numpy(counted[some])
            inputs = self.inputs(some) if self.ranks.own(number) else None
            yield Batch(len(some), inputs, weights)
            for _ in range(views - 1):
                if inputs is None:
                    drawn_stretches(len(some), height, width, random)
                yield Batch(len(some), None if inputs is None else random_views(inputs, random), weights)


def _parted(places: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(places), size):
        yield places[start : start + size]
