"""A missed goal states its margin and its main cause."""

from __future__ import annotations

from dataclasses import replace

import pytest
from records import HOSTILE, make_hostile_record, make_record

from compress.errors import GoalMissed
from compress.evaluation import goals
from compress.evaluation.goals import Goal, goal_records
from compress.evaluation.results import GoalRecord
from compress.report import to_html
from compress.report.formatting import to_ascii
from compress.report.goal_shortfall import check_goals, explain_miss, goal_line

STRICT = Goal(bytes=1, max_top1_drop=0, max_top5_drop=0, min_agreement=1, max_divergence=0)


def causes(record, goal=STRICT) -> dict[str, str]:
    """The cause of each missed line, by its quantity."""
    first, last = record.stages[0], record.stages[-1]
    found = goal_records(goal, record.file.file_bytes, first.accuracy, last.accuracy, last.fidelity)
    assert not any(each.met for each in found)
    return {each.quantity: to_ascii(explain_miss(record, each)) for each in found}


def test_the_cause_of_a_loss_is_the_stage_with_the_largest_loss():
    found = causes(make_record())
    assert found[goals.TOP1_DROP] == "stage share lost most, 1.8 points: 53.7% before it, 51.9% after"
    assert found[goals.TOP5_DROP] == "stage prune lost most, 1.1 points: 77.2% before it, 76.1% after"
    assert found[goals.AGREEMENT] == "stage prune lost most, 7.9 points: 100.0% before it, 92.1% after"
    assert found[goals.DIVERGENCE] == "stage share lost most, 0.091 nats: 0.071 before it, 0.162 after"


def test_without_labels_a_stage_is_still_the_cause_of_lost_fidelity():
    assert set(causes(make_record(labeled=False))) == {goals.BYTES, goals.AGREEMENT, goals.DIVERGENCE}
    assert all(causes(make_record(labeled=False)).values())


def test_the_cause_of_bytes_is_the_largest_component_and_the_largest_layer():
    record = make_record()
    layers = [layer for layer in record.layers if len(layer.shape) > 1]
    taken = [layer.index_bytes + layer.position_bytes + layer.codebook_bytes + layer.scale_bytes for layer in layers]
    largest = layers[taken.index(max(taken))].name.removesuffix(".weight")
    assert causes(record)[goals.BYTES] == (
        f"indices take most, {record.file.index_bytes:,} of 425,926 bytes"
        f" ({record.file.index_bytes / 425_926:.1%}); the largest layer is {largest}, {max(taken):,} of 425,926 bytes"
        f" ({max(taken) / 425_926:.1%})"
    )


def test_a_stage_that_made_the_file_larger_is_named():
    record = make_record()
    baseline, prune, share, *others = record.stages
    larger = (baseline, prune, replace(share, file_bytes=prune.file_bytes + 1_234), *others)
    assert causes(replace(record, stages=larger))[goals.BYTES].endswith("; stage share added 1,234 bytes")
    assert "added" not in causes(record)[goals.BYTES]


def test_a_file_of_biases_alone_has_no_largest_layer():
    record = make_record()
    few = replace(record, layers=tuple(layer for layer in record.layers if len(layer.shape) == 1))
    assert "layer" not in causes(few)[goals.BYTES]


def test_a_met_goal_or_an_unknown_quantity_has_no_cause():
    record = make_record(goal_bytes=400_000)
    unknown = GoalRecord("patience", "fraction", "at least", 1.0, 0.5, False)
    assert [bool(explain_miss(record, goal)) for goal in (*record.goals, unknown)] == [True, False, False]


def test_the_name_of_a_stage_is_escaped_on_the_page():
    record = make_hostile_record()
    page = to_html(replace(record, goals=(GoalRecord(goals.AGREEMENT, "fraction", "at least", 1.0, 0.5, False),)))
    assert "Stage &lt;script&gt;" in page
    assert f"Stage {HOSTILE}" not in page


@pytest.mark.parametrize(
    ("goal", "line"),
    [
        (
            GoalRecord(goals.BYTES, "bytes", "at most", 500_000, 512_345, False),
            "goal MISSED: bytes of the file at most 500,000 bytes, reached 512,345 bytes: missed by 12,345 bytes",
        ),
        (
            GoalRecord(goals.TOP1_DROP, "points", "at most", 0.01, -0.002, True),
            "goal met: top-1 drop at most 1.0 points, reached -0.2 points",
        ),
        (
            GoalRecord(goals.AGREEMENT, "fraction", "at least", 0.95, 0.9497, False),
            "goal MISSED: agreement with the float network at least 95.0%, reached 95.0%: missed by 0.03 points",
        ),
        (
            GoalRecord(goals.DIVERGENCE, "nats", "at most", 0.05, 0.0612, False),
            "goal MISSED: divergence from the float network at most 0.05 nats, reached 0.0612 nats: "
            "missed by 0.0112 nats",
        ),
    ],
)  # fmt: skip
def test_a_line_of_the_goal_states_the_margin_in_ascii(goal, line):
    assert goal_line(goal) == line
    assert line.isascii()


def test_the_error_names_the_missed_lines_and_their_margins():
    check_goals(make_record().goals)
    record = make_record(goal_bytes=400_000)
    both = (*record.goals, GoalRecord(goals.AGREEMENT, "fraction", "at least", 0.95, 0.918, False))
    with pytest.raises(GoalMissed) as missed:
        check_goals(both)
    assert str(missed.value) == (
        "the goal was missed: bytes of the file by 25,926 bytes, agreement with the float network by 3.2 points"
    )
    assert missed.value.exit_code == 3
