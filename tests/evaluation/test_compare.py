"""Comparison of two models on the same photos: accuracy, fidelity, differing photos, and limits for CI."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.numpy import save_file
from skimage import data
from small_models import LABELS, float_squeezenet, shared_squeezenet

import compress
from compress import container
from compress.cli.main import main
from compress.errors import ConfigError, DataError, FormatError
from compress.evaluation.compare import compare_models
from compress.evaluation.comparison_record import ModelComparison
from compress.evaluation.evaluate import evaluate_model, predict_photos
from compress.model import Model
from compress.tensors.forms import Dense

ALWAYS = 3
"""The class that the constant model predicts for every photo."""
PHOTOS = {"astronaut": data.astronaut, "chelsea": data.chelsea, "coffee": data.coffee, "rocket": data.rocket}


def constant() -> Model:
    """Return a model that always predicts the same class."""
    model = float_squeezenet()
    bias = model.tensors["classifier.1.bias"].to_dense().copy()
    bias[ALWAYS] += 10_000  # the others' logits are some hundreds
    return model.with_tensors({"classifier.1.bias": Dense(bias)})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models as files, and photos without labels."""
    place = tmp_path_factory.mktemp("compared")
    for name, model in (("float", float_squeezenet()), ("shared", shared_squeezenet()), ("constant", constant())):
        container.write(place / f"{name}.sqz", model)
    (place / "photos").mkdir()
    for name, photo in PHOTOS.items():
        Image.fromarray(photo()).save(place / "photos" / f"{name}.png")
    return place


@pytest.fixture(scope="module")
def labeled(folder: Path) -> Path:
    """Labels: two from the float model's predictions, one from the constant model's, one from neither."""
    photos = sorted((folder / "photos").glob("*.png"))
    seen = [guesses[0].index for _, guesses in predict_photos(float_squeezenet(), photos, "cpu", k=1)]
    assert ALWAYS not in seen
    neither = next(index for index in range(len(LABELS)) if index not in {*seen, ALWAYS})
    lines = [f"photos/{photo.name},{label}" for photo, label in zip(photos, (*seen[:2], ALWAYS, neither), strict=True)]
    (folder / "labeled.csv").write_text("\n".join(["path,index", *lines]))
    return folder / "labeled.csv"


def between(folder: Path, a: str, b: str, photos: str | Path, **options: object) -> ModelComparison:
    return compare_models(str(folder / a), str(folder / b), str(folder / photos), device="cpu", **options)


