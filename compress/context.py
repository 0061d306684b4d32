"""The inputs of a pass besides the model."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from compress import container
from compress.calibration.fisher_statistics import FisherStatistics, StatisticsCache
from compress.calibration.photo_batches import network_inputs, spread_indices
from compress.codecs import CODECS
from compress.data.photos import Photos
from compress.model import Model
from compress.networks.equivalence import same_outputs
from compress.networks.modules import to_module
from compress.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from compress.runtime.memory import default_memory_bytes
from compress.runtime.progress import Progress, no_progress

_PROOF_PHOTOS = 4
"""Photos on which a rewritten network is compared with the original."""


class Quality(NamedTuple):
    """Whether a model meets limits on quality, and its results in words."""

    met: bool
    results: str


@dataclass(frozen=True, eq=False)
class QualityTarget:
    """Limits on quality, measured on validation photos.

    Attributes:
        identity: the limits and the photos, as JSON values.
        measure: returns the quality of a model; None: results come from the cache alone.
    """

    identity: Mapping[str, object]
    measure: Callable[[Model], Quality] | None


@dataclass(frozen=True, eq=False)
class Context:
    """The inputs that all passes share. A pass leaves nothing in it for later passes: results go through the model.

    Attributes:
        reference: the float network, which passes approximate.
        calibration: photos for the passes; none of them is a validation photo.
        seed: of the run.
        stage: name of the running stage; its random numbers depend on the name and on the seed.
        device: where networks run.
        progress: reports the progress of long passes.
        codecs: names of the codecs that the file may use.
        store: cache folder, for statistics and for checkpoints of long passes; None: nothing is stored.
        out: folder for the last good weights of a pass that fails; None: they are lost.
        processes: the processes that run together, and the index of this one.
        quality: limits that the smallest file has to meet, of a pass that `needs_goal`; else None.
        statistics_cache: memory of `fisher`, shared by all stages.
        memory_bytes: memory that this process may use. Results do not depend on it.
    """

    reference: Model
    calibration: Photos
    seed: int = 0
    stage: str = "stage"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    progress: Progress = no_progress
    codecs: Sequence[str] = tuple(CODECS)
    store: Path | None = None
    out: Path | None = None
    processes: ProcessGroup = SINGLE_PROCESS
    quality: QualityTarget | None = None
    statistics_cache: StatisticsCache = field(default_factory=dict, repr=False)
    memory_bytes: int = field(default_factory=default_memory_bytes)

    @cached_property
    def stage_seed(self) -> int:
        """Seed of the stage. A new stage does not change the random numbers of other stages."""
        return (self.seed * 0x9E3779B1 + zlib.crc32(self.stage.encode())) % 2**32

    @property
    def fisher(self) -> FisherStatistics:
        """The Fisher statistics of `reference` on `calibration`."""
        shared = self.progress, self.processes, self.store, self.statistics_cache, self.memory_bytes
        return FisherStatistics(self.reference, self.calibration, self.seed, self.device, *shared)

    def file_bytes(self, model: Model) -> int:
        """Return the size of a model's file in bytes."""
        return len(container.encode(model, self.codecs))

    def inputs(self, indices: NDArray[np.int64]) -> torch.Tensor:
        """Return the calibration photos at these indices as network input on the device."""
        return self.as_inputs(self.calibration.at(indices))

    def as_inputs(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """Return pixels, shape (n, height, width, channels), as network input on the device."""
        return network_inputs(pixels, self.reference.preprocessing, self.device)

    def network(self, model: Model) -> nn.Module:
        """Return the torch module of a model, on the device."""
        return to_module(model, self.device)

    def has_same_outputs(self, model: Model, rewritten: Model) -> bool:
        """Return whether a rewritten network has the outputs of the original on some calibration photos.

        A rewrite rests on an analysis of the network's operations, which cannot see all that the user's code does. The
        networks run on the CPU, where no faster format than float32 rounds their products.
        """
        photos = self.calibration.at(spread_indices(len(self.calibration), _PROOF_PHOTOS))
        inputs = network_inputs(photos, model.preprocessing, torch.device("cpu"))
        with torch.no_grad():
            expected, actual = (
                to_module(each)(inputs.clone(memory_format=torch.contiguous_format)) for each in (model, rewritten)
            )
        return same_outputs(expected, actual)
