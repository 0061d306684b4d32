"""Goals as JUnit XML: a test suite for each run, a test case for each goal."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from compress.evaluation.results import GoalRecord
from compress.report.comparison.run_files import NamedRun
from compress.report.formatting import goal_amount, goal_margin, printable, to_ascii
from compress.report.goal_shortfall import explain_miss
from compress.report.record import RunRecord


def to_junit(runs: Sequence[NamedRun]) -> str:
    """Return the text of a JUnit file; a run without a goal has one skipped test case."""
    root = Element("testsuites", name="squeeze-compress")
    for run in runs:
        _add_suite(root, run)
    for count in ("tests", "failures", "skipped"):
        root.set(count, str(sum(int(suite.get(count, 0)) for suite in root)))
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _add_suite(root: Element, run: NamedRun) -> None:
    goals = run.record.goals
    missed = sum(not goal.met for goal in goals)
    seconds = sum(stage.seconds + stage.validation_seconds for stage in run.record.stages)
    suite = SubElement(
        root, "testsuite", name=printable(run.name), tests=str(len(goals) or 1), failures=str(missed),
        errors="0", skipped="0" if goals else "1", time=f"{seconds:.3f}",
    )  # fmt: skip
    for goal in goals:
        _add_case(suite, run.record, goal)
    if not goals:
        case = SubElement(suite, "testcase", classname=printable(run.record.pipeline), name="goal", time="0")
        SubElement(case, "skipped", message="the pipeline has no goal")


def _add_case(suite: Element, record: RunRecord, goal: GoalRecord) -> None:
    limit, reached = (to_ascii(goal_amount(value, goal.unit)) for value in (goal.limit, goal.reached))
    name = printable(f"{goal.quantity} {goal.bound} {limit}")
    case = SubElement(suite, "testcase", classname=printable(record.pipeline), name=name, time="0")
    if goal.met:
        return
    failure = SubElement(case, "failure", type="GoalMissed", message=to_ascii(f"{goal_margin(goal)}: {reached}"))
    failure.text = printable(to_ascii(explain_miss(record, goal)))
