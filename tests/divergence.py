"""Outputs of a model, and their divergence from those of the float network, for tests of passes."""

from __future__ import annotations

from compress.context import Context
from compress.evaluation.metrics import Outputs, divergences, run
from compress.model import Model
from compress.runtime.progress import no_progress


def outputs(model: Model, context: Context) -> Outputs:
    """Return the outputs of a model on the calibration photos."""
    return run(context.network(model), context.calibration, model.preprocessing, no_progress)


def divergence(model: Model, context: Context) -> float:
    """Return the mean divergence on the calibration photos, in nats."""
    return float(divergences(outputs(model, context), outputs(context.reference, context)).mean())
