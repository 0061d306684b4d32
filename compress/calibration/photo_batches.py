"""Batches of calibration photos as network input, with random crops as data augmentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compress.data.augmentation import draw_crops, random_crops
from compress.data.photos import Photos
from compress.data.transforms import to_input
from compress.model import Preprocessing
from compress.runtime.distributed import ProcessGroup

MAX_BATCH_PHOTOS = 10
"""Photos whose random numbers are drawn together, and that measure the sensitivity of layers together."""

MAX_PASS_PHOTOS = 5
"""Photos in a forward and backward pass of the statistics. More are no faster and take more memory."""

Indices = NDArray[np.int64]


class PhotoBatch(NamedTuple):
    """Photos that run through a network together.

    Attributes:
        noise: float32, in the shape of the network's outputs, standard normal numbers for the directions of sampled
            gradients.
        inputs: shape (photos, channels, height, width), on the network's device; None: another process runs the batch.
    """

    noise: Tensor
    inputs: Tensor | None

    @property
    def photos(self) -> int:
        """Number of photos."""
        return len(self.noise)

    def passes(self) -> Iterator[PhotoBatch]:
        """Yield the photos of each forward and backward pass."""
        for first in range(0, self.photos, MAX_PASS_PHOTOS):
            part = slice(first, first + MAX_PASS_PHOTOS)
            yield PhotoBatch(self.noise[part], None if self.inputs is None else self.inputs[part])


def network_inputs(pixels: NDArray[np.uint8], preprocessing: Preprocessing, device: torch.device) -> Tensor:
    """Return photos, shape (n, height, width, channels), as network input on the device, in memory channels last."""
    return torch.from_numpy(to_input(pixels, preprocessing)).to(device, memory_format=torch.channels_last)


def spread_indices(photos: int, limit: int | None) -> Indices:
    """Return the indices of at most `limit` photos, evenly spread, since a folder is sorted by class; None: of all."""
    return np.linspace(0, photos - 1, min(photos, limit or photos)).astype(np.int64)


def photo_batches(
    photos: Photos,
    indices: Indices,
    augmentations: int,
    seed: int,
    output_shape: tuple[int, ...],
    inputs_at: Callable[[Indices], Tensor],
    processes: ProcessGroup,
) -> Iterator[PhotoBatch]:
    """Yield each batch of photos unchanged, then `augmentations - 1` times as random crops.

    Each process draws the random numbers of all batches, so that a photo has the same ones whichever process runs it.

    Args:
        photos: all calibration photos.
        indices: the photos to use.
        augmentations: how often each photo is used.
        seed: of the crops and of the noise.
        output_shape: of the network's outputs for one photo.
        inputs_at: returns the network input of the photos at some indices.
        processes: the processes that share the batches.
    """
    random, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    height, width = photos.pixels.shape[1:3]
    batch_photos = max(1, min(MAX_BATCH_PHOTOS, len(indices) // processes.world_size))
    for number, start in enumerate(range(0, len(indices), batch_photos)):
        batch = indices[start : start + batch_photos]
        unchanged = inputs_at(batch) if processes.owns(number) else None
        for augmentation in range(augmentations):
            inputs = unchanged
            if augmentation and inputs is None:
                draw_crops(len(batch), height, width, random)
            elif augmentation and inputs is not None:
                inputs = random_crops(inputs, random)
            yield PhotoBatch(torch.randn((len(batch), *output_shape), generator=generator), inputs)
