"""A SqueezeNet for ten classes whose weights nobody trained: as many tensors as the real one, and quickly made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from compress.model import CAFFE, Model
from compress.networks.modules import build
from compress.tensors.forms import Dense, Shared

CLASSES = 10
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine ünd")


def float_squeezenet(architecture: str = "squeezenet1_1") -> Model:
    """Weights from a seed, small enough that outputs are finite; at 64 x 64 pixels it takes no time."""
    random = np.random.default_rng(7)
    tensors = {}
    for name, parameter in build(architecture, CLASSES).named_parameters():
        spread = 1.5 / parameter[0].numel() ** 0.5 if parameter.dim() > 1 else 0.1
        tensors[name] = Dense((spread * random.standard_normal(parameter.shape)).astype(np.float32))
    return Model(architecture, CLASSES, replace(CAFFE, height=64, width=64), tensors, NAMES)


def shared_squeezenet(architecture: str = "squeezenet1_1") -> Model:
    """The same with seven values a layer and zero, as a finished file would have them."""
    model = float_squeezenet(architecture)
    changed = {}
    for name in model.weight_names():
        values = model.tensors[name].to_dense()
        step = np.float32(np.float16(values.std() * 0.8))
        levels = np.clip(np.rint(values / step), -3, 4).astype(np.int32)
        codebook = np.array([0, -3, -2, -1, 1, 2, 3, 4], np.float32) * step
        place = np.array([1, 2, 3, 0, 4, 5, 6, 7], np.uint16)
        changed[name] = Shared(codebook, place[levels + 3], "float32")
    return model.with_tensors(changed)
