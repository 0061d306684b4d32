"""Files for fuzzing: small good files with every form and codec, and mutations of them.

A file depends only on its number and the seed, so that every file is reproducible.
"""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.format_models import coefficients_model, levels_model, small_model
from benchmarks.fuzz_changes import MUTATIONS, mutate_bytes
from compress.codecs import CODECS
from compress.codecs.primitives.trellis import NO_TRELLIS, TRELLIS_4096, trellis_levels
from compress.container.file import encode
from compress.model import Model, Preprocessing
from compress.tensors.forms import Dense, Pruned, Shared, Tensor
from compress.tensors.levels import levels_codebook, levels_to_symbols

CORRECTED = 0.75
"""Fraction of the mutated files with correct checksums, so that a reader needs its other checks."""


@dataclass(frozen=True)
class FuzzFile:
    """A file to read.

    Attributes:
        kind: `good`, `cut`, `unsealed` or a name in `MUTATIONS`.
        data: its bytes.
        original: index in `originals` of the good file that it comes from.
        corrected: whether its checksums are correct, so that it may be valid.
    """

    kind: str
    data: bytes
    original: int
    corrected: bool


@functools.cache
def originals() -> tuple[bytes, ...]:
    """Return good files.

    They hold two models with each codec and with all codecs, one with and without a trellis, and one with codes by
    column.
    """
    choices = [[name] for name in CODECS] + [list(CODECS)]
    files = [encode(model, codecs) for codecs in choices for model in (_plain_model(), _coded_model())]
    return (*files, encode(_trellis_model(), ["context"]), encode(columns_model(), ["huffman"]))


def file_of(number: int, seed: int) -> FuzzFile:
    """Return a file: first the good ones, then one cut off at every byte, then mutations without end."""
    files = originals()
    if number < len(files):
        return FuzzFile("good", files[number], number, corrected=True)
    cut = number - len(files)
    if cut < len(files[_SMALL]):
        return FuzzFile("cut", files[_SMALL][:cut], _SMALL, corrected=False)
    rng = random.Random(f"{seed} {number}")
    original = rng.randrange(len(files))
    corrected = rng.random() < CORRECTED
    kind = rng.choice(list(MUTATIONS))
    if not corrected:
        return FuzzFile("unsealed", mutate_bytes(files[original], rng), original, corrected=False)
    return FuzzFile(kind, MUTATIONS[kind](files[original], rng), original, corrected=True)


_SMALL = 2
"""Index in `originals` of the file that is cut at every byte: the plain model with the second codec."""


def _plain_model() -> Model:
    """`small_model` with a pruned tensor of four dimensions, an empty tensor and a scalar."""
    small, mask = small_model(), np.arange(48).reshape(2, 4, 2, 3) % 5 == 0
    codebook, no_rows, columns = levels_codebook(4), np.zeros(0, np.int8), np.array([1, 1, 127], dtype=np.int8)
    more: dict[str, Tensor] = {
        "pruned": Pruned(np.where(mask, np.float32(0.1), np.float32(0)), mask),
        "empty": Shared(codebook, np.zeros((0, 3), dtype=np.uint16), "float16", no_rows, columns),
        "scalar": Dense(np.array(2, dtype=np.float32)),
    }
    return replace(small, tensors={**small.tensors, **more})


def _coded_model() -> Model:
    """`levels_model` with coefficients of kernels, and with class names that are smaller when compressed."""
    kernels = {f"kernels.{name}": tensor for name, tensor in coefficients_model().tensors.items()}
    labels = tuple(f"one of the same name, {i // 10}" for i in range(40))
    levels = levels_model()
    return replace(levels, tensors={**levels.tensors, **kernels}, classes=40, labels=labels)


def _trellis_model() -> Model:
    """Levels with and without the trellis; correlated columns, which the codec predicts, and independent ones."""
    random = np.random.default_rng(6)
    tensors: dict[str, Tensor] = {}
    for which, trellis in enumerate((NO_TRELLIS, TRELLIS_4096)):
        for correlation in (0, 6):
            shared_part = np.outer(random.laplace(size=100), random.choice([-1, 1], 13)) * correlation
            indices = np.rint(shared_part + random.laplace(size=shared_part.shape)).astype(np.int32)
            symbols = levels_to_symbols(trellis_levels(indices, trellis))
            tensors[f"{which}.{correlation}"] = Shared(levels_codebook(int(symbols.max()) + 1), symbols, "float16")
    return Model("trellis", 3, Preprocessing(8, 8, "squash", "RGB", 1.0, (1.0,), ()), tensors)


def columns_model() -> Model:
    """Columns with 2 to 4 different distributions, and codebooks that a Huffman code makes smaller."""
    random = np.random.default_rng(7)
    tensors: dict[str, Tensor] = {}
    for kinds, shape in ((2, (40, 12)), (3, (20, 12, 2, 2)), (4, (80, 16))):
        largest = 3 ** (np.arange(shape[1]) % kinds)
        extents = largest.reshape(1, -1, *(1 for _ in shape[2:])) + 1
        symbols = (random.random(shape) * extents).astype(np.uint16)
        steps = random.uniform(0.8, 1.2, 60).cumsum()
        codebook = np.append(np.float32(0), steps.astype(np.float16).astype(np.float32))
        tensors[f"{kinds}.weight"] = Shared(codebook, symbols, "float16")
    return Model("columns", 3, Preprocessing(8, 8, "squash", "RGB", 1.0, (1.0,), ()), tensors)
