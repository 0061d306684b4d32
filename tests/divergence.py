"""The divergence of a model from the float network, for tests of passes."""

from __future__ import annotations

from compress.context import Context
from compress.evaluation.metrics import divergences, run
from compress.model import Model
from compress.runtime.progress import no_progress


def divergence(model: Model, context: Context) -> float:
    """Return the mean divergence on the calibration photos, in nats."""
    outputs = [
        run(context.network(each), context.calibration, each.preprocessing, no_progress)
        for each in (model, context.reference)
    ]
    return float(divergences(*outputs).mean())
