"""How far a model is from the float network on the calibration photos."""

from __future__ import annotations

from compress.evaluation.metrics import divergences, run
from compress.model import Model
from compress.passes import Context
from compress.runtime.progress import no_progress


def divergence(model: Model, context: Context) -> float:
    outputs = [
        run(context.network(each), context.calibration, each.preprocessing, no_progress)
        for each in (model, context.reference)
    ]
    return float(divergences(*outputs).mean())
