"""The section `search`: it is checked before a run, which ignores it."""

from __future__ import annotations

import pytest

from compress.configuration.search_space import Range, override

PIPELINE = """\
stages:
  - {pass: prune, sparsity: 0.5, layers: {features.0.weight: {sparsity: 0.2}}}  # half of the weights
  - {pass: share, bits: 5}
  - {pass: distill, learning_rate: 1e-3}
encode: {coding: huffman}
search:
  stages.prune.sparsity: {min: 0.3, max: 0.9}
  stages.prune.layers.features.0.weight.sparsity: {min: 0, max: 0.5}
  stages.share.bits: {min: 3, max: 7}
  stages.distill.learning_rate: {min: 1e-4, max: 1e-2, log: true}
  encode.coding: [huffman, context]
"""


def test_each_parameter_has_its_initial_value_and_its_range(read):
    found = {each.key: each for each in read(PIPELINE).search}
    assert [each.initial for each in found.values()] == [0.5, 0.2, 5, 1e-3, "huffman"]
    assert found["stages.distill.learning_rate"].range == Range(1e-4, 1e-2, log=True)
    assert found["encode.coding"].choices == ("huffman", "context")
    assert [each.is_whole for each in found.values()] == [False, False, True, False, False]


def test_a_run_ignores_the_section(read):
    with_search, without = read(PIPELINE), read(PIPELINE.partition("search:")[0])
    assert with_search.stages == without.stages
    assert without.search == ()


def test_chosen_values_replace_the_initial_ones_and_comments_stay(read):
    values = {"stages.prune.sparsity": 0.75, "stages.distill.learning_rate": 5e-04, "encode.coding": "context"}
    changed = read(PIPELINE).with_overrides([override(key, value) for key, value in values.items()])
    assert (
        "sparsity: 0.75, layers: {features.0.weight: {sparsity: 0.2}}} # half of the weights" in changed.configuration
    )
    assert changed.stages[2].pass_.learning_rate == 5e-04
    assert read(changed.configuration).stages == changed.stages


def test_repeated_changes_leave_valid_yaml(read):
    text = PIPELINE.replace("stages:\n", "stages:\n  # First of all.\n", 1)
    changed = read(text, "stages.share.bits=6")
    for bits in (7, 4, 3):
        changed = changed.with_overrides([override("stages.share.bits", bits)])
    assert changed.configuration == read(text, "stages.share.bits=3").configuration
    assert read(changed.configuration).stages == changed.stages
    assert "  # First of all.\n  - {pass: prune" in changed.configuration


def test_values_are_rounded_to_four_digits_within_their_range(read):
    sparsity, _, bits, rate, _ = read(PIPELINE).search
    assert sparsity.rounded(0.61234567) == 0.6123
    assert sparsity.rounded(0.30000001) == 0.3
    assert rate.rounded(1.23456e-3) == 1.235e-3
    assert bits.rounded(4) == 4


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "max: 0.9",
            "max: 1.9",
            "p.yaml:7: search.stages.prune.sparsity: with the value 1.9: cannot be 1.9 (allowed: a",
        ),
        ("max: 7", "max: 13", "with the value 13: cannot be 13 (allowed: a whole number, 1 to 12)"),
        ("share.bits", "share.bit", "p.yaml:9: search.stages.share.bit: the file has no such value under stages.1"),
        ("share.bits", "shar.bits", "search.stages.shar.bits: the file has no such value"),
        ("max: 7", "maxx: 7", "search.stages.share.bits.maxx: unknown key; did you mean 'max'?"),
        ("max: 7", "max: 2", "min must be less than max: 3 is not less than 2"),
        ("min: 0.3", "min: 0.6", "the value in the file, 0.5, must be between 0.6 and 0.9"),
        ("min: 0, max: 0.5", "min: 0, max: 0.5, log: true", "with log, min must be more than 0"),
        ("[huffman, context]", "[huffman, contxt]", "with the value 'contxt': cannot be 'contxt'; did you mean"),
        ("[huffman, context]", "[raw, context]", "the value in the file, 'huffman', must be one of the choices"),
        ("[huffman, context]", "[huffman]", "at least two different choices are needed"),
        ("encode.coding", "goal.bytes", "this key cannot be searched (allowed: keys of stages, and encode.coding)"),
        (
            "{min: 3, max: 7}",
            "[3, 4, 5, 6, 7]\n  stages.1.bits: {min: 3, max: 7}",
            "stages.1.bits: the same key as stages.share",
        ),
        ("{min: 3, max: 7}", "5", "5 is not a range (allowed: {min: ..., max: ...}"),
        ("{min: 3, max: 7}", "{min: .nan, max: 7}", "search.stages.share.bits.min: cannot be nan"),
    ],
)
def test_an_error_has_line_and_key(fault, old, new, words):
    assert old in PIPELINE
    assert words in fault(PIPELINE.replace(old, new))


def test_an_override_can_set_the_initial_value(fault):
    assert "the value in the file, 2, must be between 3 and 7" in fault(PIPELINE, "stages.share.bits=2")
