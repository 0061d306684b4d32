"""Progress reports of long work."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Advance = Callable[[int], None]
"""`advance(count)` reports that `count` more items are done."""

Progress = Callable[[str, int], AbstractContextManager[Advance]]
"""`progress(title, total)` opens a progress bar for `total` items and yields the function that advances it."""


def no_progress(title: str, total: int) -> AbstractContextManager[Advance]:
    """Show nothing."""
    return nullcontext(lambda count: None)
