from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from compress.data.transforms import to_input
from compress.errors import DataError
from compress.evaluation.intervals import bootstrap_interval, mcnemar, normal_interval, paired_counts, wilson_interval
from compress.evaluation.metrics import Outputs, accuracy, divergences, fidelity, photo_outcomes, run
from compress.evaluation.results import Interval
from compress.networks.modules import to_module
from compress.runtime.progress import no_progress


def outputs(*logits, labels=None):
    return Outputs(np.array(logits, np.float32), None if labels is None else np.array(labels, np.int64))


def one_hot(*classes, among=8):
    return np.eye(among, dtype=np.float32)[list(classes)]


class TestIntervals:
    @pytest.mark.parametrize(
        ("hits", "among", "low", "high"),
        [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
    )
    def test_a_fraction_has_the_published_wilson_interval(self, hits, among, low, high):
        """Newcombe 1998, "Two-sided confidence intervals for the single wilson_interval", table I, method 3."""
        interval = wilson_interval(np.arange(among) < hits)
        assert interval.value == hits / among
        assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)

    def test_a_mean_has_the_normal_interval_of_its_standard_error(self):
        interval = normal_interval(np.array([1.0, 2.0, 3.0, 6.0]))
        half = 1.959964 * np.sqrt(14 / 3 / 4)
        assert interval.value == 3
        assert (interval.low, interval.high) == pytest.approx((3 - half, 3 + half))

    def test_a_single_value_has_an_interval_of_width_0(self):
        assert normal_interval(np.array([0.25])) == Interval(0.25, 0.25, 0.25)


class TestAccuracy:
    def test_without_labels_there_is_none(self):
        assert accuracy(outputs([1, 2], [2, 1])) is None

    def test_top_1_and_top_5_count_the_largest_logits(self):
        ranked = [9, 8, 7, 6, 5, 4, 3, 2]  # class 0 first, class 7 last
        result = accuracy(outputs(*[ranked] * 8, labels=range(8)))
        assert result.photos == 8
        assert result.top1.value == 1 / 8
        assert result.top5.value == 5 / 8

    def test_ties_go_to_the_first_class(self):
        assert outputs([3, 3, 1], [3, 3, 1], labels=[0, 1]).correct(1).tolist() == [True, False]

    def test_with_fewer_than_five_classes_top_5_is_always_right(self):
        assert accuracy(outputs([1, 2, 3], labels=[0])).top5.value == 1


class TestDivergence:
    def test_identical_outputs_have_zero_divergence(self):
        same = outputs(*np.random.default_rng(0).standard_normal((9, 50)) * 30)
        assert not divergences(same, same).any()

    def test_the_float_network_is_the_reference_distribution(self):
        got, expected = outputs(np.log([0.9, 0.1])), outputs(np.log([0.5, 0.5]))
        assert divergences(got, expected) == pytest.approx([0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)])
        assert divergences(expected, got) == pytest.approx([0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5)])

    def test_a_constant_added_to_all_logits_changes_nothing(self):
        assert divergences(outputs([1, 2, 4]), outputs([101, 102, 104])) == pytest.approx([0], abs=1e-12)

    def test_the_divergence_of_a_certain_and_wrong_network_is_finite(self):
        assert divergences(outputs([0, 5000]), outputs([5000, 0])) == pytest.approx([5000])


class TestFidelity:
    def test_a_network_has_perfect_fidelity_to_itself(self):
        same = Outputs(np.random.default_rng(0).standard_normal((30, 10)).astype(np.float32), np.zeros(30, np.int64))
        result = fidelity(same, same)
        assert (result.photos, result.agreement.value, result.divergence_nats.value) == (30, 1, 0)
        assert (result.correct_only_before, result.correct_only_after) == (0, 0)

    def test_photos_that_only_one_network_classifies_correctly_are_counted(self):
        labels = np.array([0, 1, 2, 3, 4, 5])
        before = Outputs(one_hot(0, 1, 2, 7, 7, 7), labels)  # correct for 0, 1, 2
        after = Outputs(one_hot(0, 7, 7, 3, 6, 7), labels)  # correct for 0, 3
        result = fidelity(after, before)
        assert (result.correct_only_before, result.correct_only_after) == (2, 1)
        assert result.agreement.value == 2 / 6  # the first, and the last, for which both predict 7

    def test_without_labels_there_are_no_counts(self):
        result = fidelity(outputs([1, 2]), outputs([2, 1]))
        assert (result.correct_only_before, result.correct_only_after) == (None, None)
        assert result.agreement.value == 0


class TestPhotoOutcomes:
    def test_each_photo_has_its_class_the_place_of_its_label_and_its_divergence(self):
        before = outputs([9, 8, 7, 6, 5, 4], [9, 8, 7, 6, 5, 4], [9, 8, 7, 6, 5, 4], labels=[0, 2, 5])
        after = outputs([9, 8, 7, 6, 5, 4], [9, 8, 7, 6, 5, 4], [4, 9, 7, 6, 5, 4], labels=[0, 2, 5])
        result = photo_outcomes(after, before)
        assert result.top1_classes == (0, 0, 1)
        assert result.label_ranks == (1, 3, 0)
        assert result.divergences_nats[:2] == (0, 0)
        assert result.divergences_nats[2] == pytest.approx(divergences(after, before)[2], rel=5e-4)

    def test_without_labels_there_are_no_places(self):
        assert photo_outcomes(outputs([1, 2]), outputs([2, 1])).label_ranks is None


