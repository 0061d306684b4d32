"""Labels beside the points of a chart."""

from compress.report.label_placement import PointLabel, obstacles_along, place_labels
from compress.report.svg import new_figure


def test_a_label_crosses_a_thin_line_rather_than_stand_far_from_its_point():
    axes = new_figure(400, 300).add_axes((0, 0, 1, 1), xlim=(0, 400), ylim=(0, 300))
    lines = [line for x in (185, 215) for line in obstacles_along(axes, [(x, 0), (x, 300)], 1, 3)]
    place_labels(axes, [PointLabel("qp -28", 200, 150, "second", "above")], lines, 11)
    (label,) = axes.texts
    assert max(map(abs, label.get_position())) <= 9
