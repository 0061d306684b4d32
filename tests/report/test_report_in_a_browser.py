"""The page in headless Chromium: no errors, every chart visible, on a phone, in dark mode, on paper, without script."""

from dataclasses import replace
from importlib.resources import files

import pytest
from records import make_record

from compress.report import to_html

SIZES = """
return [...document.querySelectorAll('figure')].map(figure => {
  const shown = [...figure.querySelectorAll('svg')].filter(svg => svg.getBoundingClientRect().width > 0);
  const drawn = shown.flatMap(svg => [...svg.querySelectorAll('path, rect, circle, polyline')])
    .filter(shape => shape.getBoundingClientRect().width + shape.getBoundingClientRect().height > 1);
  const box = shown.length ? shown[0].getBoundingClientRect() : {width: 0, height: 0};
  const photos = figure.querySelectorAll('img').length;
  return [shown.length + photos, box.width, box.height, drawn.length, photos];
});
"""
BACKGROUND = "return getComputedStyle(document.body).backgroundColor"
INK = "return getComputedStyle(document.querySelector('#histogram0 path[stroke*=ink]')).stroke"
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
const behind = e => e.closest('[id^=treemap]')
  ? [...e.parentElement.querySelectorAll('rect')].map(rect => light(getComputedStyle(rect).fill)) : [paper];
const texts = [...document.querySelectorAll('body *')]
  .filter(e => [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()));
