"""A goal that was missed says by how much, and what that is owed to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from records import HOSTILE, make_hostile_record, make_record

from compress.errors import GoalMissed
from compress.evaluation.goals import Goal, goal_records
from compress.evaluation.results import GoalRecord
from compress.report import goals, to_html
from compress.report.formatting import plain
from compress.report.goals import check_met, in_words, owed_to

STRICT = Goal(bytes=1, max_top1_drop=0, max_top5_drop=0, min_agreement=1, max_divergence=0)


def missed_by(record, goal=STRICT) -> dict[str, str]:
    """By what was limited, what the record owes the miss to."""
    first, last = record.stages[0], record.stages[-1]
    found = goal_records(goal, record.file.file_bytes, first.accuracy, last.accuracy, last.fidelity)
    assert not any(each.met for each in found)
    return {each.quantity: plain(owed_to(record, each)) for each in found}


def test_a_loss_is_owed_to_the_stage_that_made_it_worse_by_most_not_to_the_first_or_last():
    owed = missed_by(make_record())
    assert owed[goals.TOP1_LOST] == "stage share lost most, 1.8 points: 53.7% before it, 51.9% after"
    assert owed[goals.TOP5_LOST] == "stage prune lost most, 1.1 points: 77.2% before it, 76.1% after"
    assert owed[goals.AGREEMENT] == "stage prune lost most, 7.9 points: 100.0% before it, 92.1% after"
    assert owed[goals.DIVERGENCE] == "stage share lost most, 0.091 nats: 0.071 before it, 0.162 after"


def test_without_labels_closeness_is_still_owed_to_a_stage():
    assert set(missed_by(make_record(labelled=False))) == {goals.BYTES, goals.AGREEMENT, goals.DIVERGENCE}
    assert all(missed_by(make_record(labelled=False)).values())


def test_bytes_are_owed_to_the_largest_part_and_the_largest_layer():
    record = make_record()
    layers = [layer for layer in record.layers if len(layer.shape) > 1]
    taken = [layer.index_bytes + layer.position_bytes + layer.codebook_bytes + layer.scale_bytes for layer in layers]
    largest = layers[taken.index(max(taken))].name.removesuffix(".weight")
    assert missed_by(record)[goals.BYTES] == (
        f"indices take most, {record.file.index_bytes:,} of 425,926 bytes"
        f" ({record.file.index_bytes / 425_926:.1%}); the largest layer is {largest}, {max(taken):,} of 425,926 bytes"
        f" ({max(taken) / 425_926:.1%})"
    )


def test_a_stage_that_made_the_file_larger_is_named():
    record = make_record()
    baseline, prune, share, *others = record.stages
    larger = (baseline, prune, replace(share, file_bytes=prune.file_bytes + 1_234), *others)
    assert missed_by(replace(record, stages=larger))[goals.BYTES].endswith("; stage share added 1,234 bytes")
    assert "added" not in missed_by(record)[goals.BYTES]


def test_a_file_of_biases_alone_has_no_largest_layer():
    record = make_record()
    few = replace(record, layers=tuple(layer for layer in record.layers if len(layer.shape) == 1))
    assert "layer" not in missed_by(few)[goals.BYTES]


def test_what_was_met_or_is_unknown_is_owed_to_nothing():
    record = make_record(goal_bytes=400_000)
    unknown = GoalRecord("patience", "share", "at least", 1.0, 0.5, False)
    assert [bool(owed_to(record, goal)) for goal in (*record.goals, unknown)] == [True, False, False]


def test_a_stages_name_is_text_on_the_page():
    record = make_hostile_record()
    page = to_html(replace(record, goals=(GoalRecord(goals.AGREEMENT, "share", "at least", 1.0, 0.5, False),)))
    assert "Stage &lt;script&gt;" in page
    assert f"Stage {HOSTILE}" not in page


@pytest.mark.parametrize(
    ("goal", "told"),
    [
        (
            GoalRecord(goals.BYTES, "bytes", "at most", 500_000, 512_345, False),
            "goal MISSED: bytes of the file at most 500,000 bytes, reached 512,345 bytes: missed by 12,345 bytes",
        ),
        (
            GoalRecord(goals.TOP1_LOST, "points", "at most", 0.01, -0.002, True),
            "goal met: top-1 lost at most 1.0 points, reached -0.2 points",
        ),
        (
            GoalRecord(goals.AGREEMENT, "share", "at least", 0.95, 0.9497, False),
            "goal MISSED: agreement with the float network at least 95.0%, reached 95.0%: missed by 0.03 points",
        ),
        (
            GoalRecord(goals.DIVERGENCE, "nats", "at most", 0.05, 0.0612, False),
            "goal MISSED: divergence from the float network at most 0.05 nats, reached 0.0612 nats: "
            "missed by 0.0112 nats",
        ),
    ],
)  # fmt: skip
def test_a_line_of_the_goal_says_by_how_much_in_ascii(goal, told):
    assert in_words(goal) == told
    assert told.isascii()


def test_a_goal_that_was_missed_ends_with_what_was_missed_and_by_how_much():
    check_met(make_record().goals)
    record = make_record(goal_bytes=400_000)
    both = (*record.goals, GoalRecord(goals.AGREEMENT, "share", "at least", 0.95, 0.918, False))
    with pytest.raises(GoalMissed) as missed:
        check_met(both)
    assert str(missed.value) == (
        "the goal was missed: bytes of the file by 25,926 bytes, agreement with the float network by 3.2 points"
    )
    assert missed.value.exit_code == 3
