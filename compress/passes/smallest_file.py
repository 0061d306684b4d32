"""The smallest file that meets limits on quality: a search over lambda that uses the same statistics for all trials."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from compress.context import Context, Quality
from compress.errors import PassError
from compress.model import Model
from compress.quantization.quality_search import QualitySearch

_LOGGER = logging.getLogger(__name__)


class _Candidate(NamedTuple):
    model: Model
    lambda_: float
    file_bytes: int
    quality: Quality

    @property
    def rank(self) -> tuple[bool, int]:
        """The higher, the better: the smallest file that meets the limits, else the largest."""
        return self.quality.met, -self.file_bytes if self.quality.met else self.file_bytes


def find_smallest(
    compress_at: Callable[[float], Model], lambda_: float, max_gap: float, context: Context, first_step: float
) -> tuple[Model, float]:
    """Return the model of the smallest file that meets the limits of the context, and its lambda.

    If none does, return the model of the largest file, and log its quality. A note says what was found. `compress_at`
    returns the model at a lambda, and `lambda_` is the first to try.

    Raises:
        PassError: the context has no limits, or no lambda is possible.
    """
    search, candidates = QualitySearch(lambda_, max_gap, first_step), 0
    best: _Candidate | None = None
    with context.progress("searching for the smallest file", 0) as advance:
        while (trial := search.next_lambda()) is not None:
            candidate = _candidate(compress_at, trial, context)
            search.record(trial, candidate and candidate.file_bytes, met=bool(candidate and candidate.quality.met))
            if candidate:
                candidates += 1
                _report(candidate, context)
                best = candidate if best is None else max(best, candidate, key=lambda each: each.rank)
            advance(1)
    if best is None:
        raise PassError("no lambda gives levels that a file can have")
    return replace(best.model, notes=(*best.model.notes, _note(best, candidates, context))), best.lambda_


def _candidate(compress_at: Callable[[float], Model], lambda_: float, context: Context) -> _Candidate | None:
    """Return the file at a lambda; None if it needs more levels than a file can have.

    All processes measure the model of the first: machines may round differently.
    """
    if context.quality is None or context.quality.measure is None:
        raise PassError("bytes: smallest needs the limits of a goal; give a number of bytes, or lambda")
    model: Model | None = None
    with suppress(PassError):
        model = compress_at(lambda_)
    model = context.processes.broadcast(model)
    if model is None:
        return None
    return _Candidate(model, lambda_, context.file_bytes(model), context.quality.measure(model))


def _report(candidate: _Candidate, context: Context) -> None:
    if context.processes.is_first:
        met, results = candidate.quality
        verdict = "meets" if met else "misses"
        _LOGGER.info(
            "%s: a file of %s bytes %s the goal: %s", context.stage, f"{candidate.file_bytes:,}", verdict, results
        )


def _note(best: _Candidate, candidates: int, context: Context) -> str:
    """Return what was found in words; log it if it misses the limits."""
    results = f"{best.quality.results} in {best.file_bytes:,} bytes"
    if best.quality.met:
        return f"the smallest file that meets the goal, of {candidates}: {results}"
    note = f"no file meets the goal; the largest, of {candidates}: {results}"
    _LOGGER.warning("%s: %s", context.stage, note)
    return note
