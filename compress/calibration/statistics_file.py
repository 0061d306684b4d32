"""The file of a network's statistics: an npz archive, from which one layer at a time is read."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from compress.calibration.layer_statistics import LayerStatistics
from compress.errors import DataError
from compress.runtime.atomic_files import atomic_writer
from compress.runtime.memory import release_free_memory

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
        release_free_memory()  # gaps that earlier layers left in the heap: 0.6 GB for SqueezeNet
        keys = {attribute: f"{name}|{array}" for attribute, array in _ARRAY_NAMES.items()}
        with _explained(self._path), np.load(self._path, allow_pickle=False) as arrays:
            return LayerStatistics(**{each: arrays[key] for each, key in keys.items() if key in arrays.files})

    def __contains__(self, name: object) -> bool:
        return name in self._names  # `Mapping` would read the layer

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn the errors of a damaged file into a `DataError` with the remedy."""
    try:
        yield
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot read the statistics ({error}); delete the file") from error


def write_statistics(path: Path, statistics: Iterable[tuple[str, LayerStatistics]]) -> None:
    """Write the statistics of layers one by one, whole or not at all.

    Raises:
        DataError: the disk is full, the folder is not writable, and so on.
    """
    written = 0
    try:
        with atomic_writer(path) as stream, zipfile.ZipFile(stream, "w") as archive:
            for name, layer in statistics:
                for attribute, array_name in _ARRAY_NAMES.items():
                    if (array := getattr(layer, attribute)) is not None:
                        with archive.open(f"{name}|{array_name}.npy", "w", force_zip64=True) as entry:
                            np.lib.format.write_array(entry, array, allow_pickle=False)
                        written += array.nbytes
    except OSError as error:
        raise DataError(
            f"cannot write the statistics to {path.parent} after {written / 1e9:.1f} GB: {error.strerror or error}; "
            "free some disk space, or choose another cache folder"
        ) from error
