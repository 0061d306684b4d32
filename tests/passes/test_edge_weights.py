"""Passes on unusual weights: of one value, denormal, dead, or at scales that float32 or float16 hardly hold."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from divergence import divergence

from compress import container
from compress.context import Context
from compress.errors import PassError
from compress.model import Model
from compress.passes import Prune, Quantize, Recode, Share
from compress.pipeline.invariants import check_invariants
from compress.tensors.forms import Dense

PASSES = {
    "prune": Prune(sparsity=0.1, criterion="fisher", obs_update=True),
    "share": Share(bits=8, importance="fisher", codebook_precision="float32", bias_precision="float32"),
    "share by lambda": Share(bits=8, lambda_=1e-8, sensitivity_photos=10),
    "quantize": Quantize(lambda_=1e-8, sensitivity_photos=10),
    "recode": Recode(),
}


def minus_zero(weights):
    return np.concatenate([np.full_like(weights[:1], -0.0), weights[1:]])


def denormal(weights):
    return np.concatenate([weights[:1] * np.float32(1e-42), weights[1:]])


KINDS = {
    "zeros": np.zeros_like,
    "one value": lambda weights: np.full_like(weights, 0.25),
    "two values": lambda weights: np.where(weights > 0, np.float32(0.5), np.float32(-0.5)),
    "denormal": denormal,
    "all denormal": lambda weights: weights * np.float32(1e-42),
    "minus zero": minus_zero,
}


def scaled(model: Model, factor: float) -> Model:
    """Return the same function: the first layer's outputs are scaled, and the second layer's inputs inversely."""
    factors = {"0.weight": factor, "0.bias": factor, "2.weight": 1 / factor}
    return model.with_tensors(
        {name: Dense((model.tensors[name].to_dense() * each).astype(np.float32)) for name, each in factors.items()}
    )


def divergence_after(pass_, model: Model, context: Context) -> float:
    changed = pass_(model, context)
    check_invariants(model, changed, pass_.kind)
    decoded = container.decode(container.encode(changed))
    assert container.weights_sha256(decoded) == container.weights_sha256(changed)
    return divergence(changed, context)


@pytest.mark.parametrize("kind", KINDS)
def test_unusual_weights_are_compressed_by_every_pass(kind, tiny, patchwork):
    model = tiny.with_tensors({"2.weight": Dense(KINDS[kind](tiny.tensors["2.weight"].to_dense()))})
    context = Context(model, patchwork(20))
    for name, pass_ in PASSES.items():
        assert divergence_after(pass_, model, context) < 0.01, name


@pytest.mark.parametrize("factor", [1e-15, 1e-7, 1e7, 1e15])
def test_huge_and_tiny_scales_are_compressed(factor, tiny, patchwork):
    model = scaled(tiny, factor)
    context = Context(model, patchwork(20))
    for name, pass_ in PASSES.items():
        assert divergence_after(pass_, model, context) < 0.01, name


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_scales_beyond_the_statistics_are_an_error(factor, tiny, patchwork):
    model = scaled(tiny, factor)
    with pytest.raises(PassError, match=r"weight: its gradients are too large.*scale the layer up"):
        PASSES["quantize"](model, Context(model, patchwork(20)))


def test_logits_without_any_information_are_an_error(tiny, patchwork):
    model = tiny.with_tensors({"4.weight": Dense(tiny.tensors["4.weight"].to_dense() * np.float32(1e12))})
    with pytest.raises(PassError, match=r"no weight changes the outputs.*scale the last layer"):
        PASSES["quantize"](model, Context(model, patchwork(20)))


def test_values_too_small_for_float16_are_stored_in_float32(tiny, context):
    biases = tiny.tensors["0.bias"].to_dense() * np.float32(1e-9)
    shared = Share(bits=4)(tiny.with_tensors({"0.bias": Dense(biases)}), context)
    assert shared.tensors["0.bias"].stored_as == "float32"
    assert np.array_equal(shared.tensors["0.bias"].to_dense(), biases)
    assert shared.tensors["2.bias"].stored_as == "float16"


def test_a_file_smaller_than_its_limit_is_explained(tiny, context, caplog):
    with caplog.at_level(logging.WARNING):
        quantized = Quantize(bytes=100_000, sensitivity_photos=10)(tiny, context)
    (record,) = caplog.records
    assert f"the file takes {context.file_bytes(quantized):,} of 100,000 bytes" in record.getMessage()
    assert "at most 32,769 are possible" in record.getMessage()


def test_a_file_smaller_than_its_limit_as_its_codebooks_are_full_is_explained(tiny, context, caplog):
    with caplog.at_level(logging.WARNING):
        Share(bits=2, bytes=20_000, sensitivity_photos=0)(tiny, context)
    (record,) = caplog.records
    assert "of 20,000 bytes" in record.getMessage()
    assert "more bits for the codebooks would fill it" in record.getMessage()