def invoke(*arguments: object) -> Result:
    result = CliRunner().invoke(main, ["compare", *map(str, arguments), "--device", "cpu"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


class TestEqualModels:
    def test_a_model_equals_itself(self, folder, labeled):
        same = between(folder, "shared.sqz", "shared.sqz", labeled)
        assert same.same_weights
        assert same.same_preprocessing
        assert same.a == same.b
        assert (same.agreement.value, same.divergence_nats.value, same.differing) == (1, 0, ())
        for paired in (same.top1, same.top5):
            assert (paired.correct_only_a, paired.correct_only_b, paired.p_value) == (0, 0, 1)
            assert (paired.difference.low, paired.difference.value, paired.difference.high) == (0, 0, 0)

    def test_a_checkpoint_with_the_same_weights_is_recognized(self, folder, tmp_path):
        arrays = {name: tensor.to_dense() for name, tensor in shared_squeezenet().tensors.items()}
        save_file(arrays, tmp_path / "w.safetensors")
        found = between(folder, "shared.sqz", tmp_path / "w.safetensors", "photos")
        assert found.same_weights
        assert not found.same_preprocessing  # a checkpoint has none; torchvision's is used


class TestAccuracy:
    def test_photos_that_only_one_model_classifies_correctly_are_counted_and_tested(self, folder, labeled):
        found = between(folder, "float.sqz", "constant.sqz", labeled)
        assert (found.a.accuracy.top1.value, found.b.accuracy.top1.value) == (0.5, 0.25)
        assert (found.top1.correct_only_a, found.top1.correct_only_b) == (2, 1)
        assert found.top1.p_value == pytest.approx(1.0)
        assert found.top1.difference.value == -0.25
        assert found.top1.difference.low < -0.25 < found.top1.difference.high

    def test_the_swapped_comparison_has_swapped_results(self, folder, labeled):
        found, swapped = (between(folder, *pair, labeled) for pair in
                         (("float.sqz", "constant.sqz"), ("constant.sqz", "float.sqz")))  # fmt: skip
        assert (swapped.top1.correct_only_a, swapped.top1.correct_only_b) == (1, 2)
        assert swapped.top1.difference.value == -found.top1.difference.value
        assert swapped.agreement == found.agreement
        assert swapped.divergence_nats != found.divergence_nats  # the divergence is not symmetric

    def test_without_labels_there_is_fidelity_and_no_accuracy(self, folder):
        found = between(folder, "float.sqz", "constant.sqz", "photos")
        assert (found.a.accuracy, found.b.accuracy, found.top1, found.top5) == (None, None, None, None)
        assert found.agreement.value == 0
        assert all(photo.label is None and photo.label_name is None for photo in found.photos)


class TestPhotos:
    def test_every_photo_has_both_predictions_highest_divergence_first(self, folder, labeled):
        found = between(folder, "float.sqz", "constant.sqz", labeled)
        assert len(found.photos) == len(found.differing) == 4
        divergences = [photo.divergence_nats for photo in found.photos]
        assert divergences == sorted(divergences, reverse=True)
        assert found.divergence_nats.value == pytest.approx(np.mean(divergences))
        says = {guesses[0] for _, guesses in
                predict_photos(float_squeezenet(), sorted((folder / "photos").glob("*.png")), "cpu", 1)}  # fmt: skip
        assert {photo.a.name for photo in found.photos} == {each.name for each in says}
        for photo in found.photos:
            assert Path(photo.photo).stem in PHOTOS
            assert any(photo.a.probability == pytest.approx(each.probability, rel=1e-4) for each in says)
            assert (photo.b.index, photo.b.name) == (ALWAYS, LABELS[ALWAYS])
            assert photo.b.probability > 0.99
            assert photo.label_name == LABELS[photo.label]

    def test_a_model_without_class_names_uses_the_names_of_the_other(self, folder, tmp_path):
        container.write(tmp_path / "nameless.sqz", replace(constant(), labels=()))
        for pair in (("float.sqz", tmp_path / "nameless.sqz"), (tmp_path / "nameless.sqz", "float.sqz")):
            found = between(folder, *pair, "photos", limit=1)
            assert {found.photos[0].a.name, found.photos[0].b.name} <= set(LABELS)
            assert found.differing_class_names == ()
        nameless = between(tmp_path, "nameless.sqz", "nameless.sqz", folder / "photos", limit=1)
        assert nameless.photos[0].a.name == f"class {ALWAYS}"

    def test_different_class_names_are_reported(self, folder, tmp_path):
        container.write(tmp_path / "other.sqz", replace(float_squeezenet(), labels=("nought", *LABELS[1:8], "8", "9")))
        found = between(folder, "float.sqz", tmp_path / "other.sqz", "photos", limit=1)
        assert found.differing_class_names == (0, 8, 9)
        shown = invoke(folder / "float.sqz", tmp_path / "other.sqz", "--data", folder / "photos", "--limit", 1).stdout
        assert (
            "3 classes have different names in A and B, the first is class 0: check that the classes are the same"
            in shown
        )

    def test_an_unreadable_photo_is_named(self, folder, tmp_path):
        for number in range(30):
            Image.new("RGB", (20, 20), (8 * number, 100, 50)).save(tmp_path / f"{number}.png")
        (tmp_path / "3.png").write_bytes(b"broken")
        found = between(folder, "float.sqz", "shared.sqz", tmp_path)
        assert len(found.photos) == 29
        assert len(found.skipped) == 1
        assert found.skipped[0].startswith(f"{tmp_path / '3.png'}: not a photo")


class TestPreprocessing:
    def test_each_model_uses_its_own_preprocessing(self, folder, tmp_path):
        """The same network twice: BGR input, and RGB input with the channels of the first layer swapped."""
        model = float_squeezenet()
        pre = replace(model.preprocessing, channels="RGB", mean=model.preprocessing.mean[::-1])
        turned = Dense(np.ascontiguousarray(model.tensors["features.0.weight"].to_dense()[:, ::-1]))
        container.write(
            tmp_path / "rgb.sqz", replace(model.with_tensors({"features.0.weight": turned}), preprocessing=pre)
        )
        found = between(folder, "float.sqz", tmp_path / "rgb.sqz", "photos")
        assert not found.same_preprocessing
        assert not found.same_weights
        assert found.agreement.value == 1
        assert found.divergence_nats.value < 1e-6

    def test_accuracies_equal_those_of_evaluate(self, folder, labeled, tmp_path):
        larger = replace(shared_squeezenet(), preprocessing=replace(shared_squeezenet().preprocessing, height=96))
        container.write(tmp_path / "larger.sqz", larger)
        found = between(folder, "float.sqz", tmp_path / "larger.sqz", labeled)
        for side, model in ((found.a, float_squeezenet()), (found.b, larger)):
            assert side.accuracy == evaluate_model(model, labeled, None, "cpu")[0]


class TestErrors:
    def test_models_with_different_numbers_of_classes_are_refused(self, folder):
        with pytest.raises(
            ConfigError, match=r"float\.sqz has 10 classes and embedded has 1,000; compare models with the same classes"
        ):
            compare_models(str(folder / "float.sqz"), "embedded", str(folder / "photos"), device="cpu")

    def test_a_limit_on_a_drop_needs_labels(self, folder):
        pair = (folder / "float.sqz", folder / "shared.sqz", "--data", folder / "photos")
        for option in ("--max-top1-drop", "--max-top5-drop"):
            refused = invoke(*pair, option, 1)
            assert (refused.exit_code, refused.stdout) == (1, "")
            assert (
                "a limit on the drop of top-1 or top-5 needs labels, and these photos have none; give" in refused.stderr
            )

    @pytest.mark.parametrize(
        "wrong",
        [
            ("--min-agreement", "1.1"),
            ("--max-divergence", "nan"),
            ("--max-divergence", "inf"),
            ("--max-top1-drop", "-1"),
            ("--max-top5-drop", "nan"),
            ("--show", "-1"),
            ("--limit", "0"),
        ],
    )
    def test_an_invalid_limit_is_bad_usage(self, folder, wrong):
        refused = invoke(folder / "float.sqz", folder / "shared.sqz", "--data", folder / "photos", *wrong)
        assert refused.exit_code == 2
        assert wrong[0] in refused.stderr

    def test_a_missing_file_is_bad_usage(self, folder):
        assert invoke("gone.sqz", folder / "float.sqz", "--data", folder / "photos").exit_code == 2
        assert invoke(folder / "float.sqz", folder / "float.sqz", "--data", "gone").exit_code == 2
        assert invoke(folder / "float.sqz", folder / "float.sqz").exit_code == 2

    def test_a_damaged_file_or_a_folder_without_photos_is_an_error(self, folder, tmp_path):
        (tmp_path / "cut.sqz").write_bytes((folder / "float.sqz").read_bytes()[:-1])
        with pytest.raises(FormatError, match=r"cut\.sqz: .*cut off"):
            between(folder, "float.sqz", tmp_path / "cut.sqz", "photos")
        (tmp_path / "none").mkdir()
        with pytest.raises(DataError, match="no photos in"):
            between(folder, "float.sqz", "shared.sqz", tmp_path / "none")


class TestTerminal:
    def test_bytes_accuracy_counts_tests_and_photos_are_shown(self, folder, labeled):
        shown = invoke(folder / "float.sqz", folder / "constant.sqz", "--data", labeled, "--show", 3)
        assert (shown.exit_code, shown.stderr) == (0, "")
        lines = shown.stdout.splitlines()
        a, b = ((folder / f"{name}.sqz").stat().st_size for name in ("float", "constant"))
        assert lines[0] == f"A  {folder / 'float.sqz'}: {a:,} bytes, squeezenet1_1"
        assert lines[2].startswith(f"B has {b / a:.1%} of A's bytes; the weights differ, sha256 ")
        top1 = next(line for line in lines if line.startswith("top-1"))
        assert top1.startswith("top-1: A 50.0% (15.0 to 85.0), B 25.0% (4.6 to 69.9); B minus A -25.0 points (")
        assert top1.endswith("; correct only in A 2, only in B 1, McNemar p = 1")
        assert "agreement: 0.0% (0.0 to 49.0) of the photos" in lines
        at = lines.index("different top-1 classes: 4 of the photos; the 3 with the highest divergence:")
        assert lines[at + 1].split() == ["photo", "label", "A", "B", "KL,", "nats"]
        assert [f"{LABELS[ALWAYS]} 100.0%" in line for line in lines[at + 2 :]] == [True, True, True]

    def test_show_0_lists_no_photos(self, folder):
        shown = invoke(folder / "float.sqz", folder / "constant.sqz", "--data", folder / "photos", "--show", 0)
        assert shown.stdout.splitlines()[-1] == "different top-1 classes: 4 of the photos"
        assert "These photos have no labels: the comparison has no accuracy, only fidelity." in shown.stdout

    def test_markup_in_names_is_escaped(self, folder, tmp_path):
        odd = replace(constant(), labels=("[red]x[/]",) * 10)
        container.write(tmp_path / "odd.sqz", odd)
        shown = invoke(folder / "float.sqz", tmp_path / "odd.sqz", "--data", folder / "photos").stdout
        assert "[red]x[/] 100.0%" in shown


class TestLimits:
    def test_a_model_within_the_limits_ends_with_0(self, folder, labeled):
        limits = ("--max-top1-drop", 25, "--max-top5-drop", 100, "--min-agreement", 0, "--max-divergence", 1e6)
        shown = invoke(folder / "float.sqz", folder / "constant.sqz", "--data", labeled, *limits)
        assert shown.exit_code == 0
        assert shown.stdout.count("goal met: ") == 4

    def test_a_model_beyond_the_limits_ends_with_3_and_the_margins(self, folder, labeled):
        missed = invoke(
            folder / "float.sqz", folder / "constant.sqz", "--data", labeled,
            "--max-top1-drop", 20, "--min-agreement", 0.9,
        )  # fmt: skip
        assert missed.exit_code == 3
        assert "goal MISSED: top-1 drop at most 20.0 points, reached 25.0 points: missed by 5.0 points" in missed.stdout
        assert missed.stderr == (
            "error: the goal was missed: top-1 drop by 5.0 points, agreement with A by 90.0 points\n"
        )

    def test_a_missed_limit_is_in_the_json(self, folder, labeled):
        missed = invoke(
            folder / "float.sqz", folder / "constant.sqz", "--data", labeled, "--json", "--max-top1-drop", 20
        )
        assert (missed.exit_code, [goal["met"] for goal in json.loads(missed.stdout)["goals"]]) == (3, [False])

    def test_a_better_model_has_no_drop(self, folder, labeled):
        assert (
            invoke(folder / "constant.sqz", folder / "float.sqz", "--data", labeled, "--max-top1-drop", 0).exit_code
            == 0
        )


class TestJson:
    def test_the_json_holds_every_photo_and_the_whole_comparison(self, folder, labeled):
        shown = invoke(folder / "float.sqz", folder / "shared.sqz", "--data", labeled, "--show", 1, "--json")
        told = json.loads(shown.stdout, parse_constant=pytest.fail)
        assert told["schema_version"] == 3
        assert len(told["photos"]) == 4
        assert told["a"]["weights_sha256"] == container.weights_sha256(float_squeezenet())
        assert told["b"]["file_bytes"] == (folder / "shared.sqz").stat().st_size
        assert {"photo", "label", "label_name", "divergence_nats", "relative_mse", "a", "b"} == set(told["photos"][0])
        found = between(folder, "float.sqz", "shared.sqz", labeled)
        assert told == json.loads(json.dumps(asdict(found)))


class TestInstalledContent:
    def test_the_float_network_and_sample_photos_have_names(self):
        found = compress.compare("embedded", "embedded", "samples", limit=2, device="cpu")
        assert (found.a.name, found.a.file_bytes) == ("embedded", 4_941_984)
        assert found.same_weights
        assert len(found.photos) == 2
        assert math.isclose(found.agreement.value, 1)

    def test_a_folder_named_samples_takes_precedence(self, folder, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("samples").mkdir()
        Image.fromarray(data.coffee()).save("samples/mine.png")
        shown = invoke(folder / "float.sqz", folder / "shared.sqz", "--data", "samples")
        assert "photos: 1 photos from samples, without labels" in shown.stdout

    def test_a_label_column_of_the_sample_photos_is_an_error(self):
        with pytest.raises(ConfigError, match="--label-column: 'kind' names a column, and the photos are of no table"):
            compare_models("embedded", "embedded", "samples", label_column="kind")

    def test_decoded_photos_are_cached_in_the_folder(self, folder, tmp_path):
        first = between(folder, "float.sqz", "shared.sqz", "photos", cache=tmp_path)
        assert len(list(tmp_path.glob("*.npy"))) == 1
        assert between(folder, "float.sqz", "shared.sqz", "photos", cache=tmp_path) == first
