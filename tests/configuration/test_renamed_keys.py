"""An old key, value or pass is an error that says what to write instead."""

from __future__ import annotations

import dataclasses

import pytest

from compress.configuration.renamed_keys import _ADVICE
from compress.errors import ConfigError
from compress.passes import PASSES

QUANTIZE = "stages:\n- pass: quantize\n  lambda: 1.0e-6\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # renamed keys
        (
            "stages:\n- pass: quantize\n  slope: 1",
            "p.yaml:3: stages.0.slope: unknown key of pass 'quantize'; use 'lambda' ",
        ),
        (
            f"{QUANTIZE}  views: 4",
            "p.yaml:4: stages.0.views: unknown key of pass 'quantize'; use 'augmentations' instead",
        ),
        (
            f"{QUANTIZE}  kernels: weights",
            "use 'kernel_transform' instead, true for coefficients and false for weights",
        ),
        (
            "stages: [{pass: prune, kept_weights: 5}]",
            "stages.0.kept_weights: unknown key of pass 'prune'; use 'nonzero_w",
        ),
        ("stages: [{pass: share, codebook: float16}]", "unknown key of pass 'share'; use 'codebook_precision' instead"),
        (
            "stages: [{pass: train, held_out: 0}]",
            "unknown key of pass 'train'; use 'validation_split' instead (allowed:",
        ),
        (
            "stages:\n- pass: train\n  prune:\n    sparsity: 0.5\n    every: 9",
            "p.yaml:5: stages.0.prune.every: unknown key; use 'interval' instead (allowed: sparsity, ",
        ),
        (
            "model: {source: random, architecture: squeezenet1_1, classes: 10, size: 32}",
            "p.yaml:1: model.size: unknown key of source 'random'; use 'input_size' instead",
        ),
        (
            "model: {factory: 'm:f', preprocessing: {height: 8, width: 8, mean: [0], deviation: [1]}}",
            "p.yaml:1: model.preprocessing.deviation: unknown key; use 'std' instead",
        ),
        # renamed values
        (
            "stages: [{pass: prune, sparsity: 0.5, criterion: curvature}]",
            "criterion: cannot be 'curvature'; use 'fisher' ",
        ),
        (
            "stages: [{pass: share, scales: curvature}]",
            "stages.0.scales: unknown key of pass 'share'; this option was removed: 'lambda' and 'bytes' scale",
        ),
        (
            "stages: [{pass: train, prune: {sparsity: 0.5, criterion: curvature}}]",
            "stages.0.prune.criterion: cannot be 'curvature'; use 'fisher' instead (allowed: magnitude, fisher)",
        ),
        # removed passes, options and values
        (
            "data: {calibration: {source: folder, path: a, sample_weights: [1]}}",
            "this option was removed: 'balance_classes: true' lets photos of rare classes count more",
        ),
        (
            "stages: [{pass: simplify, equalize: true}]",
            "stages.0.equalize: unknown key of pass 'simplify'; this option was removed: 'quantize' equalizes channels",
        ),
        (
            "stages:\n- {pass: share}\n- {pass: round, slope: 1.0e-7}",
            "p.yaml:3: stages.1.pass: unknown pass 'round'; use pass 'share' with 'lambda' instead (allowed: simplify",
        ),
        (
            f"{QUANTIZE}  sequential: true",
            "stages.0.sequential: unknown key of pass 'quantize'; this option was removed: layers are quantized indep",
        ),
        (
            "stages: [{pass: distill, teacher: {source: embedded}}]",
            "unknown key of pass 'distill'; this option was removed: the float network is the teacher (allowed: pass, ",
        ),
        ("stages: [{pass: train, patience: 3}]", "this option was removed: training lasts for all 'epochs' (allowed: "),
        (
            "encode: {coding: ans}",
            "p.yaml:1: encode.coding: cannot be 'ans'; use 'context' instead (allowed: huffman, con",
        ),
    ],
)
def test_an_old_word_has_advice(fault, text, message):
    assert message in fault(text)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stages.quantize.slope=1e-7", "--set: stages.quantize.slope: unknown key of pass 'quantize'; use 'lambda' "),
        ("stages.0.sequential=true", "--set: stages.0.sequential: unknown key of pass 'quantize'; this option was rem"),
        ("stages.0.pass=round", "--set: stages.0.pass: unknown pass 'round'; use pass 'share' with 'lambda' instead"),
        ("encode.coding=ans", "--set: encode.coding: cannot be 'ans'; use 'context' instead"),
    ],
)
def test_an_override_with_an_old_word_has_advice(fault, override, message):
    assert message in fault(QUANTIZE, override)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (
            "stages.quantize.slope: {min: 1e-8, max: 1e-6}",
            "under stages.0; add it there; use 'lambda' instead (allowed: ",
        ),
        (
            "stages.prune.criterion: [magnitude, curvature]",
            "value 'curvature': cannot be 'curvature'; use 'fisher' inst",
        ),
    ],
)
def test_a_searched_key_with_an_old_word_has_advice(fault, search, message):
    text = f"{QUANTIZE}- {{pass: prune, sparsity: 0.5, criterion: magnitude}}\nsearch:\n  {search}\n"
    assert message in fault(text)


def test_the_key_of_a_keyword_is_the_keyword(read, fault):
    pipeline = read(QUANTIZE, "stages.quantize.lambda=2e-6")
    assert pipeline.stages[0].pass_.lambda_ == 2e-6
    assert "stages.0.lambda_: unknown key of pass 'quantize'; did you mean 'lambda'?" in fault(
        f"{QUANTIZE}  lambda_: 1"
    )
    assert "stages.0.lambda: cannot be 2 (allowed: a number, more than 0, at most 1)" in fault(
        "stages: [{pass: quantize, lambda: 2}]"
    )


def test_no_advice_is_about_a_current_key():
    for name, pass_ in PASSES.items():
        current = {field.name.removesuffix("_") for field in dataclasses.fields(pass_)}
        assert not current & _ADVICE.get(name, {}).keys() - {"iterations"}


def test_a_missing_key_is_no_old_word(read):
    with pytest.raises(ConfigError, match="the key 'pass' is missing"):
        read("stages: [{name: round}]")
