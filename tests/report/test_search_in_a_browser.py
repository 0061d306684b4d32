"""The pages of a search and of a scan in headless Chromium: without an error, charts drawn, none scrolls sideways."""

import pytest
from records import make_record

from compress.search.search_pages import scan_to_html, search_to_html
from compress.search.search_record import SEARCH_VERSION, SearchRecord, TrialRecord, pareto_front_of
from compress.search.sensitivity import LayerScan, Scan, Setting

HOSTILE = f"stages.prune.layers.</script><b>&$x^2$.{'residual_block.' * 5}weight.sparsity"
OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
DOTS = """
return [...document.querySelectorAll('figure svg')].filter(svg => svg.getBoundingClientRect().width > 0)
  .map(svg => [...svg.querySelectorAll('path, use')].filter(dot => dot.getBoundingClientRect().width > 1).length);
"""


def trial(number, state, file_bytes, nats, photos):
    values, lost = {HOSTILE: 0.5 + number / 100, "stages.share.bits": 4}, None if nats is None else nats / 10
    reason = "" if state == "measured" else "<i>no</i>"
    origin = "pipeline" if number == 0 else "sampler"
    agreement = None if nats is None else 1 - nats
    return TrialRecord(
        number, values, origin, state, reason, file_bytes, True, photos, nats, agreement, lost, 0.0, 61.0
    )


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    trials = (
        trial(0, "measured", 60_000, 0.03, 100),
        trial(1, "pruned", 80_000, None, 0),
        trial(2, "failed", None, None, 0),
        trial(3, "measured", 50_000, 0.0, 100),
        trial(4, "measured", 30_000, 0.4, 100),
        trial(5, "pruned", 20_000, 2.0, 25),
    )
    record = SearchRecord(
        version=SEARCH_VERSION,
        pipeline="a & b",
        goal={"bytes": 55_000.0, "max_top1_drop": 0.5},
        objective="closest",
        initial=trials[0].values,
        trials=trials,
        winner=3,
        feasible=True,
        pareto_front=pareto_front_of(trials),
        importances={HOSTILE: 0.9, "stages.share.bits": 0.1},
    )
    (folder / "search.html").write_text(search_to_html(record, make_record()), "utf-8")
    layers = tuple(LayerScan(f"features.{n}.<b>.weight", 1_000, (0.0, 0.01 * n, 0.1, 1.0)) for n in range(12))
    settings = (Setting("prune", 0.5), Setting("prune", 0.9), Setting("share", 4), Setting("share", 2))
    (folder / "scan.html").write_text(scan_to_html(Scan("a & b", 32, settings, layers, (0.1, 0.2, 0.3, 0.4))), "utf-8")
    return folder


@pytest.mark.parametrize(("name", "dots"), [("search", [4]), ("scan", [24, 24])])
@pytest.mark.parametrize("width", [360, 1200])
def test_it_opens_without_a_console_message_every_dot_drawn_and_never_scrolls_sideways(
    browser, pages, name, dots, width
):
    browser.open(pages / f"{name}.html", width=width)
    assert browser.console() == []
    assert browser.run(OVERFLOW) == 0
    drawn = browser.run(DOTS)
    assert len(drawn) == len(dots)
    assert all(count >= expected for count, expected in zip(drawn, dots, strict=True))
    assert (
        browser.run("return document.querySelectorAll('main b, main i').length - 2") <= 0
    )  # nothing of a name is markup


def test_a_long_key_leaves_the_results_of_the_trials_in_sight(browser, pages):
    browser.open(pages / "search.html")
    widths = browser.run("return [...document.querySelectorAll('#trials thead th')].map(head => head.offsetWidth)")
    assert max(widths) < 400


@pytest.mark.parametrize("width", [320, 480, 720, 1200])
def test_no_command_or_option_in_a_sentence_is_broken(browser, pages, width):
    browser.open(pages / "search.html", width=width)
    lines = "return [...document.querySelectorAll('p code')].map(code => code.getClientRects().length)"
    assert browser.run(lines) == [1, 1, 1]
    assert browser.run(OVERFLOW) == 0
