"""`report`: runs side by side, an index of a folder, a report again, and texts for CI."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from records import make_record

from compress.cli.main import main
from compress.report import to_html, to_json, write_report
from compress.report.record import SCHEMA_VERSION


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two runs, `out/base` and `out/mine`, in the working folder; the second misses its goal."""
    monkeypatch.chdir(tmp_path)
    write_report(make_record(), Path("out/base"))
    write_report(make_record(goal_bytes=400_000), Path("out/mine"))
    return tmp_path


def program(*arguments, **variables):
    command = [sys.executable, "-m", "compress", "report", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **variables}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def report(*arguments):
    result = CliRunner().invoke(main, ["report", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def refused(exit_code, *arguments):
    result = report(*arguments)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    return result.stderr


def test_the_program_writes_the_page_of_two_runs(runs):
    done = program("out/base", "out/mine/report.json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "report: comparison.html\n", "")
    page = Path("comparison.html").read_text("utf-8")
    assert 'href="out/base/report.html"' in page
    assert "<h1>The smallest of 2 runs:" in page


def test_names_in_any_letters_print_no_warning(runs):
    Path("out/base").rename("out/\u5b9e\u9a8c")
    done = program("out/\u5b9e\u9a8c", "out/mine")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\u5b9e\u9a8c</text>" in Path("comparison.html").read_text("utf-8")


def test_the_program_adds_to_the_summary_of_a_step_and_prints_junit(runs):
    Path("summary.md").write_text("# Before\n", "utf-8")
    done = program("out", "--format", "junit", "--step-summary", GITHUB_STEP_SUMMARY="summary.md")
    assert (done.returncode, done.stderr) == (0, "")
    assert ElementTree.fromstring(done.stdout).get("failures") == "1"
    assert Path("summary.md").read_text("utf-8").startswith("# Before\n### squeeze-compress\n\n| run | bytes |")


def test_one_run_gets_its_page_again(runs):
    Path("out/base/report.html").unlink()
    assert report("out/base").stdout == "report: out/base/report.html\n"
    assert Path("out/base/report.html").read_text("utf-8") == to_html(make_record())


@pytest.mark.skipif(os.name != "posix", reason="needs a folder that nobody can make")
def test_a_user_without_a_home_folder_gets_no_warning(runs):
    command = [sys.executable, "-m", "compress", "report", "out/base"]
    environment = {**os.environ, "MPLCONFIGDIR": "/dev/null/matplotlib", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.stdout, done.stderr) == ("report: out/base/report.html\n", "")


def test_a_folder_of_runs_gets_an_index_that_leads_to_each(runs):
    old = Path("out/old/report.json")
    old.parent.mkdir()
    old.write_text(to_json(make_record()).replace(f'"schema_version":{SCHEMA_VERSION}', '"schema_version":2'), "utf-8")
    result = report("out")
    assert result.stdout == "report: out/index.html\n"
    page = Path("out/index.html").read_text("utf-8")
    assert 'href="base/report.html"' in page
    assert 'href="mine/report.html"' in page
    assert "the report has schema version 2; read it with the release" in page
    assert "or run its pipeline again" in page


def test_an_index_leaves_out_a_run_whose_report_cannot_be_opened(runs):
    Path("out/odd/report.json").mkdir(parents=True)
    result = report("out")
    assert result.stdout == "report: out/index.html\n"
    assert "odd is left out: not a run" in result.stderr
    assert 'href="base/report.html"' in Path("out/index.html").read_text("utf-8")


def test_links_start_at_the_folder_of_the_page(runs):
    report("out/base", "out/mine", "-o", "pages/both.html")
    assert 'href="../out/base/report.html"' in Path("pages/both.html").read_text("utf-8")


def test_json_has_the_runs_in_the_given_order(runs):
    content = json.loads(report("out/mine", "out/base", "--format", "json").stdout)
    assert [run["name"] for run in content["runs"]] == ["mine", "base"]


def test_a_run_with_a_name_that_is_not_unicode_is_in_the_json(runs):
    folder = Path(os.fsdecode(b"out/caf\xe9"))
    write_report(make_record(), folder)
    shown = report("out/base", str(folder), "--format", "json")
    assert json.loads(shown.stdout)["runs"][1]["report"] == "out/caf\\udce9/report.json"


def test_text_goes_to_a_file_on_request(runs):
    assert report("out/base", "--format", "md", "-o", "table.md").stdout == "report: table.md\n"
    assert Path("table.md").read_text("utf-8").startswith("### squeeze-compress")


def test_runs_on_other_photos_are_compared_with_a_warning(runs):
    record = make_record()
    other = replace(record, data=tuple(replace(data, fingerprint="other") for data in record.data))
    write_report(other, Path("out/other"))
    result = report("out/base", "out/other", "--format", "md")
    assert result.exit_code == 0
    assert "Other validation photos than base: other." in result.stderr
    assert "[!WARNING]" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["gone"], 2, "gone: no such file or folder; squeeze-compress run writes report.json into its folder --out"),
        (["empty"], 2, "empty: not a run: the folder has no report.json; squeeze-compress run writes"),
        (["out/base", "out"], 2, "out: a folder of runs, not a run; name its runs, such as out/"),
        (["old"], 1, "old/report.json: the report has schema version 2; read it with the release of squeeze-compress"),
        (["out/base", "old"], 1, "old/report.json: the report has schema version 2"),
        (["olds"], 2, "olds: none of its reports can be read: a: the report has schema version 2"),
        (["notes.txt"], 1, "notes.txt: the report is not JSON"),
        (["out/base", "--step-summary"], 2, "--step-summary: the variable GITHUB_STEP_SUMMARY is not set"),
        *(
            (["out/base", "-o", f"out/base/{name}"], 2, f"out/base/{name}: the result would replace a file of the run")
            for name in ("report.json", "outcomes.json", "thumbnails.json", "model.sqz")
        ),
    ],
)
def test_a_mistake_ends_with_one_message(runs, monkeypatch, arguments, exit_code, message):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    Path("empty").mkdir()
    for folder in (Path("old"), Path("olds/a")):
        folder.mkdir(parents=True)
        text = to_json(make_record()).replace(f'"schema_version":{SCHEMA_VERSION}', '"schema_version":2')
        (folder / "report.json").write_text(text, "utf-8")
    Path("notes.txt").write_text("notes", "utf-8")
    before = Path("out/base/report.json").read_bytes()
    assert refused(exit_code, *arguments).startswith(f"error: {message}")
    assert Path("out/base/report.json").read_bytes() == before


def test_reading_reports_imports_no_torch(runs):
    code = "import sys; from compress.cli.main import main; main(['report', 'out'], standalone_mode=False)"
    code += "; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.splitlines() == ["report: out/index.html", "False"]
