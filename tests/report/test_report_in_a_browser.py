"""The page in headless Chromium: no errors, every chart visible, on a phone, in dark mode and on paper."""

import pytest
from records import make_hostile_record, make_record

from benchmarks.browser import chromium
from compress.report import to_html

SIZES = """
return [...document.querySelectorAll('figure')].map(figure => {
  const shown = [...figure.querySelectorAll('svg')].filter(svg => svg.getBoundingClientRect().width > 0);
  const drawn = shown.flatMap(svg => [...svg.querySelectorAll('path, use, rect')])
    .filter(shape => shape.getBoundingClientRect().width + shape.getBoundingClientRect().height > 1);
  const box = shown.length ? shown[0].getBoundingClientRect() : {width: 0, height: 0};
  return [shown.length, box.width, box.height, drawn.length];
});
"""
BACKGROUND = "return getComputedStyle(document.body).backgroundColor"
INK = "return getComputedStyle(document.querySelector('#histogram0 path[style*=ink]')).stroke"
OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
CUT_OFF = """
const shown = [...document.querySelectorAll('svg text')].filter(text => text.getBoundingClientRect().width > 0);
return shown.filter(text => {
  const word = text.getBoundingClientRect(), chart = text.ownerSVGElement.getBoundingClientRect();
  return word.left < chart.left - 1 || word.right > chart.right + 1 || word.bottom > chart.bottom + 1;
}).map(text => text.textContent);
"""
CONTRAST = """
const numbers = color => color.match(/[\\d.]+/g).slice(0, 3).map(Number);
const light = color => numbers(color).map(c => c / 255)
  .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const paper = light(getComputedStyle(document.body).backgroundColor);
const texts = [...document.querySelectorAll('body *')]
  .filter(e => [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()));
return Math.min(...texts.filter(e => e.getBoundingClientRect().width > 0 && !e.closest('title')).map(e => {
  const ink = light(e.ownerSVGElement ? getComputedStyle(e).fill : getComputedStyle(e).color);
  return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
}));
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    records = {
        "labeled": make_record(),
        "unlabeled": make_record(labeled=False, goal_bytes=400_000),
        "hostile": make_hostile_record(),
    }
    for name, record in records.items():
        (folder / f"{name}.html").write_text(to_html(record), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.mark.parametrize("name", ["labeled", "unlabeled", "hostile"])
def test_the_page_opens_without_a_console_message(browser, pages, name):
    browser.open(pages / f"{name}.html")
    assert browser.console() == []


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize(("name", "charts"), [("labeled", 34), ("unlabeled", 32), ("hostile", 34)])
def test_every_chart_is_visible(browser, pages, name, charts, width):
    browser.open(pages / f"{name}.html", width=width)
    figures = browser.run(SIZES)
    assert len(figures) == charts
    for shown, wide, high, shapes in figures:
        assert shown == 1
        assert wide > 100
        assert high > 20
        assert shapes >= 3


@pytest.mark.parametrize("width", [320, 360, 768, 1200])
@pytest.mark.parametrize("name", ["labeled", "unlabeled", "hostile"])
def test_the_page_never_scrolls_sideways(browser, pages, name, width):
    browser.open(pages / f"{name}.html", width=width)
    assert browser.run(OVERFLOW) == 0


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("name", ["labeled", "hostile"])
def test_no_text_of_a_chart_is_cut_off(browser, pages, name, width):
    browser.open(pages / f"{name}.html", width=width)
    assert browser.run(CUT_OFF) == []


def test_the_dark_scheme_changes_background_and_text(browser, pages):
    browser.open(pages / "labeled.html")
    light = browser.run(BACKGROUND), browser.run(INK)
    browser.open(pages / "labeled.html", dark=True)
    dark = browser.run(BACKGROUND), browser.run(INK)
    assert light == ("rgb(251, 250, 247)", "rgb(28, 33, 38)")
    assert dark == ("rgb(20, 23, 27)", "rgb(233, 230, 224)")


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_has_the_contrast_that_wcag_requires(browser, pages, dark):
    browser.open(pages / "unlabeled.html", dark=dark)
    assert browser.run(CONTRAST) >= 4.5


def test_the_page_prints(browser, pages):
    browser.open(pages / "labeled.html", dark=True)
    assert browser.print_pages().startswith(b"%PDF")
