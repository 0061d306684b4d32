"""The JSON and the tables hold every point in a fixed order."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from pydantic import ValidationError
from rate_accuracy_records import a_curve, a_point, a_record, an_mcunet_curve, plain

from benchmarks.rate_accuracy_page import to_markdown
from benchmarks.rate_accuracy_record import NNCODEC, OURS, PointSeconds, from_json, measure_point, sort_points, to_json
from compress.evaluation.metrics import Outputs


def page():
    return plain(to_markdown(a_record(a_curve(), an_mcunet_curve())))


def row(name, nth=0):
    """Return the cells of the nth row of a point, counted over all tables of the page."""
    rows = re.findall(rf"^\| {re.escape(name)} \| (.*) \|$", page(), re.MULTILINE)
    return rows[nth].split(" | ")


class TestMeasuring:
    def test_a_point_counts_the_photos_that_changed_in_top_1_and_in_top_5(self):
        labels = np.arange(8)
        before, after = np.eye(8, dtype=np.float32), np.eye(8, dtype=np.float32)
        after[:3] = np.arange(8, 0, -1)  # photos 1 and 2 lose top-1, all keep top-5
        after[7] = np.arange(8, 0, -1)  # photo 7 loses top-5 too
        found = measure_point(
            OURS, "x", 10, Outputs(after, labels), Outputs(before, labels), PointSeconds(1.0, 2.0, 3.0)
        )
        assert (found.top1.only_before, found.top1.only_after, found.top1.p_value) == (3, 0, 0.25)
        assert (found.top5.only_before, found.top5.only_after, found.top5.p_value) == (1, 0, 1.0)
        assert (found.top1.accuracy.value, found.top1.difference.value, found.agreement.value) == (5 / 8, -3 / 8, 5 / 8)
        assert found.top1.difference.low < -3 / 8 < found.top1.difference.high
        assert found.divergence_nats.low < found.divergence_nats.value < found.divergence_nats.high

    def test_the_float_network_has_no_change_and_no_divergence(self):
        outputs = Outputs(np.random.default_rng(0).standard_normal((30, 9)).astype(np.float32), np.zeros(30, np.int64))
        same = measure_point(NNCODEC, "qp -99", 10, outputs, outputs, PointSeconds(None, 1.0, 1.0))
        assert (same.top1.difference.value, same.top1.difference.low, same.top1.p_value) == (0, 0, 1)
        assert (same.agreement.value, same.divergence_nats.value) == (1, 0)

    def test_points_are_sorted_by_series_then_largest_file_first(self):
        names = [point.name.removeprefix("squeezenet-") for point in a_curve().points]
        assert names == ["500k", "300k", "240k", "deep-compression", "qp -32", "qp -30", "qp -28", "qp -26"]

    def test_points_of_equal_size_are_sorted_by_name(self):
        twins = [a_point(OURS, name, 10, 0.1, 1, 1) for name in "ba"]
        assert [point.name for point in sort_points(twins)] == ["a", "b"]


class TestJson:
    def test_a_record_survives_the_round_trip(self):
        record = a_record(a_curve(), an_mcunet_curve())
        assert from_json(to_json(record)) == record

    def test_a_point_has_the_documented_fields(self):
        point = json.loads(to_json(a_record()))["curves"][0]["points"][-1]
        assert (point["series"], point["name"], point["file_bytes"]) == ("NNCodec", "qp -26", 503426)
        assert (
            set(point["top1"])
            == {"accuracy", "difference", "only_before", "only_after", "p_value"}
            == set(point["top5"])
        )
        assert set(point["divergence_nats"]) == {"value", "low", "high"} == set(point["top1"]["difference"])
        assert point["seconds"] == {"passes": None, "encode": 1.25, "decode": 0.07}

    def test_omitted_points_are_listed(self):
        omitted = json.loads(to_json(a_record()))["omitted"]
        assert omitted == [{"name": "squeezenet-400k", "reason": "there is no out/squeezenet-400k/model.sqz"}]

    def test_an_unknown_field_is_refused(self):
        with pytest.raises(ValidationError, match="surprise"):
            from_json(json.dumps(json.loads(to_json(a_record())) | {"surprise": 1}))


class TestTable:
    def test_a_row_has_bytes_accuracy_and_fidelity(self):
        assert row("squeezenet-500k") == ["495,000", "10.0", "55.0%", "80.3%", "90.0%", "0.011 (0.00978 to 0.0122)"]

    def test_each_network_has_a_section_whose_table_starts_with_its_own_float_network(self):
        assert re.findall("^## (.*)$", page(), re.MULTILINE) == ["squeezenet", "mcunet"]
        assert row("float32") == ["4,941,984", "1.0", "55.1%", "80.3%", "-", "-"]
        assert row("float32", 1) == ["2,918,880", "1.0", "73.2%", "80.3%", "-", "-"]
        assert row("mcunet-240k")[:2] == ["239,800", "12.2"]

    def test_the_first_table_of_statistics_is_of_top_1_and_the_second_of_top_5(self):
        assert row("NNCodec qp -30", 1) == ["-1.6 (-2.6 to -0.6)", "36 / 20", "0.044"]
        assert row("NNCodec qp -30", 2) == ["+0.1 (-0.7 to +0.9)", "7 / 8", "1"]

    def test_a_zero_change_has_no_sign(self):
        assert row("NNCodec qp -32", 1) == ["0.0 (-1.0 to +1.0)", "15 / 15", "0.5"]

    def test_a_tiny_p_is_shown_as_a_bound(self):
        assert row("NNCodec qp -26", 1)[-1] == "< 0.0001"

    def test_run_times_are_shown_and_nncodec_has_no_passes(self):
        assert row("squeezenet-240k", 3) == ["5 min 12 s", "1.2 s", "0.07 s"]
        assert row("NNCodec qp -32", 3) == ["-", "1.2 s", "0.07 s"]

    def test_every_point_is_in_every_table(self):
        text = page()
        names = ("deep-compression", "mcunet-240k", "NNCodec qp -28")
        assert [text.count(f"| {name} |") for name in names] == [4, 4, 8]

    def test_the_origin_and_omitted_points_are_shown(self):
        text = page()
        assert "Omitted: squeezenet-400k (there is no out/squeezenet-400k/model.sqz)." in text
        assert "Made by `python -m benchmarks.rate_accuracy` on 1,000 photos from photos.csv, labeled;" in text
        assert "torch 2.13.0; NNCodec with nncodec 2.1.3; 2 cores." in text
