"""Where photos come from, by the name that a pipeline file calls it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from compress.data.decoding import Progress
from compress.data.digits import Digits
from compress.data.folder import Folder
from compress.data.idx import Idx, has_idx_files
from compress.data.photos import Photos, Role
from compress.data.samples import Samples
from compress.model import Preprocessing


class Source(Protocol):
    """A frozen dataclass of options that can load the photos they name."""

    def load(
        self,
        preprocessing: Preprocessing,
        role: Role,
        *,
        classes: int,
        store: Path | None = None,
        progress: Progress | None = None,
    ) -> Photos:
        """Load the photos for a network.

        Args:
            preprocessing: the network's.
            role: what the photos are for.
            classes: how many the network tells apart; labels run from 0 to one less.
            store: folder that keeps decoded photos for the next run; None keeps them in memory.
            progress: told of each photo that is decoded.
        Raises:
            ConfigError: an option names a file that is not there.
            DataError: there are no photos, too many are broken, or labels do not fit the network.
        """
        ...


def source_at(path: Path, limit: int | None) -> Source:
    """Return the source of the photos at a path: a folder, a CSV file, a photo, or a folder of idx files."""
    return Idx(path, limit) if has_idx_files(path) else Folder(path, limit)


SOURCES: Mapping[str, type[Source]] = {"samples": Samples, "folder": Folder, "digits": Digits, "idx": Idx}
