"""The treemap: areas are bytes, rectangles fill the space, none is a sliver."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import make_record

from compress.report.breakdown import layer_bytes, layer_name
from compress.report.treemap import Box, squarify, treemap


def area(box):
    return box.width * box.height


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=40))
def test_areas_are_proportional_and_boxes_stay_inside_without_overlap(amounts):
    amounts.sort(reverse=True)
    boxes = squarify(amounts, Box(0, 0, 300, 200))
    scale = 300 * 200 / sum(amounts)
    assert [area(box) for box in boxes] == pytest.approx([amount * scale for amount in amounts])
    for box in boxes:
        assert box.x >= -1e-6
        assert box.y >= -1e-6
        assert box.x + box.width <= 300 + 1e-6
        assert box.y + box.height <= 200 + 1e-6
    for index, one in enumerate(boxes):
        for other in boxes[:index]:
            wide = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
            high = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
            assert min(wide, high) < 1e-6


def test_the_example_of_the_paper():
    boxes = squarify([6, 6, 4, 3, 2, 2, 1], Box(0, 0, 6, 4))
    assert [(box.width, box.height) for box in boxes[:3]] == [(3, 2), (3, 2), pytest.approx((12 / 7, 7 / 3))]


def test_equal_amounts_give_squares():
    assert all(box.width == pytest.approx(box.height) for box in squarify([5] * 6, Box(0, 0, 300, 200)))


def test_the_tiles_of_a_report_are_its_layers_and_what_belongs_to_none():
    record = make_record()
    tiles = treemap(record, 900, 400)
    layers = {layer_name(layer): layer_bytes(layer) for layer in record.layers if len(layer.shape) > 1}
    assert {tile.name: tile.byte_count for tile in tiles if tile.name in layers} == layers
    assert {tile.name for tile in tiles} - set(layers) == {"biases", "class names", "header"}
    assert sum(tile.byte_count for tile in tiles) == record.file.file_bytes
    for tile in tiles:
        assert sum(part.byte_count for part, _ in tile.parts) == tile.byte_count
        assert sum(area(box) for _, box in tile.parts) == pytest.approx(area(tile.box))


def test_tiles_have_a_gap_between_them_and_fill_the_space():
    tiles = treemap(make_record(), 900, 400)
    for index, one in enumerate(tiles):
        for other in tiles[:index]:
            across = max(one.box.x - other.box.x - other.box.width, other.box.x - one.box.x - one.box.width)
            down = max(one.box.y - other.box.y - other.box.height, other.box.y - one.box.y - one.box.height)
            assert max(across, down) > 1
    assert max(tile.box.x + tile.box.width for tile in tiles) == pytest.approx(900)
    assert max(tile.box.y + tile.box.height for tile in tiles) == pytest.approx(400)
