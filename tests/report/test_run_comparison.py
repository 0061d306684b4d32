"""Runs side by side: each is compared with the first, photo by photo where the photos are the same."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from records import make_record, outcomes_of

from compress.errors import ConfigError, FormatError
from compress.evaluation.results import Interval, PhotoOutcomes
from compress.report import to_json
from compress.report.comparison.peers import DEEP_COMPRESSION, NNCODEC, NNCODEC_PHOTOS, peers_of
from compress.report.comparison.rate_curve import draw_curve
from compress.report.comparison.run_comparison import compare_runs
from compress.report.comparison.run_figures import figures_of
from compress.report.comparison.run_files import NamedRun, read_index, read_run, read_runs
from compress.report.comparison.setting_differences import SettingDifference, setting_differences
from compress.report.record import SCHEMA_VERSION
from compress.report.svg import chart_style

ROOT = Path(__file__).parents[2]


def run_of(name, record):
    return NamedRun(name, Path(name, "report.json"), record)


def with_outcomes(record, classes, ranks, divergences):
    return replace(record, outcomes=PhotoOutcomes(tuple(classes), ranks and tuple(ranks), tuple(divergences)))


def on_other_photos(record):
    photos = tuple(replace(data, fingerprint="other") for data in record.data)
    return replace(record, data=photos)


def write(folder, record):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(to_json(record), "utf-8")
    return folder


class TestPairedStatistics:
    def test_photos_are_paired_by_their_place(self):
        a = with_outcomes(make_record(), [1, 2, 3, 4], [1, 1, 2, 0], [0.1, 0.1, 0.1, 0.1])
        b = with_outcomes(make_record(), [1, 2, 3, 5], [1, 2, 1, 5], [0.1, 0.3, 0.1, 0.1])
        (paired,) = compare_runs([run_of("a", a), run_of("b", b)]).paired
        assert (paired.name, paired.photos, paired.agreement.value) == ("b", 4, 0.75)
        assert (paired.top1.correct_only_a, paired.top1.correct_only_b, paired.top1.difference.value) == (1, 1, 0)
        assert (paired.top5.correct_only_a, paired.top5.correct_only_b, paired.top5.difference.value) == (0, 1, 0.25)
        assert paired.divergence_difference_nats.value == pytest.approx(0.05)

    def test_pairing_shows_a_difference_that_the_separate_intervals_hide(self):
        classes, ranks = [0] * 1000, np.array([1] * 550 + [0] * 450)
        worse = np.where(np.arange(1000) < 15, 0, ranks)
        runs = [
            run_of(name, with_outcomes(make_record(), classes, each.tolist(), [0.1] * 1000))
            for name, each in (("a", ranks), ("b", worse))
        ]
        (paired,) = compare_runs(runs).paired
        assert paired.top1.difference.high < 0
        assert paired.top1.p_value < 0.001

    def test_without_labels_only_fidelity_is_paired(self):
        record = make_record(labeled=False)
        (paired,) = compare_runs([run_of("a", record), run_of("b", record)]).paired
        assert (paired.top1, paired.top5, paired.agreement.value) == (None, None, 1.0)

    def test_other_photos_have_a_warning_and_no_pairs(self):
        record = make_record()
        result = compare_runs([run_of("a", record), run_of("b", record), run_of("c", on_other_photos(record))])
        assert [paired.name for paired in result.paired] == ["b"]
        (warning,) = result.warnings
        assert warning.startswith("Other validation photos than a: c.")

    def test_another_float_network_has_a_warning_and_no_difference_of_divergences(self):
        record = make_record()
        result = compare_runs([run_of("a", record), run_of("b", replace(record, weights_sha256="0" * 64))])
        assert result.warnings[0].startswith("Another float network than a: b.")
        assert result.paired[0].divergence_difference_nats is None
        assert result.paired[0].top1 is not None

    def test_a_report_without_results_on_single_photos_has_a_warning_and_no_pairs(self):
        record = make_record()
        result = compare_runs([run_of("a", record), run_of("b", replace(record, outcomes=None))])
        assert result.paired == ()
        assert result.warnings == ("Without results on single photos, and so without paired statistics: b.",)


class TestFigures:
    def test_the_change_of_top1_is_that_of_the_report(self):
        record = make_record()
        (figures,) = compare_runs([run_of("a", record)]).runs
        before, after = record.stages[0].accuracy.top1, record.stages[-1].accuracy.top1
        assert figures.top1_change.value == pytest.approx(after.value - before.value)
        assert figures.top1_change.low < figures.top1_change.value < figures.top1_change.high
        assert figures.file_bytes == record.file.file_bytes

    def test_the_json_has_a_version_and_everything_shown(self):
        record = make_record()
        content = json.loads(compare_runs([run_of("a", record), run_of("b", record)]).to_json())
        assert content["schema_version"] == 1
        assert [run["name"] for run in content["runs"]] == ["a", "b"]
        assert set(content) == {"schema_version", "runs", "warnings", "paired", "settings", "layers"}


class TestSettings:
    def test_equal_runs_differ_in_nothing(self):
        assert setting_differences([make_record(), make_record()]) == ()

    def test_keys_of_the_pipeline_are_named_as_in_set(self):
        text = "seed: 0\nstages:\n- {pass: quantize, bytes: 500 kB}\ngoal: {bytes: 500 kB}\n"
        a, b = (replace(make_record(), configuration=each) for each in (text, text.replace("500", "300")))
        assert setting_differences([a, b]) == (
            SettingDifference("stages.quantize.bytes", ("500 kB", "300 kB")),
            SettingDifference("goal.bytes", ("500 kB", "300 kB")),
        )

    def test_settings_of_a_section_stand_together_before_photos_and_machine(self):
        text = "data: {validation: {source: samples}}\nstages:\n- {pass: prune, sparsity: 0.1}\ngoal: {bytes: 1}\n"
        others = "data: {validation: {path: a}}\nstages:\n- {pass: share, bits: 3}\n"
        a, b = (replace(make_record(), configuration=each, machine=each) for each in (text, others))
        assert [row.key for row in setting_differences([a, b])] == [
            "data.validation.source",
            "data.validation.path",
            "stages.prune.pass",
            "stages.prune.sparsity",
            "stages.share.pass",
            "stages.share.bits",
            "goal.bytes",
            "machine",
        ]

    def test_a_setting_that_one_run_lacks_is_none(self):
        a, b = (replace(make_record(), configuration=each) for each in ("encode: {labels: none}", "seed: true"))
        assert setting_differences([a, b]) == (
            SettingDifference("encode.labels", ("none", None)),
            SettingDifference("seed", (None, "true")),
        )

    def test_photos_versions_and_machine_are_settings(self):
        record = make_record()
        other = on_other_photos(replace(record, machine="a phone", versions={**record.versions, "numpy": "3"}))
        keys = [row.key for row in setting_differences([record, other])]
        assert keys == ["calibration photos", "validation photos", "version of numpy", "machine"]

    @pytest.mark.parametrize(
        "bomb",
        [
            "a0: &a0 [x, x]\n" + "".join(f"a{n + 1}: &a{n + 1} [{f'*a{n}, ' * 9}]\n" for n in range(9)),
            "a: &a [*a]",
            "a: " + "[" * 2000,
            "\x00",
            "",
        ],
        ids=["aliases", "cycle", "depth", "no YAML", "empty"],
    )
    def test_a_hostile_configuration_has_a_limited_number_of_settings(self, bomb):
        rows = setting_differences([make_record(), replace(make_record(), configuration=bomb)])
        assert 0 < len(rows) < 11_000


class TestLayers:
    def test_a_layer_has_the_bytes_of_each_run(self):
        record = make_record()
        first, *rest = record.layers
        changed = replace(record, layers=(replace(first, index_bytes=first.index_bytes + 10), *rest))
        layers = compare_runs([run_of("a", record), run_of("b", changed)]).layers
        assert len(layers) == 26
        assert layers[0].byte_counts[1] - layers[0].byte_counts[0] == 10
        assert layers[1].byte_counts[1] == layers[1].byte_counts[0]

    def test_a_layer_of_one_run_only_is_none_in_the_other(self):
        record = make_record()
        renamed = replace(record, layers=(replace(record.layers[0], name="stem.weight"), *record.layers[1:]))
        layers = compare_runs([run_of("a", record), run_of("b", renamed)]).layers
        by_name = {layer.name: layer.byte_counts for layer in layers}
        assert by_name["features.0"][1] is None
        assert by_name["stem"][0] is None


class TestReading:
    def test_a_run_is_a_folder_or_its_json(self, tmp_path):
        folder = write(tmp_path / "mine", make_record())
        assert read_run(folder) == read_run(folder / "report.json")
        assert read_run(folder).name == "mine"

    def test_runs_of_one_name_are_named_by_their_paths(self, tmp_path):
        folders = [write(tmp_path / each / "same", make_record()) for each in ("a", "b")]
        assert [run.name for run in read_runs(folders)] == [str(folder) for folder in folders]

    def test_an_index_leaves_out_reports_that_cannot_be_read_and_says_why(self, tmp_path):
        write(tmp_path / "b", make_record())
        write(tmp_path / "a", make_record())
        old = write(tmp_path / "old", make_record()) / "report.json"
        old.write_text(old.read_text().replace(f'"schema_version":{SCHEMA_VERSION}', '"schema_version":4'))
        index = read_index(tmp_path)
        assert [run.name for run in index.runs] == ["a", "b"]
        assert index.unreadable[0].name == "old"
        assert "schema version 4" in index.unreadable[0].reason

    def test_neither_a_run_nor_an_empty_folder_has_an_index(self, tmp_path):
        assert read_index(tmp_path) is None
        assert read_index(write(tmp_path / "run", make_record())) is None

    def test_the_error_names_the_file(self, tmp_path):
        (tmp_path / "report.json").write_bytes(b"\xff")
        with pytest.raises(FormatError, match=r"report\.json: the report is not UTF-8"):
            read_run(tmp_path)
        with pytest.raises(ConfigError, match="gone: no such file or folder"):
            read_run(tmp_path / "gone")


class TestCurve:
    def test_a_run_without_divergence_does_not_stretch_the_axis(self):
        record = make_record()
        exact = replace(record.stages[-1].fidelity, divergence_nats=Interval(0.0, 0.0, 0.0))
        lossless = replace(record, stages=(*record.stages[:-1], replace(record.stages[-1], fidelity=exact)))
        runs = [NamedRun("a", Path("a/report.json"), record), NamedRun("b", Path("b/report.json"), lossless)]
        with chart_style():
            curve = draw_curve(
                [figures_of(run) for run in runs], peers_of([replace(record, network="x")]), "divergence_nats"
            )
        ticks = [float(text) for text in re.findall(r"<text[^>]*>\s*([\d.e-]+)\s*</text>", str(curve)) if "." in text]
        assert min(ticks) > record.stages[-1].fidelity.divergence_nats.value / 20

    def test_a_line_joins_runs_of_one_float_network_only(self):
        record = make_record()
        small = replace(record, file=replace(record.file, file_bytes=100_000))
        figures = [figures_of(run_of(name, each)) for name, each in (("a", record), ("b", small))]
        figures[1] = replace(figures[1], divergence_nats=Interval(1.0, 0.9, 1.1))
        no_peers = peers_of([replace(record, network="x")])
        with chart_style():
            joined = str(draw_curve(figures, no_peers, "divergence_nats", ["one", "one"]))
            apart = str(draw_curve(figures, no_peers, "divergence_nats", ["one", "two"]))
        line = re.compile(r'd="M [\d.]+ [\d.]+ L [\d.]+ [\d.]+" [^>]*stroke:var\(--accent\);stroke-width:1\.2')
        assert len(line.findall(joined)) == 1
        assert line.findall(apart) == []


class TestPeers:
    def test_nncodec_is_as_in_the_published_measurement(self):
        published, *_ = json.loads((ROOT / "reports" / "rate-accuracy" / "rate-accuracy.json").read_text())["curves"]
        points = [point for point in published["points"] if point["series"] == "NNCodec"]
        assert published["photos"]["fingerprint"] == NNCODEC_PHOTOS
        assert [(peer.name.replace("\u2212", "-"), peer.file_bytes, peer.top1_change) for peer in NNCODEC] == [
            (point["name"], point["file_bytes"], point["top1"]["difference"]["value"]) for point in points
        ]
        nats = [point["divergence_nats"]["value"] for point in points]
        assert [peer.divergence_nats for peer in NNCODEC] == pytest.approx(nats, rel=1e-3)

    def test_only_runs_of_the_same_network_have_peers(self):
        record = make_record()
        assert peers_of([record]).points == NNCODEC
        assert not peers_of([record]).same_photos
        assert peers_of([replace(record, network="squeezenet1_0")]).sizes == DEEP_COMPRESSION
        assert not peers_of([replace(record, network="squeezenet1_0")]).points
        assert not peers_of([replace(record, network="my.module:net")]).sizes


def test_outcomes_differ_between_made_up_runs():
    assert outcomes_of(541, labeled=True) != outcomes_of(541, labeled=True, seed=8)
