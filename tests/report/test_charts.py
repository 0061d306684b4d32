"""Axes of charts, and what the charts of layers and codecs show."""

from dataclasses import replace
from itertools import combinations

import pytest
from records import make_record

from compress.report.chart_axes import Scale, padded_range
from compress.report.charts import codec_totals, cost_dots, even_bits, familiar_sizes, layer_costs
from compress.report.record import SQUEEZENET_PAPER_BYTES
from compress.report.svg import lowest_nats


def test_a_linear_axis():
    scale = Scale(0.5, 0.6, 100, 300)
    assert [scale(value) for value in (0.5, 0.55, 0.6)] == pytest.approx([100, 200, 300])
    assert scale.ticks(4) == pytest.approx([0.5, 0.525, 0.55, 0.575, 0.6])


def test_a_logarithmic_axis_has_powers_of_ten():
    scale = Scale(0.0005, 3, 0, 100, logarithmic=True)
    assert scale(0.0005) == 0
    assert scale(3) == pytest.approx(100)
    assert scale.ticks(5) == pytest.approx([0.001, 0.01, 0.1, 1])
    assert Scale(0.9, 6, 0, 100, logarithmic=True).ticks(5) == pytest.approx([1, 2, 3, 5])


@pytest.mark.parametrize("values", [[0.0], [1.0, 1.0], [0.1, 0.9], [1e-9], [3e8, 4e8]])
def test_a_range_has_a_length_contains_its_values_and_nothing_negative(values):
    low, high = padded_range(values)
    assert 0 <= low <= min(values) <= max(values) < high
    assert 1 <= len(Scale(low, high, 0, 1).ticks()) <= 6


def test_sizes_of_known_networks_stand_beside_classifiers_of_imagenet_only():
    record = make_record()
    assert familiar_sizes(record) == [
        ("AlexNet", 240_000_000), ("float32 weights", 4_941_984), ("SqueezeNet paper", SQUEEZENET_PAPER_BYTES),
    ]  # fmt: skip
    *others, last = [layer for layer in record.layers if len(layer.shape) > 1]
    ten = replace(record, layers=(*others, replace(last, shape=(10, 512, 1, 1))))
    assert familiar_sizes(ten) == [("float32 weights", 4_941_984)]


def test_the_cost_of_an_error_does_not_depend_on_the_error_made():
    record = make_record()
    layer = replace(record.layers[0], relative_error=0.02, divergence_nats=0.004)
    finer = replace(layer, relative_error=0.01, divergence_nats=0.002)
    costs = [layer_costs(replace(record, layers=(each,)))[0].cost_nats for each in (layer, finer)]
    assert costs == pytest.approx([0.004 / 2 / layer.weights * 1e6] * 2)


def test_a_layer_without_a_measured_cost_is_left_out():
    record = make_record()
    layer = record.layers[0]
    for unmeasured in (
        replace(layer, divergence_nats=None),
        replace(layer, divergence_nats=-0.1),
        replace(layer, relative_error=0.0),
    ):
        assert layer_costs(replace(record, layers=(unmeasured,))) == []


def test_names_in_the_chart_of_costs_cover_no_dot_and_no_other_name():
    costs = layer_costs(make_record())
    crowded = [replace(cost, cost_nats=1 + index / 40, bits_per_weight=4) for index, cost in enumerate(costs)]
    x, y = Scale(0.5, 8, 32, 940, logarithmic=True), Scale(0, 8, 300, 20)
    alone = replace(costs[-1], cost_nats=5, bits_per_weight=6)
    dots = cost_dots([*crowded[:6], alone], x, y, 6)
    named = [dot for dot in dots if dot.name_at]
    assert dots[-1] in named
    assert len(named) < len(dots)
    boxes = [(dot, dot.name_at[0], dot.name_at[1] - 4, 6 * len(dot.cost.layer.name) / 2) for dot in named]
    for dot, name_x, name_y, half in boxes:
        assert all(
            abs(other.x - name_x) > half or abs(other.y - name_y) > other.radius for other in dots if other is not dot
        )
    for (_, x1, y1, half1), (_, x2, y2, half2) in combinations(boxes, 2):
        assert abs(x1 - x2) > half1 + half2 or abs(y1 - y2) > 11


def test_the_line_of_even_bits_rises_by_one_bit_for_four_times_the_cost():
    costs = layer_costs(make_record())
    (first_cost, first_bits), (last_cost, last_bits) = even_bits(costs, 30)
    assert last_cost > first_cost
    assert 4 ** (last_bits - first_bits) == pytest.approx(last_cost / first_cost)


def test_codecs_are_totalled_over_all_layers_the_smallest_first():
    layers = [layer for layer in make_record().layers if layer.codec_bytes]
    totals = codec_totals(layers)
    assert totals["raw"] == sum(layer.codec_bytes["raw"] for layer in layers)
    assert list(totals.values()) == sorted(totals.values())


def test_a_logarithmic_axis_begins_below_the_smallest_divergence_that_is_measured():
    assert lowest_nats([0.0, 3e-7, 0.2, 1e-16]) == pytest.approx(1e-7)
    assert lowest_nats([0.0, -1e-9]) == 1e-5
