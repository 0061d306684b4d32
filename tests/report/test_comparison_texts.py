"""Comparisons as Markdown and JUnit XML: what a pull request and a CI system show."""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from records import HOSTILE, make_hostile_record, make_record

from compress.evaluation.results import GoalRecord
from compress.report.comparison.comparison_markdown import to_markdown
from compress.report.comparison.junit_xml import to_junit
from compress.report.comparison.run_comparison import compare_runs
from compress.report.comparison.run_files import NamedRun
from compress.report.comparison.verdict import verdict
from compress.report.formatting import to_ascii


def named(name, record):
    return NamedRun(name, Path(name, "report.json"), record)


def smaller(record, fewer_bytes):
    return replace(record, file=replace(record.file, file_bytes=record.file.file_bytes - fewer_bytes))


def verdict_on(a, b):
    comparison = compare_runs([named("base", a), named("mine", b)])
    return to_ascii(verdict(*comparison.runs, comparison.paired))


class TestVerdict:
    def test_it_says_bytes_and_what_the_photos_show(self):
        record = make_record()
        words = verdict_on(record, smaller(record, 10_000))
        assert words.startswith("mine takes 10,000 bytes less than base (-")
        assert words.endswith(
            "On the same 1,000 photos, its top-1 accuracy is the same, and its divergence from the float network is "
            "the same."
        )

    def test_a_loss_has_its_size_interval_and_p_value(self):
        record = make_record()
        ranks = tuple(0 if index % 20 == 0 else rank for index, rank in enumerate(record.outcomes.label_ranks))
        words = verdict_on(record, replace(record, outcomes=replace(record.outcomes, label_ranks=ranks)))
        assert words.startswith("mine has as many bytes as base.")
        assert re.search(
            r"top-1 accuracy is \d\.\d points lower \(95% interval -\d\.\d to -\d\.\d, p = [\de.-]+\)", words
        )

    def test_a_difference_that_the_photos_cannot_show_is_called_so(self):
        record = make_record()
        ranks = list(record.outcomes.label_ranks)
        right = ranks.index(1)
        ranks[right] = 0
        words = verdict_on(record, replace(record, outcomes=replace(record.outcomes, label_ranks=tuple(ranks))))
        assert "0.1 points lower" in words
        assert "no difference is shown" in words

    def test_other_photos_have_no_paired_words(self):
        record = make_record()
        other = replace(record, data=tuple(replace(data, fingerprint="other") for data in record.data))
        assert verdict_on(record, other) == "mine has as many bytes as base."


class TestMarkdown:
    def test_a_pull_request_sees_bytes_accuracy_goals_and_settings(self):
        base, mine = make_record(), smaller(make_record(goal_bytes=400_000), 10_000)
        text = to_markdown(compare_runs([named("base", base), named("mine", replace(mine, machine="another"))]))
        lines = text.splitlines()
        assert lines[2] == "| run | bytes | change | top-1 | from float | top-5 | agreement | KL, nats |"
        assert lines[4].startswith(f"| base | {base.file.file_bytes:,} |  | 54.1% | ")
        assert re.match(rf"\| mine \| {mine.file.file_bytes:,} \| \u2212\d\.\d% \| 54.1% \|", lines[5])
        assert re.search(r"^- ❌ mine: bytes of the file, missed by [\d,]+.bytes$", text, re.MULTILINE)
        assert "<details><summary>Settings that differ</summary>" in text
        assert "| machine | 2 cores of an x86-64 processor, Linux 6.1 | another |" in text
        assert text.endswith("</details>\n")

    def test_every_row_of_a_table_has_the_cells_of_its_head(self):
        text = to_markdown(compare_runs([named(HOSTILE, make_hostile_record()), named("b | c", make_record())]))
        for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            cells = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
            assert len(cells) == 1
        assert "<script" not in text

    def test_other_photos_have_a_visible_warning(self):
        record = make_record()
        other = replace(record, data=tuple(replace(data, fingerprint="other") for data in record.data))
        text = to_markdown(compare_runs([named("base", record), named("mine", other)]))
        assert "> [!WARNING]\n> Other validation photos than base: mine." in text

    def test_one_run_without_labels_has_a_table_and_goals_only(self):
        text = to_markdown(compare_runs([named("mine", make_record(labeled=False))]))
        assert "top-1" not in text
        assert "details" not in text
        assert "✅" in text


class TestJunit:
    def test_each_goal_is_a_test_case_and_a_miss_has_margin_and_cause(self):
        runs = [named("base", make_record()), named("mine", make_record(goal_bytes=400_000))]
        root = ElementTree.fromstring(to_junit(runs))
        assert root.attrib == {"name": "squeeze-compress", "tests": "4", "failures": "1", "skipped": "0"}
        base, mine = root
        assert (base.get("name"), base.get("tests"), base.get("failures")) == ("base", "2", "0")
        case, other = mine
        assert case.get("name") == "bytes of the file at most 400,000 bytes"
        failure = case.find("failure")
        assert re.fullmatch(r"missed by [\d,]+ bytes: [\d,]+ bytes", failure.get("message"))
        assert "indices" in failure.text
        assert other.find("failure") is None

    def test_a_run_without_a_goal_is_skipped(self):
        root = ElementTree.fromstring(to_junit([named("mine", replace(make_record(), goals=()))]))
        assert root.get("skipped") == "1"
        assert root[0][0].find("skipped").get("message") == "the pipeline has no goal"

    def test_characters_that_xml_cannot_hold_are_replaced(self):
        goal = GoalRecord("bytes\x07 <of> \ud800", "bytes", "at most", 1.0, 2.0, False)
        root = ElementTree.fromstring(to_junit([named("a\x00b", replace(make_record(), goals=(goal,)))]))
        assert root[0].get("name") == "a\ufffdb"
        assert root[0][0].get("name") == "bytes\ufffd <of> \ufffd at most 1 bytes"
