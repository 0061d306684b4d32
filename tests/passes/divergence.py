"""How far a model is from the float network on the calibration photos."""

from __future__ import annotations

from compress.model import Model
from compress.passes import Context
from compress.progress import silent
from compress.validate import divergences, run


def divergence(model: Model, context: Context) -> float:
    outputs = [
        run(context.network(each), context.calibration, each.preprocessing, silent)
        for each in (model, context.reference)
    ]
    return float(divergences(*outputs).mean())
