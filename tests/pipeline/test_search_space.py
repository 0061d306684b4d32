"""The section `search`: what may be chosen is checked before anything runs, and a run takes no notice of it."""

from __future__ import annotations

import pytest

from compress.pipeline.search_space import Range, override

PIPELINE = """\
stages:
  - {pass: prune, sparsity: 0.5, layers: {features.0.weight: {sparsity: 0.2}}}  # half of them
  - {pass: share, bits: 5}
  - {pass: round, slope: 1e-7}
encode: {coding: huffman}
search:
  stages.prune.sparsity: {min: 0.3, max: 0.9}
  stages.prune.layers.features.0.weight.sparsity: {min: 0, max: 0.5, step: 0.1}
  stages.share.bits: {min: 3, max: 7}
  stages.round.slope: {min: 1e-8, max: 1e-6, log: true}
  encode.coding: [huffman, context]
"""


def test_each_key_has_the_files_own_value_and_what_it_may_be(read):
    found = {each.key: each for each in read(PIPELINE).search}
    assert [each.own for each in found.values()] == [0.5, 0.2, 5, 1e-7, "huffman"]
    assert found["stages.round.slope"].range == Range(1e-8, 1e-6, None, True)
    assert found["encode.coding"].choices == ("huffman", "context")
    assert [each.whole for each in found.values()] == [False, False, True, False, False]


def test_a_run_takes_no_notice_of_it(read):
    with_search, without = read(PIPELINE), read(PIPELINE.partition("search:")[0])
    assert with_search.stages == without.stages
    assert without.search == ()


def test_chosen_values_take_the_place_of_the_files_own_and_comments_stay(read):
    values = {"stages.prune.sparsity": 0.75, "stages.round.slope": 5e-08, "encode.coding": "context"}
    changed = read(PIPELINE).with_overrides([override(key, value) for key, value in values.items()])
    assert "sparsity: 0.75, layers: {features.0.weight: {sparsity: 0.2}}} # half of them" in changed.configuration
    assert changed.stages[2].step.slope == 5e-08
    assert read(changed.configuration).stages == changed.stages


def test_values_may_be_changed_again_and_again_and_the_file_stays_yaml(read):
    text = PIPELINE.replace("stages:\n", "stages:\n  # First of all.\n", 1)
    changed = read(text, "stages.share.bits=6")
    for bits in (7, 4, 3):
        changed = changed.with_overrides([override("stages.share.bits", bits)])
    assert changed.configuration == read(text, "stages.share.bits=3").configuration
    assert read(changed.configuration).stages == changed.stages
    assert "  # First of all.\n  - {pass: prune" in changed.configuration


def test_values_are_rounded_to_four_digits_within_their_range(read):
    sparsity, _, bits, slope, _ = read(PIPELINE).search
    assert sparsity.rounded(0.61234567) == 0.6123
    assert sparsity.rounded(0.30000001) == 0.3
    assert slope.rounded(1.23456e-7) == 1.235e-7
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
        ("max: 7", "max: 2", "min must be less than max, and 3 is not less than 2"),
        ("min: 0.3", "min: 0.6", "the file's own value 0.5 is not between 0.6 and 0.9; it is tried first"),
        ("step: 0.1", "step: 0.15", "is no whole number of steps above min"),
        ("step: 0.1", "log: true", "with log, min must be more than 0"),
        ("[huffman, context]", "[huffman, contxt]", "with the value 'contxt': cannot be 'contxt'; did you mean"),
        ("[huffman, context]", "[raw, context]", "the file's own value 'huffman' is none of the choices"),
        ("[huffman, context]", "[huffman]", "the choices are at least two, and different"),
        ("encode.coding", "goal.bytes", "cannot be searched (allowed: keys of stages, and encode.coding)"),
        ("{min: 3, max: 7}", "5", "5 is no range (allowed: {min: ..., max: ...}"),
        ("{min: 3, max: 7}", "{min: .nan, max: 7}", "search.stages.share.bits.min: cannot be nan"),
    ],
)
def test_what_cannot_be_searched_is_said_with_line_and_key(fault, old, new, words):
    assert old in PIPELINE
    assert words in fault(PIPELINE.replace(old, new))


def test_the_files_own_value_may_come_from_the_command_line(fault):
    assert "the file's own value 2 is not between 3 and 7" in fault(PIPELINE, "stages.share.bits=2")
