"""Small SqueezeNets for ten classes: all tensors of the real network, quickly made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from compress.model import CAFFE, Model
from compress.networks.modules import builtin_network
from compress.tensors.forms import Dense, Shared

CLASSES = 10
LABELS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine ünd")


def float_squeezenet(architecture: str = "squeezenet1_1") -> Model:
    """Return a model with random weights, scaled so that outputs are finite, for photos of 64 x 64 pixels."""
    random = np.random.default_rng(7)
    tensors = {}
    for name, parameter in builtin_network(architecture, CLASSES).named_parameters():
        std = 1.5 / parameter[0].numel() ** 0.5 if parameter.dim() > 1 else 0.1
        tensors[name] = Dense((std * random.standard_normal(parameter.shape)).astype(np.float32))
    return Model(architecture, CLASSES, replace(CAFFE, height=64, width=64), tensors, LABELS)


def shared_squeezenet(architecture: str = "squeezenet1_1") -> Model:
    """Return the same model with a codebook of zero and seven values for each layer."""
    model = float_squeezenet(architecture)
    shared = {}
    for name in model.weight_names():
        values = model.tensors[name].to_dense()
        step = np.float32(np.float16(values.std() * 0.8))
        levels = np.clip(np.rint(values / step), -3, 4).astype(np.int32)
        codebook = np.array([0, -3, -2, -1, 1, 2, 3, 4], np.float32) * step
        index_of_level = np.array([1, 2, 3, 0, 4, 5, 6, 7], np.uint16)
        shared[name] = Shared(codebook, index_of_level[levels + 3], "float32")
    return model.with_tensors(shared)
