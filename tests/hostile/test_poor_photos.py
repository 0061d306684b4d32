"""Calibration photos with little or no information, and dead layers: an error, or finite weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compress.errors import DataError
from compress.passes import Distill, Prune, Quantize, Share
from compress.tensors.forms import Dense

PASSES = {
    "prune by fisher, with obs_update": [Prune(sparsity=0.5, criterion="fisher", obs_update=True)],
    "share by fisher": [Share(bits=3, importance="fisher")],
    "share with lambda": [Share(bits=3, lambda_=1e-7)],
    "share to bytes": [Share(bits=3, bytes=1400)],
    "quantize": [Quantize(lambda_=1e-4)],
    "quantize to bytes": [Quantize(bytes=1400)],
    "distill": [Share(bits=3), Distill(steps=2)],
    "distill levels": [Quantize(lambda_=1e-4), Distill(steps=2)],
}
POOR_PHOTOS = {
    "one photo": lambda random: random.integers(0, 256, (1, 12, 12, 3), np.uint8),
    "one photo, repeated": lambda random: random.integers(0, 256, (1, 12, 12, 3), np.uint8).repeat(9, 0),
    "black photos": lambda random: np.zeros((9, 12, 12, 3), np.uint8),
    "gray photos": lambda random: np.full((9, 12, 12, 3), 128, np.uint8),
}


def applied(passes, model, context):
    for step in passes:
        model = step(model, context)
    return model


def all_finite(model):
    return all(np.isfinite(tensor.to_dense()).all() for tensor in model.tensors.values())


@pytest.mark.parametrize("photos", POOR_PHOTOS)
@pytest.mark.parametrize("passes", PASSES)
def test_poor_photos_give_finite_weights(tiny, context, photos_of, passes, photos):
    pixels = POOR_PHOTOS[photos](np.random.default_rng(0))
    poor = replace(context, calibration=photos_of(pixels))
    assert all_finite(applied(PASSES[passes], tiny, poor))


@pytest.mark.parametrize("passes", PASSES)
def test_no_photos_are_an_error(tiny, context, photos_of, passes):
    none = replace(context, calibration=photos_of(np.zeros((0, 12, 12, 3), np.uint8)))
    with pytest.raises(DataError, match=r"at least one photo|data\.calibration has none"):
        applied(PASSES[passes], tiny, none)


@pytest.mark.parametrize("passes", PASSES)
def test_a_layer_without_activations_gives_finite_weights(tiny, context, passes):
    never = tiny.with_tensors({"0.bias": Dense(np.full(8, -1e4, np.float32))})
    dead = replace(context, reference=never)
    assert all_finite(applied(PASSES[passes], never, dead))


@pytest.mark.parametrize("passes", PASSES)
def test_a_layer_of_zeros_gives_finite_weights(tiny, context, passes):
    zeros = tiny.with_tensors({"2.weight": Dense(np.zeros_like(tiny.tensors["2.weight"].to_dense()))})
    silent = replace(context, reference=zeros)
    assert all_finite(applied(PASSES[passes], zeros, silent))
