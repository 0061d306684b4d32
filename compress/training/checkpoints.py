"""What a long pass keeps on disk, so that one that was killed goes on and ends with the same weights."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from compress.runtime.atomic_files import write_atomically


class Kept:
    """A file with the state of one pass on one model, and no other's: its name is a hash of all that decides it."""

    def __init__(self, store: Path | None, what: str, decided_by: Iterable[object], *, with_data: bool = True) -> None:
        """Begin.

        Args:
            store: folder of the file; None keeps nothing.
            what: first part of the file's name.
            decided_by: all that the state depends on; each is told apart by its `repr`.
            with_data: whether another file goes with it.
        """
        digest = hashlib.sha256("\n".join(map(repr, [torch.__version__, *decided_by])).encode()).hexdigest()[:32]
        self._path = store / f"{what}-{digest}.state" if store else None
        self._with_data = with_data

    @property
    def beside(self) -> Path | None:
        """Another file that goes with it, for what is too large to be written whole; None where nothing is kept."""
        return self._path.with_suffix(".data") if self._path and self._with_data else None

    def read(self) -> Mapping[str, Any] | None:
        """Return the state that was kept last; None where there is none that can be read, or nothing is beside it."""
        if self._path is None or (self.beside is not None and not self.beside.exists()):
            return None
        try:
            state: Mapping[str, Any] = torch.load(self._path, weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
            return None
        return state

    def write(self, state: Mapping[str, Any]) -> None:
        """Keep a state instead of the one before: tensors, numbers and texts in lists and dicts."""
        if self._path is not None:
            data = io.BytesIO()
            torch.save(dict(state), data)
            write_atomically(self._path, data.getvalue())

    def remove(self) -> None:
        """Remove it and what is beside it: the pass is done."""
        for path in (self._path, self.beside):
            if path is not None:
                path.unlink(missing_ok=True)
