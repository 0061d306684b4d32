"""Statistics of a network kept on disk: they take minutes to gather, and more memory than is to be held at once."""

from __future__ import annotations

import os
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np

from compress.calibration.layer_statistics import LayerStatistics
from compress.errors import DataError


class StatisticsFile(Mapping[str, LayerStatistics]):
    """The statistics of a network's layers, by name; each layer's are read when they are asked for."""

    def __init__(self, path: Path) -> None:
        """Open a file that `write` made.

        Raises:
            DataError: it is not such a file.
        """
        self._path = path
        with self._explained(), np.load(path, allow_pickle=False) as arrays:
            self._names = list(dict.fromkeys(name.rpartition("|")[0] for name in arrays.files))

    def __getitem__(self, name: str) -> LayerStatistics:
        """Read one layer's.

        Raises:
            KeyError: there is no such layer.
            DataError: they cannot be read.
        """
        if name not in self._names:
            raise KeyError(name)
        with self._explained(), np.load(self._path, allow_pickle=False) as arrays:
            parts = {field.name: f"{name}|{field.name}" for field in fields(LayerStatistics)}
            return LayerStatistics(**{part: arrays[key] for part, key in parts.items() if key in arrays.files})

    def __iter__(self) -> Iterator[str]:
        """Go through the layers' names, in the network's order."""
        return iter(self._names)

    def __len__(self) -> int:
        """Return how many layers there are."""
        return len(self._names)

    def _explained(self) -> _Explained:
        return _Explained(self._path)


class _Explained:
    """Turns what reading a damaged file raises into an error that tells what to do."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError | ValueError | EOFError | TypeError | zipfile.BadZipFile):
            raise DataError(f"{self._path}: cannot read the statistics kept there ({error}); delete it") from error


def write(path: Path, statistics: Mapping[str, LayerStatistics]) -> None:
    """Write statistics, whole or not at all.

    Raises:
        DataError: the disk is full, the folder cannot be written, and so on.
    """
    arrays = {
        f"{name}|{field.name}": value
        for name, layer in statistics.items()
        for field in fields(LayerStatistics)
        if (value := getattr(layer, field.name)) is not None
    }
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        gigabytes = sum(array.nbytes for array in arrays.values()) / 1e9
        raise DataError(
            f"cannot keep the statistics ({gigabytes:.1f} GB) in {path.parent}: {error.strerror or error}; "
            "free some space there or give another folder"
        ) from error
