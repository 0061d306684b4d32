"""The statistics of a float network on calibration photos, gathered on first use and cached."""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from compress.calibration.layer_sensitivity import Floats, layer_contributions
from compress.calibration.layer_statistics import LayerStatistics
from compress.calibration.memory_plan import measuring_photos, statistics_memory
from compress.calibration.output_error import OutputError, output_variance
from compress.calibration.pass_gradients import GradientOptions, Sweep
from compress.calibration.photo_batches import Indices, PhotoBatch, network_inputs, photo_batches, spread_indices
from compress.calibration.row_block_memory import ROW_BLOCK_BYTES
from compress.calibration.statistics_accumulator import accumulate_statistics
from compress.calibration.statistics_file import StatisticsFile, write_statistics
from compress.container.file import weights_sha256
from compress.data.photos import Photos
from compress.errors import DataError, PassError
from compress.model import Model
from compress.networks.factory import output_of
from compress.networks.modules import to_module, zero_input
from compress.networks.network_identity import identity
from compress.runtime.devices import has_bfloat16
from compress.runtime.distributed import ProcessGroup
from compress.runtime.memory import resident_bytes
from compress.runtime.progress import Progress

_LOGGER = logging.getLogger(__name__)

_STATISTICS_VERSION = 10
"""Increased when the statistics of the same network and photos change."""

_BALANCE_PHOTOS, _BALANCE_BATCH = 2_000, 10
"""Photos that tell how frequent each class is; how many the network sees together."""

_MAX_CLASS_SHARE = 0.9
"""Largest fraction of the photos in one class without a warning."""

_VARIANCE_PHOTOS = 128
"""Photos for the variance of the network's outputs."""

_MAX_CACHED = 2
"""Largest number of entries in a `StatisticsCache`: networks before and after a stage that changes the reference."""

StatisticsCache = dict[tuple[object, ...], Mapping[str, LayerStatistics]]
"""Layer statistics in memory, by network, photos and seed. The oldest entry is dropped first."""


