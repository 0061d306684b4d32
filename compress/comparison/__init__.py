"""Two finished models on the same photos: which is right where, how far apart they are, and on which photos."""

from __future__ import annotations

from compress.comparison.compare import EMBEDDED, SAMPLES, compare_models
from compress.comparison.record import Comparison, PhotoAnswers

__all__ = ["EMBEDDED", "SAMPLES", "Comparison", "PhotoAnswers", "compare_models"]
