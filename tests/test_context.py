from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch

from compress.data.transforms import to_input


def test_each_stage_and_each_seed_has_its_own_random_numbers(context):
    stages = [replace(context, stage=stage, seed=seed) for stage in ("share", "distill") for seed in (0, 1)]
    assert len({stage.stage_seed for stage in stages}) == 4
    assert len({torch.rand(1, generator=stage.torch_generator()).item() for stage in stages}) == 4


def test_the_same_stage_and_seed_draw_the_same_in_every_process(context):
    assert replace(context, stage="distill", seed=3).stage_seed == 934_423_244


def test_inputs_are_the_photos_asked_for_as_the_network_wants_them(context):
    places = np.array([5, 0, 5])
    wanted = to_input(context.calibration.pixels[places], context.reference.preprocessing)
    assert np.array_equal(context.inputs(places).numpy(), wanted)


def test_statistics_are_gathered_once_and_shared_by_all_stages(context):
    told = []

    @contextmanager
    def progress(what, total):
        told.append((what, total))
        yield lambda count: None

    context = replace(context, progress=progress)
    first = context.statistics(None)
    assert replace(context, stage="another").statistics(None) is first
    assert context.statistics(1000) is first
    assert told == [("gathering statistics", 60)]


def test_statistics_on_fewer_photos_take_them_from_all_over_the_folder(context, photos_of):
    pixels = np.zeros((60, 12, 12, 3), np.uint8)
    pixels[30:] = 255
    half_dark = replace(context, calibration=photos_of(pixels), cache={})
    few, all_photos = (half_dark.statistics(count)["0.weight"].moment for count in (6, None))
    np.testing.assert_allclose(few, all_photos)


def test_statistics_depend_on_the_seed_and_nothing_else_that_is_random(context):
    def costs(seed):
        torch.manual_seed(seed + 17)
        return replace(context, seed=seed, cache={}).statistics(None)["0.weight"].output_cost

    assert np.array_equal(costs(1), costs(1))
    assert not np.array_equal(costs(1), costs(2))


def test_further_views_of_each_photo_add_to_the_statistics_and_to_the_progress(context):
    totals, counts = [], []

    @contextmanager
    def progress(what, total):
        totals.append(total)
        counts.append([])
        yield counts[-1].append

    context = replace(context, progress=progress)
    once, thrice = (context.row_statistics(None, views)["0.weight"] for views in (1, 3))
    assert totals == [sum(each) for each in counts] == [60, 180]
    assert once.own.shape == thrice.own.shape == (8, 27 * 28 / 2)
    assert not np.allclose(once.moment, thrice.moment, rtol=0.01)
