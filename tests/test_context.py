"""The context of a pass: seeds, inputs, and the statistics that stages share."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch

from compress.calibration.pass_gradients import GradientOptions
from compress.calibration.photo_batches import photo_batches
from compress.calibration.statistics_accumulator import accumulate_statistics
from compress.data.transforms import to_input
from compress.runtime.distributed import SINGLE_PROCESS
from compress.tensors.forms import Dense


def test_each_stage_and_each_seed_has_its_own_random_numbers(context):
    stages = [replace(context, stage=stage, seed=seed) for stage in ("share", "distill") for seed in (0, 1)]
    assert len({stage.stage_seed for stage in stages}) == 4


def test_a_stage_seed_depends_on_the_name_and_the_seed_only(context):
    assert replace(context, stage="distill", seed=3).stage_seed == 934_423_244


def test_inputs_are_the_photos_at_the_indices_after_preprocessing(context):
    indices = np.array([5, 0, 5])
    expected = to_input(context.calibration.pixels[indices], context.reference.preprocessing)
    assert np.array_equal(context.inputs(indices).numpy(), expected)


def test_statistics_are_gathered_once_and_shared_by_all_stages(context):
    calls = []

    @contextmanager
    def progress(what, total):
        calls.append((what, total))
        yield lambda count: None

    context = replace(context, progress=progress)
    first = context.fisher.layer_statistics(None)
    assert replace(context, stage="another").fisher.layer_statistics(None) is first
    assert context.fisher.layer_statistics(1000) is first
    assert calls == [("gathering statistics", 60)]


def test_statistics_on_fewer_photos_use_photos_from_the_whole_folder(context, photos_of):
    pixels = np.zeros((60, 12, 12, 3), np.uint8)
    pixels[30:] = 255
    half_dark = replace(context, calibration=photos_of(pixels))
    few, all_photos = (half_dark.fisher.layer_statistics(count)["0.weight"].input_factor for count in (6, None))
    np.testing.assert_allclose(few, all_photos)


def test_balanced_classes_let_photos_of_rare_classes_count_more(context, photos_of):
    with torch.inference_mode():
        softmax = context.network(context.reference)(context.inputs(np.arange(60))).softmax(1).double().numpy()
    often, rarely = (int(photo) for photo in softmax[:, int(softmax.mean(0).argmax())].argsort()[[-1, 0]])
    pixels = context.calibration.pixels[[often] * 59 + [rarely]]
    photos = photos_of(pixels)
    given = replace(context, calibration=photos)
    counts = softmax[[often] * 59 + [rarely]].sum(0)
    class_weights = 1 / (1 + counts / counts.mean())
    assert softmax[rarely] @ class_weights > softmax[often] @ class_weights

    def fisher_of(photos):
        return replace(context, calibration=photos).fisher.layer_statistics(None)["0.weight"].row_fisher

    balanced = fisher_of(replace(photos, balance_classes=True))
    batches = list(photo_batches(photos, np.arange(60), 1, context.seed, (6,), given.inputs, SINGLE_PROCESS))
    options = GradientOptions(class_weights=torch.from_numpy(class_weights))
    network = context.network(context.reference)
    weighted = dict(accumulate_statistics(network, lambda: batches, lambda count: None, options))["0.weight"].row_fisher
    np.testing.assert_allclose(balanced, weighted, rtol=1e-4)
    assert not np.allclose(balanced, fisher_of(photos), rtol=1e-4)


def test_photos_of_one_class_are_a_warning(context, caplog):
    *_, name = context.reference.tensors
    bias = context.reference.tensors[name].to_dense().copy()
    bias[0] += 50
    sure = context.reference.with_tensors({name: Dense(bias)})
    photos = replace(context.calibration, balance_classes=True)
    replace(context, reference=sure, calibration=photos).fisher.layer_statistics(None)
    assert "one class in nearly all calibration photos" in caplog.text


def test_statistics_depend_on_the_seed_of_the_run_only(context):
    def costs(seed):
        torch.manual_seed(seed + 17)
        return replace(context, seed=seed, statistics_cache={}).fisher.layer_statistics(None)["0.weight"].row_fisher

    assert np.array_equal(costs(1), costs(1))
    assert not np.array_equal(costs(1), costs(2))


def test_augmentations_add_to_the_statistics_and_to_the_progress(context):
    totals, counts = [], []

    @contextmanager
    def progress(what, total):
        totals.append(total)
        counts.append([])
        yield counts[-1].append

    context = replace(context, progress=progress)
    once, thrice = (context.fisher.row_statistics(None, augmentations)["0.weight"] for augmentations in (1, 3))
    assert totals == [sum(each) for each in counts] == [60, 180]
    assert once.row_blocks.shape == thrice.row_blocks.shape == (8, 27 * 28 / 2)
    assert not np.allclose(once.input_factor, thrice.input_factor, rtol=0.01)


def test_each_reference_has_its_own_statistics_and_the_latest_two_stay_in_memory(context, tiny):
    references = [tiny.with_tensors({"4.bias": Dense(np.full(6, value, np.float32))}) for value in (0, 1, 2)]
    contexts = [replace(context, reference=reference) for reference in references]
    first, second, third = (each.fisher.layer_statistics(None) for each in contexts)
    assert not np.array_equal(first["4.weight"].row_fisher, second["4.weight"].row_fisher)
    assert list(context.statistics_cache.values()) == [second, third]
    assert contexts[1].fisher.layer_statistics(None) is second
