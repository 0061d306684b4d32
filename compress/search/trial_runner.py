"""A pipeline with the values of a trial, measured step by step, the cheapest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compress import container
from compress.evaluation import metrics
from compress.evaluation.metrics import Outputs
from compress.model import Model
from compress.passes import Context, Distill, Train
from compress.pipeline import run_record
from compress.pipeline.config import Pipeline, Stage
from compress.pipeline.stages import Prepared, stages_of
from compress.pipeline.yaml_document import parts_of, resolved
from compress.search.trial_measurement import Measured

_PARTS = ((0, 8, 8), (4, 8, 4), (2, 4, 2), (1, 2, 1))
"""Photos that are added one after the other: the first, how far apart they are, and how far apart all are that then
are there: an eighth, a quarter, half, all."""

_FEWEST = 25
"""Photos that judge at least, where there are so many."""

_LEEWAY = 1.02
"""By how much training may still shrink a file: symbols stay, but coded values may come out shorter."""


class Judge:
    """Measures pipelines that differ in their stages alone, on the same photos.

    What one has found out of the float network serves all others, and what a stage left lies in the cache.
    """

    def __init__(self, prepared: Prepared, cache: Path, first_searched: int) -> None:
        """Begin.

        Args:
            prepared: what all the pipelines work on.
            cache: folder for what runs share.
            first_searched: place of the first stage in which the pipelines differ.
        """
        self._prepared, self._cache, self._first = prepared, cache, first_searched
        self._expected: tuple[str, NDArray[np.float32]] | None = None

    def measure(self, pipeline: Pipeline) -> Iterator[Measured]:
        """Run a pipeline, and yield after each step what is known; who asks no further saves the steps to come.

        After a stage: the bytes, and how close the network is on some of the photos, if the stage is one in which
        pipelines differ, or comes later. After the last one: the bytes alone, then more and more photos.

        Raises:
            SqueezeError: a stage failed.
        """
        reference = model = self._prepared.reference
        context = replace(self._prepared.context, codecs=pipeline.encode.codecs)
        last = len(pipeline.stages) - 1
        for place, left in enumerate(stages_of(pipeline, self._prepared, self._cache)):
            model, context = left.model, left.context
            reference = model if left.is_reference else reference
            if self._first <= place < last and not run_record.is_float(model):
                yield self._after_stage(place, pipeline, model, reference, context)
        yield from self._of_file(last + 1, model, reference, context)

    def _after_stage(
        self, place: int, pipeline: Pipeline, model: Model, reference: Model, context: Context
    ) -> Measured:
        file_bytes = context.file_bytes(model)
        settled = all(_keeps_symbols(stage) for stage in pipeline.stages[place + 1 :])
        known = Measured(place, file_bytes, int(file_bytes / _LEEWAY) if settled else None)
        stride = next((stride for *_, stride in _PARTS if self._photos // stride >= _FEWEST), 1)
        logits = self._logits(model, context, 0, stride)
        return self._judged(known, logits, reference, context, stride)

    def _of_file(self, step: int, model: Model, reference: Model, context: Context) -> Iterator[Measured]:
        file_bytes = context.file_bytes(model)
        known = Measured(step, file_bytes, file_bytes, of_file=True)
        yield known
        logits = np.empty((self._photos, model.classes), np.float32)
        for start, apart, stride in _PARTS:
            if start < self._photos:
                logits[start::apart] = self._logits(model, context, start, apart)
            if stride > 1 and self._photos // stride < _FEWEST:
                continue
            step += 1
            known = replace(known, step=step, on_all=stride == 1)
            yield self._judged(known, logits[::stride], reference, context, stride)

    def _judged(
        self, known: Measured, logits: NDArray[np.float32], reference: Model, context: Context, stride: int
    ) -> Measured:
        labels = self._prepared.validation.labels
        labels = None if labels is None else labels[::stride]
        found, wanted = Outputs(logits, labels), Outputs(self._wanted(reference, context)[::stride], labels)
        return replace(
            known,
            photos=len(logits),
            fidelity=metrics.fidelity(found, wanted),
            before=metrics.accuracy(wanted),
            after=metrics.accuracy(found),
        )

    def _wanted(self, reference: Model, context: Context) -> NDArray[np.float32]:
        """Return what the float network says of all photos."""
        digest = container.weights_sha256(reference)
        if self._expected is None or self._expected[0] != digest:
            self._expected = digest, self._logits(reference, context, 0, 1)
        return self._expected[1]

    @property
    def _photos(self) -> int:
        return len(self._prepared.validation)

    def _logits(self, model: Model, context: Context, start: int, apart: int) -> NDArray[np.float32]:
        photos = self._prepared.validation
        some = slice(start, None, apart)
        labels = None if photos.labels is None else photos.labels[some]
        part = replace(photos, pixels=photos.pixels[some], labels=labels, names=photos.names[some])
        return metrics.run(context.network(model), part, model.preprocessing, context.progress).logits


def first_searched(pipeline: Pipeline) -> int:
    """Return the place of the first stage in which something is searched; behind the last one if none is."""
    keys = [resolved(pipeline.document.root, parts_of(each.key)) for each in pipeline.search]
    return min([place for _, place, *_ in keys if isinstance(place, int)], default=len(pipeline.stages))


def _keeps_symbols(stage: Stage) -> bool:
    """Whether a stage leaves the indices of shared weights as they are."""
    return isinstance(stage.step, Train) or (isinstance(stage.step, Distill) and stage.step.levels == "fixed")
