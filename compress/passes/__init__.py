"""Passes: each takes a model and returns a smaller or better one.

Input: a model, and a `Context` with the float network and calibration photos. Output: a new model, whose tensors are
pruned, shared or quantized, or whose weights are trained. A pass is a thin module of options; the work is done in the
rooms `calibration`, `quantization` and `training`. To add a pass, write a module with a subclass of `Pass` and add the
class to the tuple here.
"""

from __future__ import annotations

from compress.passes.distill import Distill
from compress.passes.interface import Pass
from compress.passes.prune import Prune
from compress.passes.quantize import Quantize
from compress.passes.recode import Recode
from compress.passes.share import Share
from compress.passes.simplify import Simplify
from compress.passes.train import Train

_CLASSES: tuple[type[Pass], ...] = (Simplify, Prune, Share, Quantize, Distill, Train, Recode)

PASSES = {each.kind: each for each in _CLASSES}
"""All passes by their name in a pipeline file."""

__all__ = ["PASSES", "Distill", "Pass", "Prune", "Quantize", "Recode", "Share", "Simplify", "Train"]