class TestPairedStatistics:
    def test_changed_photos_are_counted_in_each_direction(self):
        after, before = np.array([True, True, False, False, False]), np.array([True, False, True, True, False])
        assert paired_counts(after, before) == (2, 1)
        assert paired_counts(before, after) == (1, 2)

    def test_top_5_is_counted_like_top_1(self):
        labels = np.zeros(3, np.int64)
        before = Outputs(np.array([[9, 8, 7, 6, 5, 4], [4, 9, 8, 7, 6, 5], [9, 8, 7, 6, 5, 4]], np.float32), labels)
        after = Outputs(np.array([[8, 9, 7, 6, 5, 4], [8, 9, 7, 6, 5, 4], [1, 9, 8, 7, 6, 5]], np.float32), labels)
        assert paired_counts(after.correct(1), before.correct(1)) == (2, 0)
        assert paired_counts(after.correct(5), before.correct(5)) == (1, 1)

    @pytest.mark.parametrize(
        ("only_before", "only_after", "expected"),
        [(0, 0, 1), (7, 7, 1), (0, 10, 2 / 1024), (10, 0, 2 / 1024), (1, 5, 14 / 64), (1, 0, 1)],
    )
    def test_mcnemars_test_is_twice_the_tail_of_fair_coins(self, only_before, only_after, expected):
        assert mcnemar(only_before, only_after) == pytest.approx(expected)

    def test_the_bootstrap_of_many_photos_is_near_the_normal_interval(self):
        values = np.random.default_rng(3).normal(0.1, 1, 1000)
        resampled, normal = bootstrap_interval(values), normal_interval(values)
        assert resampled.value == normal.value
        assert (resampled.low, resampled.high) == pytest.approx((normal.low, normal.high), abs=0.01)

    def test_of_many_photos_the_normal_interval_is_as_good_and_fast(self):
        values = np.random.default_rng(3).lognormal(0, 1.5, 50_000)
        assert bootstrap_interval(values) == normal_interval(values)
        few = values[:5_000]
        resampled, normal = bootstrap_interval(few), normal_interval(few)
        assert resampled != normal
        assert resampled.low == pytest.approx(normal.low, rel=0.03)
        assert resampled.high == pytest.approx(normal.high, rel=0.03)

    def test_the_bootstrap_interval_is_wider_on_the_long_tail(self):
        interval = bootstrap_interval(np.random.default_rng(3).lognormal(0, 1.5, 200))
        assert interval.high - interval.value > 1.2 * (interval.value - interval.low)

    def test_photos_correct_in_both_networks_do_not_widen_the_interval_of_the_difference(self):
        before = np.random.default_rng(3).random(1000) < 0.55
        after = before.copy()
        after[:5] = ~after[:5]
        paired = bootstrap_interval(after.astype(float) - before)
        assert paired.high - paired.low < 0.2 * (wilson_interval(after).high - wilson_interval(after).low)

    def test_the_same_seed_gives_the_same_interval(self):
        values = np.random.default_rng(3).random(50)
        assert bootstrap_interval(values, 1) == bootstrap_interval(values, 1) != bootstrap_interval(values, 2)

    @pytest.mark.parametrize("count", [1, 30])
    def test_equal_values_have_an_interval_of_width_0(self, count):
        assert bootstrap_interval(np.full(count, 0.25)) == Interval(0.25, 0.25, 0.25)


class TestRun:
    def test_outputs_are_in_the_order_of_the_photos(self, tiny, patchwork):
        network, photos = to_module(tiny), patchwork(123)
        result = run(network, photos, tiny.preprocessing, no_progress)
        with torch.no_grad():
            inputs = torch.from_numpy(to_input(photos.pixels, tiny.preprocessing))
            expected = np.concatenate([network(photo[None]).numpy() for photo in inputs])
        np.testing.assert_allclose(result.logits, expected, rtol=1e-4, atol=1e-5)
        assert result.labels is None

    def test_labels_are_those_of_the_photos(self, tiny, photos_of):
        photos = photos_of(np.zeros((3, 12, 12, 3), np.uint8), np.array([5, 0, 2]))
        assert run(to_module(tiny), photos, tiny.preprocessing, no_progress).labels.tolist() == [5, 0, 2]

    def test_progress_ends_at_the_number_of_photos(self, tiny, patchwork):
        reported = []

        @contextmanager
        def progress(what, total):
            reported.append(total)
            yield reported.append

        run(to_module(tiny), patchwork(70), tiny.preprocessing, progress)
        assert reported[0] == sum(reported[1:]) == 70

    def test_no_photos_are_an_error(self, tiny, patchwork):
        with pytest.raises(DataError, match="at least one photo"):
            run(to_module(tiny), patchwork(0), tiny.preprocessing, no_progress)

    def test_an_output_that_is_not_finite_is_an_error(self, tiny, patchwork):
        network = to_module(tiny)
        with torch.no_grad():
            network[4].bias[0] = torch.nan
        with pytest.raises(DataError, match="not finite"):
            run(network, patchwork(3), tiny.preprocessing, no_progress)
