"""The chart shows every point, its labels do not overlap, and it is deterministic."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from xml.etree import ElementTree

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox
from rate_accuracy_records import POINTS, a_curve, a_point, a_record, an_mcunet_curve, plain

from benchmarks.rate_accuracy_chart import to_svg
from benchmarks.rate_accuracy_record import CLASSIC, NNCODEC, OURS, PointSeconds
from compress.report.label_placement import Obstacle, PointLabel, place_labels
from compress.report.svg import chart_style, new_figure

SVG = "{http://www.w3.org/2000/svg}"


def marker(x, y):
    return Bbox.from_bounds(x - 4, y - 4, 8, 8)


def words(svg):
    return [plain("".join(text.itertext())) for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_every_point_has_a_label_in_both_panels():
    shown = words(to_svg(a_record()))
    for name in ("500k", "300k", "240k", "deep-compression", "qp -32", "qp -30", "qp -28", "qp -26"):
        assert shown.count(name) == 2, name


def test_reference_sizes_and_the_float_network_have_labels():
    shown = " ".join(words(to_svg(a_record())))
    for name in ("target", "240,000 bytes", "6 bit, 0.47 MB", "8 bit, 0.66 MB", "55.1%"):
        assert name in shown


def test_each_network_has_a_column_with_its_points_and_its_own_float_network():
    shown = words(to_svg(a_record(a_curve(), an_mcunet_curve())))
    assert [shown.count(name) for name in ("squeezenet", "mcunet")] == [1, 1]
    assert [shown.count(name) for name in ("300k", "240k", "qp -30", "qp -28")] == [2, 4, 2, 4]
    assert {"squeezenet: 55.1% in float32", "mcunet: 73.2% in float32"} <= set(shown)


def test_only_squeezenet_is_beside_the_published_sizes_of_squeezenet():
    shown = " ".join(words(to_svg(a_record(an_mcunet_curve()))))
    assert "240,000 bytes" in shown
    assert "Deep Compression" not in shown


def test_run_times_do_not_change_the_chart():
    slower = tuple(replace(point, seconds=PointSeconds(9.0, 9.0, 9.0)) for point in POINTS)
    assert to_svg(a_record(a_curve(slower))) == to_svg(a_record())


def test_it_is_a_standalone_file_with_the_colors_of_the_report():
    svg = to_svg(a_record())
    root = ElementTree.fromstring(svg)
    assert (root.tag, root.get("width"), root.get("role")) == (f"{SVG}svg", "900", "img")
    assert "prefers-color-scheme: dark" in svg
    defined = set(re.findall(r"(--[\w-]+):", svg))
    assert set(re.findall(r"var\((--[\w-]+)\)", svg)) <= defined
    assert not re.findall(r"(?:href|src)=.http", svg)


@pytest.mark.parametrize("series", [OURS, CLASSIC, NNCODEC])
def test_a_single_point_can_be_drawn(series):
    assert words(to_svg(a_record(a_curve((a_point(series, "alone", 400_000, 0.1, 3, 2),))))).count("alone") == 2


def test_zero_divergence_can_be_drawn_on_the_logarithmic_scale():
    assert (
        words(to_svg(a_record(a_curve((*POINTS, a_point(NNCODEC, "qp -60", 900_000, 0.0, 0, 0)))))).count("qp -60") == 2
    )


@pytest.mark.parametrize("side", ["below", "above"])
def test_labels_of_close_points_overlap_neither_each_other_nor_the_markers(side):
    with chart_style():
        drawing = new_figure(400, 300)
        axes = drawing.add_axes((0, 0, 1, 1), xlim=(0, 400), ylim=(0, 300))
        points = [(200, 150), (206, 152), (203, 158), (385, 8)]
        drawn = [Obstacle(marker(x, y), 30) for x, y in points]
        place_labels(
            axes, [PointLabel(f"point {number}", x, y, "ink", side) for number, (x, y) in enumerate(points)], drawn
        )
        renderer = FigureCanvasAgg(drawing).get_renderer()
        boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert len(boxes) == len(points)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert not any(box.overlaps(obstacle.box) for box in boxes for obstacle in drawn)
    assert all(box.x0 >= 0 and box.x1 <= 400 and box.y0 >= 0 and box.y1 <= 300 for box in boxes)


def test_a_label_is_not_closer_to_another_point_than_to_its_own():
    with chart_style():
        drawing = new_figure(400, 300)
        axes = drawing.add_axes((0, 0, 1, 1), xlim=(0, 400), ylim=(0, 300))
        place_labels(axes, [PointLabel("the name of a point", 200, 150, "ink", "below"),
                            PointLabel("other", 110, 125, "ink", "below")], [])  # fmt: skip
        renderer = FigureCanvasAgg(drawing).get_renderer()
        box = axes.texts[0].get_window_extent(renderer)
    distances = [max(box.x0 - x, x - box.x1, 0) + max(box.y0 - y, y - box.y1, 0) for x, y in ((200, 150), (110, 125))]
    assert distances[0] < distances[1]
