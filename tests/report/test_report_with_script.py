"""The page answers: hints on charts by mouse and keyboard, tables that sort, CSV files."""

import csv
from dataclasses import replace

import pytest
from records import make_record
from selenium.webdriver.common.keys import Keys

from compress.report import to_html
from compress.report.breakdown import layer_bytes, layer_name


def hint(browser):
    return browser.run(
        "const hint = document.querySelector('#hint'), box = hint.getBoundingClientRect();"
        "return getComputedStyle(hint).visibility == 'visible' && box.left >= 0 && box.top >= 0 ? hint.textContent : ''"
    )


@pytest.mark.parametrize("width", [360, 1200])
def test_the_mouse_over_a_layer_of_the_treemap_shows_its_bytes(browser, report_pages, width):
    browser.open(report_pages / "labeled.html", width=width)
    assert hint(browser) == ""
    browser.hover(f"#treemap-{'wide' if width == 1200 else 'narrow'} .mark")
    layer = next(each for each in make_record().layers if each.name == "classifier.1.weight")
    assert hint(browser).startswith(f"classifier.1, indices: {layer.index_bytes:,} bytes, ")


def test_the_arrow_keys_read_a_chart_and_escape_closes_the_hint(browser, report_pages):
    browser.open(report_pages / "labeled.html")
    browser.press(Keys.ARROW_RIGHT, at="#top1")
    assert hint(browser) == "baseline: 55.1%, 95% interval 52.0 to 58.2"
    browser.press(Keys.END, Keys.ARROW_LEFT, at="#top1")
    assert hint(browser).startswith("encode: 54.1%")
    browser.press(Keys.ESCAPE, at="#top1")
    assert hint(browser) == ""


def test_a_bin_of_a_histogram_tells_both_counts(browser, report_pages):
    browser.open(report_pages / "labeled.html")
    histogram = make_record().layers[0].histogram
    browser.press(Keys.END, at="#histogram0")
    assert hint(browser).endswith(
        f": {histogram.float_counts[-1]} float, {histogram.decoded_counts[-1]} nonzero in the file"
    )


FIRST_COLUMN = "return [...document.querySelectorAll('table[data-name=layers] tbody th')].map(cell => cell.textContent)"


def test_a_click_on_a_heading_sorts_the_table(browser, report_pages):
    browser.open(report_pages / "labeled.html")
    layers = {layer_name(layer): layer_bytes(layer) for layer in make_record().layers if len(layer.shape) > 1}
    total = "table[data-name=layers] th:nth-child(11)"
    browser.element(f"{total} button").click()
    assert browser.run(FIRST_COLUMN) == sorted(layers, key=lambda name: -layers[name])
    assert browser.run(f"return document.querySelector('{total}').ariaSort") == "descending"
    browser.element(f"{total} button").click()
    assert browser.run(FIRST_COLUMN) == sorted(layers, key=lambda name: layers[name])
    browser.element("table[data-name=layers] th:first-child button").click()
    assert browser.run(FIRST_COLUMN)[0] == "classifier.1"


def test_a_table_is_saved_as_csv_that_programs_read(browser, report_pages, tmp_path):
    browser.open(report_pages / "labeled.html")
    saved = browser.download("[aria-label='Save CSV of the table of stages']", tmp_path)
    heading, first, *rest = csv.reader(saved.read_text("utf-8-sig").splitlines())
    assert saved.name == "stages.csv"
    assert heading == ["Stage", "Pass", "Bytes", "Sparsity", "Bits per weight", "Distinct values"]
    assert first == ["baseline", "baseline", "4955163", "0.0%", "32.19", "1234712"]
    assert len(rest) == 5


def test_a_spreadsheet_runs_no_formula_from_a_name(browser, tmp_path):
    record = make_record()
    stages = (replace(record.stages[0], name='=HYPERLINK("x"),1'), *record.stages[1:])
    (tmp_path / "page.html").write_text(to_html(replace(record, stages=stages)), "utf-8")
    browser.open(tmp_path / "page.html")
    saved = browser.download("[aria-label='Save CSV of the table of stages']", tmp_path)
    _, first, *_ = csv.reader(saved.read_text("utf-8-sig").splitlines())
    assert first[0] == '\'=HYPERLINK("x"),1'
