"""Runs a pipeline with the values of a trial and measures it step by step, cheap measurements first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from compress import container
from compress.configuration.config import Pipeline
from compress.context import Context
from compress.evaluation import metrics
from compress.evaluation.metrics import Outputs
from compress.model import Model
from compress.networks.factory import output_of
from compress.pipeline.inputs import RunInputs
from compress.pipeline.stages import is_uncompressed, run_stages
from compress.search.observation import Observation

_STRIDES = (8, 4, 2, 1)
"""A subset has every `stride`-th photo; each is twice as large as the one before."""

_MIN_PHOTOS = 25
"""Size of the smallest subset, if there are as many photos."""

_MAX_SHRINKAGE = 1.02
"""Factor by which training can still shrink a file: symbols stay, but values can take fewer bytes."""


class TrialRunner:
    """Measures pipelines that differ in stages and coding, on the same photos.

    Stages that trials have in common come from the cache, and the outputs of the float network are computed once.
    """

    def __init__(self, inputs: RunInputs, first_stage: int) -> None:
        """Keep the inputs of all trials.

        Args:
            inputs: weights and photos.
            first_stage: index of the first stage in which the pipelines differ.
        """
        self._inputs, self._first_stage = inputs, first_stage
        self._photos = len(inputs.validation)
        self._strides = [stride for stride in _STRIDES if stride == 1 or self._photos // stride >= _MIN_PHOTOS]
        self._reference_logits: tuple[str, NDArray[np.float32]] | None = None

    def observe(self, pipeline: Pipeline) -> Iterator[Observation]:
        """Run a pipeline and yield an observation after each step; later steps run when they are requested.

        Steps are: each stage from `first_stage` to the one before the last, with its bytes and its fidelity on a subset
        of the photos; the last stage, with its bytes; then larger and larger subsets of the photos.

        Raises:
            SqueezeError: a stage failed.
        """
        reference = model = self._inputs.reference
        context = replace(self._inputs.context, codecs=pipeline.encode.codecs)
        last = len(pipeline.stages) - 1
        for index, result in enumerate(run_stages(pipeline, self._inputs)):
            model, context = result.model, result.context
            reference = model if result.is_reference else reference
            if self._first_stage <= index < last and not is_uncompressed(model):
                yield self._observe_stage(index, pipeline, model, reference, context)
        yield from self._observe_file(last + 1, model, reference, context)

    def _observe_stage(
        self, index: int, pipeline: Pipeline, model: Model, reference: Model, context: Context
    ) -> Observation:
        file_bytes = context.file_bytes(model)
        keeps_symbols = all(stage.pass_.keeps_symbols for stage in pipeline.stages[index + 1 :])
        known = Observation(index, file_bytes, int(file_bytes / _MAX_SHRINKAGE) if keeps_symbols else None)
        stride = self._strides[0]
        return self._compare(known, self._logits(model, context, slice(0, None, stride)), reference, context, stride)

    def _observe_file(self, step: int, model: Model, reference: Model, context: Context) -> Iterator[Observation]:
        file_bytes = context.file_bytes(model)
        known = Observation(step, file_bytes, file_bytes, is_final=True)
        yield known
        logits = np.empty((self._photos, *output_of(model).shape(model.classes)), np.float32)
        added = slice(0, None, self._strides[0])
        for stride in self._strides:
            logits[added] = self._logits(model, context, added)
            known = replace(known, step=known.step + 1, is_complete=stride == 1)
            yield self._compare(known, logits[::stride], reference, context, stride)
            added = slice(stride // 2, None, stride)

    def _compare(
        self, known: Observation, logits: NDArray[np.float32], reference: Model, context: Context, stride: int
    ) -> Observation:
        """Return the observation with the fidelity and accuracy of these logits, of each `stride`-th photo."""
        labels = self._inputs.validation.labels
        labels = None if labels is None else labels[::stride]
        own, expected = Outputs(logits, labels), Outputs(self._expected(reference, context)[::stride], labels)
        return replace(
            known,
            fidelity=metrics.fidelity(own, expected),
            reference_accuracy=metrics.accuracy(expected),
            accuracy=metrics.accuracy(own),
        )

    def _expected(self, reference: Model, context: Context) -> NDArray[np.float32]:
        """Return the float network's logits of all photos."""
        digest = container.weights_sha256(reference)
        if self._reference_logits is None or self._reference_logits[0] != digest:
            self._reference_logits = digest, self._logits(reference, context, slice(None))
        return self._reference_logits[1]

    def _logits(self, model: Model, context: Context, subset: slice) -> NDArray[np.float32]:
        photos = self._inputs.validation
        labels = None if photos.labels is None else photos.labels[subset]
        some = replace(photos, pixels=photos.pixels[subset], labels=labels, names=photos.names[subset])
        return metrics.run(context.network(model), some, model.preprocessing, context.progress).logits


def first_searched_stage(pipeline: Pipeline) -> int:
    """Return the index of the first stage that has a searched value; the number of stages if none has."""
    paths = [pipeline.document.path_of(parameter.key) for parameter in pipeline.search]
    return min([index for _, index, *_ in paths if isinstance(index, int)], default=len(pipeline.stages))
