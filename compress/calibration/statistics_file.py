"""The file of a network's statistics: an npz archive, from which one layer at a time is read."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from compress.calibration.layer_statistics import LayerStatistics
from compress.errors import DataError
from compress.runtime.atomic_files import atomic_writer

_ARRAY_NAMES = {
    "input_factor": "moment",
    "row_fisher": "output_cost",
    "bias_fisher": "bias_cost",
    "row_blocks": "own",
    "row_correlation": "between",
}
"""Names in the file by attribute of `LayerStatistics`, preceded by the tensor's name and "|". Files of earlier versions
stay readable, since the statistics take minutes to gather."""


class StatisticsFile(Mapping[str, LayerStatistics]):
    """The statistics of a network's layers by name, in the network's order. Each access reads one layer."""

    def __init__(self, path: Path) -> None:
        """Open a file of `write_statistics`.

        Raises:
            DataError: the file is damaged.
        """
        self._path = path
        with _explained(path), np.load(path, allow_pickle=False) as arrays:
            self._names = list(dict.fromkeys(name.rpartition("|")[0] for name in arrays.files))

    def __getitem__(self, name: str) -> LayerStatistics:
        """Read the statistics of a layer.

        Raises:
            KeyError: no layer has this name.
            DataError: the file is damaged.
        """
        if name not in self._names:
            raise KeyError(name)
        keys = {attribute: f"{name}|{array}" for attribute, array in _ARRAY_NAMES.items()}
        with _explained(self._path), np.load(self._path, allow_pickle=False) as arrays:
            return LayerStatistics(**{each: arrays[key] for each, key in keys.items() if key in arrays.files})

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn the errors of a damaged file into one that says what to do."""
    try:
        yield
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot read the statistics ({error}); delete the file") from error


def write_statistics(path: Path, statistics: Mapping[str, LayerStatistics]) -> None:
    """Write statistics, whole or not at all.

    Raises:
        DataError: the disk is full, the folder is not writable, and so on.
    """
    arrays = {
        f"{name}|{array}": value
        for name, layer in statistics.items()
        for attribute, array in _ARRAY_NAMES.items()
        if (value := getattr(layer, attribute)) is not None
    }
    try:
        with atomic_writer(path) as stream:
            np.savez(stream, allow_pickle=False, **arrays)
    except OSError as error:
        gigabytes = sum(array.nbytes for array in arrays.values()) / 1e9
        raise DataError(
            f"cannot write the statistics ({gigabytes:.1f} GB) to {path.parent}: {error.strerror or error}; free some "
            "disk space, or choose another cache folder"
        ) from error