@dataclass(frozen=True, eq=False)
class FisherStatistics:
    """The statistics of a float network on calibration photos.

    Attributes:
        reference: the float network.
        photos: the calibration photos.
        seed: of the sampled gradients and the random crops.
        device: where the network runs.
        progress: reports the progress.
        processes: the processes that share the work.
        store: folder for row statistics; None: they are gathered at each call.
        cache: layer statistics in memory.
        memory_bytes: that this process may use. With less, fewer layers are gathered in a sweep over the photos.
    """

    reference: Model
    photos: Photos
    seed: int
    device: torch.device
    progress: Progress
    processes: ProcessGroup
    store: Path | None
    cache: StatisticsCache
    memory_bytes: int

    def layer_statistics(self, limit: int | None) -> Mapping[str, LayerStatistics]:
        """Return statistics without row blocks and row correlation, by name, on at most `limit` photos; None: on all.

        Raises:
            DataError, PassError: as `accumulate_statistics`; or there are fewer photos than processes, or no photo uses
                a layer.
        """
        indices = self._indices(limit)
        key = (*self._network_and_photos, self.seed, len(indices))
        if key not in self.cache:
            gathered = self._checked(dict(self._gather(indices, 1, 0)))
            for oldest in list(self.cache)[: len(self.cache) + 1 - _MAX_CACHED]:
                del self.cache[oldest]
            self.cache[key] = gathered
        return self.cache[key]

    def row_statistics(
        self,
        limit: int | None,
        augmentations: int = 1,
        row_block_bytes: int = ROW_BLOCK_BYTES,
        *,
        half_precision: bool = False,
    ) -> Mapping[str, LayerStatistics]:
        """Return statistics with row blocks and row correlation, by name, kept in `store`.

        Args:
            limit: use at most this number of photos; None: all.
            augmentations: how often each photo is used: unchanged first, then as random crops.
            row_block_bytes: memory for all row blocks.
            half_precision: run the network in bfloat16 if the device computes in it.
        Raises:
            DataError: as `layer_statistics`, or `store` is not writable.
            PassError: as `layer_statistics`.
        """
        indices = self._indices(limit)
        half_precision = self.processes.all_agree(half_precision and has_bfloat16(self.device))
        gather = partial(self._gather, indices, augmentations, row_block_bytes, half_precision=half_precision)
        if self.store is None:
            return self._checked(dict(gather()))
        digest = self._digest(len(indices), augmentations, row_block_bytes, half_precision=half_precision)
        path = self.store / f"statistics-{digest}.npz"
        if not self.processes.all_agree(path.exists()):
            layers = gather()
            if self.processes.is_first_of_machine:
                write_statistics(path, layers)
            else:
                deque(layers, 0)  # the processes gather them together
            self.processes.all_agree(True)  # the file is there
        return self._checked(StatisticsFile(path))

    def _checked(self, statistics: Mapping[str, LayerStatistics]) -> Mapping[str, LayerStatistics]:
        """Return the statistics; a weight tensor without any is a PassError."""
        if missing := next((name for name in self.reference.weight_names() if name not in statistics), None):
            raise PassError(
                "the network uses it for a photo of zeros, but for none of the calibration photos, so it has no "
                "statistics; add photos that need it, or use passes without statistics",
                tensor=missing,
            )
        return statistics

    def samples(self, limit: int | None, augmentations: int = 1) -> int:
        """Return the number of inputs of `row_statistics` with the same arguments."""
        return len(self._indices(limit)) * augmentations

    def layer_contributions(self, model: Model, before: Model, limit: int, seed: int) -> Mapping[str, Floats]:
        """Return how much each layer's error contributes to the divergence of a compressed model, in nats.

        Args:
            model: the compressed model.
            before: the model before compression. The error of a layer is the difference of the two.
            limit: use a random crop of at most this number of photos.
            seed: of the crops.
        Returns:
            by name, shape (batches,): estimates of `layer_sensitivity.layer_contributions`.
        Raises:
            DataError: there are no photos.
        """
        indices = self._indices(limit)
        errors = {
            name: torch.from_numpy(model.tensors[name].to_dense() - before.tensors[name].to_dense()).to(self.device)
            for name in model.weight_names()
        }
        networks = _with_true_gradients(to_module(model, self.device)), to_module(self.reference, self.device)
        pass_photos = measuring_photos(networks[1], zero_input(self.reference.preprocessing).to(self.device))
        crops = islice(self._batches(indices, 2, seed), 1, None, 2)
        inputs = (batch.inputs for batch in crops if batch.inputs is not None)
        with self.progress("measuring layer sensitivity", len(indices)) as advance:
            return layer_contributions(
                *networks, errors, inputs, advance, self.processes, pass_photos, self.output_error
            )

    def measured_error(self, model: Model, limit: int) -> float:
        """Return the error of a model's outputs, in nats or relative to their variance, on some unchanged photos.

        Args:
            model: the compressed model.
            limit: of photos.
        Returns:
            the mean over the photos, the same in all processes.
        """
        networks, total = (to_module(model, self.device), to_module(self.reference, self.device)), 0.0
        indices = self._indices(limit)
        with torch.no_grad():
            for batch in np.array_split(indices, -(-len(indices) // _BALANCE_BATCH)):
                outputs, reference = (network(self._inputs_at(batch)) for network in networks)
                total += float(self.output_error(outputs, reference)) * len(batch)
        return self.processes.broadcast(total / len(indices))

    def _gather(
        self, indices: Indices, augmentations: int, row_block_bytes: int, *, half_precision: bool = False
    ) -> Iterator[tuple[str, LayerStatistics]]:
        total = len(indices) * augmentations
        if 0 < total < self.processes.world_size:
            raise DataError(
                f"{total:,} calibration photos for {self.processes.world_size:,} processes; each process needs one"
            )
        network = _with_true_gradients(to_module(self.reference, self.device))
        batches = partial(self._batches, indices, augmentations, self.seed)
        sweeps = self._sweeps(row_block_bytes)
        class_weights = self._class_weights(network, indices) if self.photos.balance_classes else None
        weights = frozenset(self.reference.weight_names())
        options = GradientOptions(weights, self.output_error, row_block_bytes, class_weights, half_precision)
        with self.progress("gathering statistics", total * len(sweeps)) as advance:
            yield from accumulate_statistics(network, batches, advance, options, sweeps, self.processes)

    def _sweeps(self, row_block_bytes: int) -> list[Sweep]:
        """Return the layers of each sweep over the photos, the same in all processes."""
        free_bytes = self.memory_bytes - resident_bytes()
        sweeps = self.processes.broadcast(statistics_memory(self.reference, row_block_bytes).sweeps(free_bytes))
        if len(sweeps) > 1:
            _LOGGER.info("statistics take %d sweeps over the photos; with more memory, fewer", len(sweeps))
        return sweeps

    def _class_weights(self, network: nn.Module, indices: Indices) -> Tensor:
        """Return the weight of each class, shape (classes,): 1 for a class without photos, less for frequent ones.

        A class that has as many photos as the mean class gets one half.
        """
        some = spread_indices(len(indices), _BALANCE_PHOTOS)
        counts = torch.zeros(self.reference.classes, dtype=torch.float64, device=self.device)
        with torch.no_grad(), self.progress("weighting photos", len(some)) as advance:
            for batch in np.array_split(indices[some], -(-len(some) // _BALANCE_BATCH)):
                counts += network(self._inputs_at(batch)).softmax(1).double().sum(0)
                advance(len(batch))
        if float(counts.max()) > _MAX_CLASS_SHARE * len(some):
            _LOGGER.warning(
                "the float network sees one class in nearly all calibration photos; all other classes share its "
                "statistics, so add photos of other classes"
            )
        return 1 / (1 + counts / counts.mean())

    def _indices(self, limit: int | None) -> Indices:
        return spread_indices(len(self.photos), limit)

    def _batches(self, indices: Indices, augmentations: int, seed: int) -> Iterator[PhotoBatch]:
        shape = output_of(self.reference).shape(self.reference.classes)
        return photo_batches(self.photos, indices, augmentations, seed, shape, self._inputs_at, self.processes)

    def _inputs_at(self, indices: Indices) -> Tensor:
        return network_inputs(self.photos.at(indices), self.reference.preprocessing, self.device)

    @cached_property
    def output_error(self) -> OutputError:
        """How errors of the network's outputs are measured; values relative to their variance on some photos.

        Raises:
            DataError: the values are the same for all photos.
        """
        if output_of(self.reference).kind == "distribution":
            return OutputError()
        network = to_module(self.reference, self.device)
        with torch.no_grad():
            outputs = [network(self._inputs_at(index)) for index in self._indices(_VARIANCE_PHOTOS)[:, None]]
        return OutputError(output_variance(torch.cat(outputs).float().cpu().numpy()))

    @cached_property
    def _network_and_photos(self) -> tuple[object, ...]:
        balance = ("balanced",) if self.photos.balance_classes else ()
        return *balance, self.photos.fingerprint, weights_sha256(self.reference), *identity(self.reference)

    def _digest(self, photos: int, augmentations: int, row_block_bytes: int, *, half_precision: bool) -> str:
        """Return a hash of everything that determines the row statistics."""
        processes = () if self.processes.world_size == 1 else (self.processes.world_size,)
        precision = ("bfloat16",) if half_precision else ()
        run = self.seed, self.device.type, torch.__version__, *processes, *precision
        settings = photos, augmentations, row_block_bytes, *run
        determined_by = (_STATISTICS_VERSION, *self._network_and_photos, *settings)
        return hashlib.sha256(repr(determined_by).encode()).hexdigest()[:32]


def _with_true_gradients(network: nn.Module) -> nn.Module:
    """Remove what changes gradients for training: hooks of parameters and modules, options of embedding layers."""
    for parameter in network.parameters():
        (parameter._backward_hooks or {}).clear()
    for module in network.modules():
        module._backward_hooks.clear()
        module._backward_pre_hooks.clear()
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            module.scale_grad_by_freq = False
        if isinstance(module, nn.Embedding):  # an `EmbeddingBag` leaves the index out
            module.padding_idx = None
    return network