const shown = texts.filter(e => e.getBoundingClientRect().width > 0 && !e.closest('title, #hint'));
return Math.min(...shown.flatMap(e => {
  const ink = light(e.ownerSVGElement ? getComputedStyle(e).fill : getComputedStyle(e).color);
  return behind(e).map(back => (Math.max(ink, back) + 0.05) / (Math.min(ink, back) + 0.05));
}));
"""

PLACES_OF_ANSWERS = """
const placeOf = (node, letter) => {
  const range = new Range();
  range.setStart(node, letter);
  range.setEnd(node, letter + 1);
  return range.getBoundingClientRect().left;
};
return [...document.querySelectorAll('.answer')].map(answer => {
  const percent = answer.querySelector('.muted').firstChild;
  let name = answer.querySelector('bdi, b') ?? answer;
  while (name.firstChild) name = name.firstChild;
  return [placeOf(name, name.length - 1), placeOf(percent, 0), placeOf(percent, percent.length - 1)];
});
"""


@pytest.mark.parametrize("name", ["labeled", "unlabeled", "hostile"])
def test_the_page_opens_without_a_console_message(browser, report_pages, name):
    browser.open(report_pages / f"{name}.html")
    assert browser.console() == []


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize(("name", "charts"), [("labeled", 41), ("unlabeled", 39), ("hostile", 39)])
def test_every_chart_is_visible(browser, report_pages, name, charts, width):
    browser.open(report_pages / f"{name}.html", width=width)
    figures = browser.run(SIZES)
    assert len(figures) == charts
    for shown, wide, high, shapes, photos in figures:
        assert shown == 1
        if photos:
            continue
        assert wide > 100
        assert high > 20
        assert shapes >= 3


@pytest.mark.parametrize("width", [320, 360, 768, 1200])
@pytest.mark.parametrize("name", ["labeled", "unlabeled", "hostile"])
def test_the_page_never_scrolls_sideways(browser, report_pages, name, width):
    browser.open(report_pages / f"{name}.html", width=width)
    assert browser.run(OVERFLOW) == 0


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("name", ["labeled", "hostile"])
def test_no_text_of_a_chart_is_cut_off(browser, report_pages, name, width):
    browser.open(report_pages / f"{name}.html", width=width)
    assert browser.run(CUT_OFF) == []


def test_the_dark_scheme_changes_background_and_text(browser, report_pages):
    browser.open(report_pages / "labeled.html")
    light = browser.run(BACKGROUND), browser.run(INK)
    browser.open(report_pages / "labeled.html", dark=True)
    dark = browser.run(BACKGROUND), browser.run(INK)
    assert light == ("rgb(251, 250, 247)", "rgb(28, 33, 38)")
    assert dark == ("rgb(20, 23, 27)", "rgb(233, 230, 224)")


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_has_the_contrast_that_wcag_requires(browser, report_pages, dark):
    browser.open(report_pages / "unlabeled.html", dark=dark)
    assert browser.run(CONTRAST) >= 4.5


def test_the_page_prints(browser, report_pages):
    browser.open(report_pages / "labeled.html", dark=True)
    assert browser.print_pages().startswith(b"%PDF")


def test_without_a_script_all_charts_tables_and_photos_are_there(browser, report_pages):
    browser.open(report_pages / "labeled.html", script=False)
    figures = browser.run(SIZES)
    assert len(figures) == 41
    assert all(shown == 1 for shown, *_ in figures)
    assert browser.run("return document.querySelectorAll('.mark > title').length") > 300
    assert browser.run("return document.querySelectorAll('button').length") == 0
    assert browser.console() == []


def test_photos_whose_answer_changed_are_shown_with_both_answers(browser, report_pages):
    browser.open(report_pages / "labeled.html")
    photos = browser.run("return [...document.querySelectorAll('.photos figure')].map(figure => figure.innerText)")
    assert [photo.split("\n")[:3] for photo in photos] == [
        ["tabby 90.0%", "\u2192 lynx 80.0%", "now wrong"],
        ["beagle 70.0%", "\u2192 basset 60.0%", "now right"],
        ["crane 50.0%", "\u2192 stork 40.0%", "labeled heron"],
    ]
    assert browser.run("return [...document.images].every(image => image.naturalWidth == 128)")


def test_a_long_name_of_a_network_leaves_the_verdict_in_sight(browser, tmp_path):
    record = replace(make_record(), network=f"birds.networks:{'long_' * 30} {{}}")
    (tmp_path / "page.html").write_text(to_html(record), "utf-8")
    browser.open(tmp_path / "page.html")
    assert browser.run("return document.querySelector('.verdict').getBoundingClientRect().bottom") < 500
    assert record.network in browser.run("return document.querySelector('#again').textContent")


def test_arabic_names_stand_before_their_probabilities(browser, tmp_path):
    record = make_record()
    arabic = "\u0642\u0637\u0629"
    changed = tuple(
        replace(photo, before=replace(photo.before, name=arabic), after=replace(photo.after, name=arabic))
        for photo in record.changed_photos
    )
    (tmp_path / "page.html").write_text(to_html(replace(record, changed_photos=changed)), "utf-8")
    browser.open(tmp_path / "page.html")
    places = browser.run(PLACES_OF_ANSWERS)
    assert len(places) == 2 * len(changed)
    for name, digits, percent_sign in places:
        assert name < digits < percent_sign


def test_all_columns_of_the_layers_are_in_sight_on_a_desktop(browser, report_pages):
    browser.open(report_pages / "labeled.html")
    hidden = "const box = document.querySelector('.layers').parentElement; return box.scrollWidth - box.clientWidth"
    assert browser.run(hidden) == 0


def test_the_first_paint_takes_less_than_a_second(browser, report_pages):
    browser.open(report_pages / "labeled.html")
    observer = "new PerformanceObserver(list => done(list.getEntries()[0].startTime))"
    paint = f"return new Promise(done => {observer}.observe({{type: 'paint', buffered: true}}))"
    assert browser.result_of(paint) < 1000


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("name", ["labeled", "unlabeled"])
def test_axe_finds_no_barrier(browser, report_pages, name, width, dark):
    browser.open(report_pages / f"{name}.html", width=width, dark=dark)
    browser.run((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
    found = browser.result_of("return (await axe.run()).violations.map(each => each.help)")
    assert found == []
