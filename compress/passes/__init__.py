"""Passes: each takes a model and gives a smaller or a better one."""

from __future__ import annotations

from compress.context import Context
from compress.passes.distill import Distill
from compress.passes.interface import Pass
from compress.passes.prune import Prune
from compress.passes.quantize import Quantize
from compress.passes.recode import Recode
from compress.passes.round import Round
from compress.passes.share import Share
from compress.passes.simplify import Simplify
from compress.passes.train import Train

PASSES: dict[str, type[Pass]] = {
    each.kind: each for each in (Simplify, Prune, Share, Round, Quantize, Distill, Train, Recode)
}

__all__ = ["PASSES", "Context", "Distill", "Pass", "Prune", "Quantize", "Recode", "Round", "Share", "Simplify", "Train"]
