"""The memory that statistics take, from the shapes of layers, and the layers that are gathered together."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from user_networks import mixed_layers

from compress.calibration.memory_plan import LayerMemory, NetworkMemory, measuring_photos, network_memory
from compress.calibration.pass_gradients import GradientOptions
from compress.calibration.photo_batches import MAX_BATCH_PHOTOS, MAX_PASS_PHOTOS, PhotoBatch
from compress.calibration.statistics_accumulator import accumulate_statistics
from compress.errors import PassError

LAYERS = tuple(LayerMemory(name, 10, columns, 1) for name, columns in (("a", 100), ("b", 400), ("c", 100), ("d", 100)))
MEMORY = NetworkMemory(LAYERS, activation_bytes=10**6)


def test_all_layers_are_gathered_at_once_where_memory_is_free():
    assert MEMORY.sweeps(10**9) == [{"a", "b", "c", "d"}]


def test_layers_are_gathered_in_order_as_many_as_fit():
    assert MEMORY.sweeps(MEMORY.gathering_bytes + LAYERS[1].sums_bytes) == [{"a"}, {"b"}, {"c", "d"}]


def test_layers_are_gathered_one_by_one_where_nothing_is_free():
    assert MEMORY.sweeps(-1) == [{"a"}, {"b"}, {"c"}, {"d"}]


@pytest.mark.parametrize(("photo_bytes", "together"), [(9 * 10**7, MAX_BATCH_PHOTOS), (2 * 10**8, 5), (3 * 10**9, 1)])
def test_the_plan_has_room_for_the_photos_that_measure_sensitivity_together(photo_bytes, together):
    weights = sum(layer.weights for layer in LAYERS)
    without_photos = NetworkMemory(LAYERS, activation_bytes=0)
    large = NetworkMemory(LAYERS, activation_bytes=MAX_PASS_PHOTOS * photo_bytes)
    room = large.working_bytes - without_photos.working_bytes
    assert together * photo_bytes - 10**7 < room <= together * photo_bytes
    assert large.minimum_bytes >= together * photo_bytes + 8 * weights


def test_photos_that_take_a_gigabyte_together_measure_sensitivity_in_several_passes():
    network = nn.Conv2d(1, 8, 1)
    assert measuring_photos(network, torch.zeros(1, 1, 100, 100)) == MAX_BATCH_PHOTOS
    assert measuring_photos(network, torch.zeros(1, 1, 1500, 1500)) == 3  # 288 MB a photo


def test_the_plan_has_the_layers_of_the_statistics_in_their_order():
    network, photos = mixed_layers().eval(), torch.randn(2, 3, 9, 12)
    memory = network_memory(network, photos[:1], 0)
    batches = [PhotoBatch(torch.randn(2, network(photos).shape[1]), photos)]
    found = dict(accumulate_statistics(network, lambda: batches, lambda count: None, GradientOptions()))
    assert [layer.name for layer in memory.layers] == list(found)
    assert [(layer.rows, layer.columns) for layer in memory.layers] == [
        (len(each.row_fisher), len(each.input_factor)) for each in found.values()
    ]


def test_a_row_too_long_for_statistics_is_an_error_before_they_are_gathered():
    network = nn.Sequential(nn.Linear(16_249, 1), nn.Linear(1, 2))
    with pytest.raises(PassError, match=r"0\.weight: .*row of 16,249 weights take 2\.1 GB \(allowed: .*16,248"):
        network_memory(network, torch.zeros(1, 16_249), 0)
