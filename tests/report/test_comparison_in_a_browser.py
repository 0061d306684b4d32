"""Pages of several runs in headless Chromium: without an error, readable on a phone and in dark mode."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from records import HOSTILE, make_hostile_record, make_record, outcomes_of
from test_report_in_a_browser import BACKGROUND, CONTRAST, CUT_OFF, OVERFLOW

from compress.evaluation.results import Interval
from compress.report.comparison.comparison_pages import comparison_to_html, index_to_html
from compress.report.comparison.run_files import NamedRun, RunIndex, UnreadableRun

COVERED_SIZES = """
return [...document.querySelectorAll('#curve svg')].flatMap(svg => {
  const texts = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
  const sizes = texts.filter(([text]) => text.endsWith(' MB')), names = texts.filter(([text]) => /^run/.test(text));
  return sizes.flatMap(([size, a]) => names
    .filter(([_, b]) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
    .map(([name]) => [size, name]));
});
"""
SHAPES = """
return [...document.querySelectorAll('figure svg')].filter(svg => svg.getBoundingClientRect().width > 100)
  .map(svg => [...svg.querySelectorAll('path, use')].filter(shape => shape.getBoundingClientRect().width > 1).length);
"""
SCROLLBAR = 15
"""Pixels that the window takes from the page, but paper does not."""
TEXT = r"return document.body.innerText.replaceAll('\u00a0', ' ')"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    record = make_record()
    for name in ("base", "mine"):
        (folder / name).mkdir()
        (folder / name / "report.html").write_text("<!doctype html><title>run</title>", "utf-8")
    base = NamedRun("base", folder / "base" / "report.json", record)
    mine = NamedRun(
        "mine",
        folder / "mine" / "report.json",
        replace(record, outcomes=outcomes_of(520, labeled=True, seed=8), configuration="seed: 8\n"),
    )
    unlabeled = NamedRun("unlabeled", Path("elsewhere/report.json"), make_record(labeled=False, goal_bytes=400_000))
    other = replace(unlabeled, record=replace(unlabeled.record, data=()))
    hostile = NamedRun(HOSTILE, Path("elsewhere/report.json"), make_hostile_record())
    index = RunIndex(folder, (base, mine, hostile), (UnreadableRun("<b>old</b>", "schema version 4"),))
    texts = {
        "two": comparison_to_html([base, mine], folder),
        "others": comparison_to_html([base, other], folder),
        "hostile": comparison_to_html([hostile, base, replace(hostile, name="x" * 300), mine, mine], folder),
        "index": index_to_html(index, folder),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, "utf-8")
    return folder


@pytest.mark.parametrize("width", [320, 1200])
@pytest.mark.parametrize(("name", "charts"), [("two", 3), ("others", 3), ("hostile", 2), ("index", 2)])
def test_it_opens_without_a_message_every_chart_drawn_and_never_scrolls_sideways(browser, pages, name, charts, width):
    browser.open(pages / f"{name}.html", width=width)
    assert browser.console() == []
    assert browser.run(OVERFLOW) == 0
    drawn = browser.run(SHAPES)
    assert len(drawn) == charts
    assert min(drawn) >= 3
    assert browser.run(CUT_OFF) == []


def test_names_of_runs_beside_a_published_size_do_not_cover_its_name(browser, tmp_path):
    runs = []
    for number, (file_bytes, nats) in enumerate([(499_517, 0.0133), (239_668, 0.2), (499_212, 0.0393)]):
        record = make_record(goal_bytes=500_000)
        stages = (*record.stages[:-1], at(record.stages[-1], file_bytes, nats))
        record = replace(record, stages=stages, file=replace(record.file, file_bytes=file_bytes))
        runs.append(NamedRun(f"run-of-{number}-letters", tmp_path / str(number) / "report.json", record))
    (tmp_path / "page.html").write_text(comparison_to_html(runs, tmp_path), "utf-8")
    browser.open(tmp_path / "page.html")
    assert "0.47 MB" in browser.run("return document.querySelector('#curve').textContent")
    assert browser.run(COVERED_SIZES) == []


def at(stage, file_bytes, nats):
    interval = Interval(nats, 0.9 * nats, 1.1 * nats)
    return replace(stage, file_bytes=file_bytes, fidelity=replace(stage.fidelity, divergence_nats=interval))


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_readable_in_both_schemes(browser, pages, dark):
    browser.open(pages / "others.html", dark=dark)
    assert browser.run(BACKGROUND) == ("rgb(20, 23, 27)" if dark else "rgb(251, 250, 247)")
    assert browser.run(CONTRAST) >= 4.5


def test_two_runs_have_a_verdict_their_settings_and_paired_statistics(browser, pages):
    browser.open(pages / "two.html")
    words = browser.run(TEXT)
    assert "On the same 1,000 photos, its top-1 accuracy is 2.1 points lower" in words
    assert "Not comparable" not in words
    assert "McNemar p" in words
    settings = browser.run("return [...document.querySelectorAll('#settings tbody th')].map(e => e.innerText)")
    assert {"seed", "goal.bytes", "stages.0.prune.sparsity"} <= set(settings)


def test_a_name_leads_to_the_report_of_the_run(browser, pages):
    browser.open(pages / "index.html")
    browser.run("document.querySelector('#runs tbody a').click()")
    assert browser.run("return location.pathname").endswith("/base/report.html")


def test_other_photos_have_a_visible_warning(browser, pages):
    browser.open(pages / "others.html")
    warnings = browser.run("return [...document.querySelectorAll('header .callout')].map(e => e.innerText)")
    assert warnings[0].startswith("Not fully comparable. Other validation photos than base: unlabeled.")
    assert warnings[1].startswith("unlabeled missed its goal: bytes of the file missed by ")
    assert browser.run("return document.querySelector('#photos')") is None


def test_names_are_never_markup(browser, pages):
    for name in ("hostile", "index"):
        browser.open(pages / f"{name}.html")
        assert browser.run("return document.querySelectorAll('main b').length") == 0
        assert browser.run("return document.querySelectorAll('script').length") == 1  # the page's own
    assert "<b>old</b>" in browser.run(TEXT)


def test_long_names_of_runs_leave_the_figures_in_sight(browser, pages):
    browser.open(pages / "hostile.html")
    widths = browser.run("return [...document.querySelectorAll('thead th')].map(head => head.offsetWidth)")
    assert max(widths) < 400


def test_a_long_name_in_a_legend_never_scrolls_the_page_sideways(browser, tmp_path):
    runs = [NamedRun(letter * 120, tmp_path / letter / "report.json", make_record()) for letter in "ab"]
    (tmp_path / "page.html").write_text(comparison_to_html(runs, tmp_path), "utf-8")
    browser.open(tmp_path / "page.html", width=360)
    assert len(browser.run("return document.querySelectorAll('.legend li')")) == 2
    assert browser.run(OVERFLOW) == 0


def test_a_click_on_a_heading_sorts_the_runs(browser, pages):
    browser.open(pages / "hostile.html")
    names = "return [...document.querySelectorAll('table[data-name=runs] tbody th')].map(cell => cell.dataset.value)"
    column = "table[data-name=runs] tbody td:nth-child(2)"
    sizes = f"return [...document.querySelectorAll('{column}')].map(cell => cell.innerText)"
    assert browser.run(names)[1] == "base"
    browser.element("table[data-name=runs] th:nth-child(2) button").click()
    counts = [int(size.replace(",", "")) for size in browser.run(sizes)]
    assert counts == sorted(counts, reverse=True)


def test_the_tables_are_saved_as_csv(browser, pages, tmp_path):
    browser.open(pages / "two.html")
    saved = browser.download("[aria-label='Save CSV of the table of paired statistics']", tmp_path)
    heading, row = csv.reader(saved.read_text("utf-8-sig").splitlines())
    assert (heading[:2], row[0]) == (["Run", "Top-1, difference"], "mine")
    assert float(row[1]) == pytest.approx(-0.021)
    names = browser.run("return [...document.querySelectorAll('table')].map(table => table.dataset.name)")
    assert names == ["runs", "paired statistics", "settings", "components", "layers"]
    assert len(browser.run("return [...document.querySelectorAll('button.csv')].map(e => e.innerText)")) == len(names)


def test_layers_of_four_runs_fit_on_paper_with_their_names_in_at_most_two_lines(browser, tmp_path):
    runs = [NamedRun(f"squeezenet-{number}00k", tmp_path / str(number) / "report.json", make_record())
            for number in range(1, 5)]  # fmt: skip
    (tmp_path / "page.html").write_text(comparison_to_html(runs, tmp_path), "utf-8")
    browser.open(tmp_path / "page.html", width=688 + SCROLLBAR, paper=True)  # A4 without its margins
    assert browser.run(OVERFLOW) == 0
    heights = browser.run(
        "return [...document.querySelectorAll('#layers tbody tr')].map(row => row.getBoundingClientRect().height)"
    )
    assert max(heights) < 45


def test_it_prints(browser, pages):
    browser.open(pages / "two.html")
    assert browser.print_pages().startswith(b"%PDF")
