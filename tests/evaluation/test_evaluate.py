"""Accuracy and predictions of a finished model."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from skimage import data
from small_models import CLASSES, LABELS, shared_squeezenet

from compress import container
from compress.data.transforms import to_input, to_pixels
from compress.errors import ConfigError, DataError
from compress.evaluation.evaluate import evaluate_model, predict_photos
from compress.networks.modules import to_module
from compress.networks.preprocessing_options import PreprocessingOptions
from compress.weights.model_files import load_model
from compress.weights.user_network import UserNetwork


@pytest.fixture(scope="module")
def model():
    return shared_squeezenet()


@pytest.fixture(scope="module")
def labeled(model, tmp_path_factory) -> Path:
    """Two photos in the folder of the predicted class, two in the folder of the least probable class."""
    folder = tmp_path_factory.mktemp("labeled")
    network = to_module(model)
    for place, photo in enumerate((data.astronaut(), data.coffee(), data.chelsea(), data.rocket())):
        pixels = to_pixels(Image.fromarray(photo), model.preprocessing)[None]
        with torch.inference_mode():
            logits = network(torch.from_numpy(to_input(pixels, model.preprocessing)))[0].numpy()
        seen = int(logits.argmax() if place < 2 else logits.argmin())
        (folder / str(seen)).mkdir(exist_ok=True)
        Image.fromarray(photo).save(folder / str(seen) / f"{place}.png")
    return folder


def test_top_1_and_top_5_are_counted_with_their_intervals(model, labeled):
    accuracy, _, skipped = evaluate_model(model, labeled, None, "cpu")
    assert (accuracy.photos, accuracy.top1.value, accuracy.top5.value, skipped) == (4, 0.5, 0.5, ())
    assert accuracy.top1.low == pytest.approx(0.1500, abs=1e-4)  # Wilson's interval for 2 of 4
    assert accuracy.top1.high == pytest.approx(0.8500, abs=1e-4)


def test_a_network_that_views_its_color_photos_is_evaluated(labeled):
    args = {"channels": 3}
    source = UserNetwork(factory="user_networks:viewing_network", args=args, input_size=32, resize="squash")
    assert evaluate_model(replace(source.load(), labels=LABELS), labeled, None, "cpu").accuracy.photos == 4


def test_a_photo_in_two_classes_is_a_warning(model, labeled, tmp_path, caplog):
    evaluate_model(model, labeled, None, "cpu")
    assert not caplog.records
    shutil.copytree(labeled, tmp_path / "photos")
    one, other = sorted((tmp_path / "photos").iterdir())
    (other / "link.png").symlink_to(next(one.iterdir()))
    evaluate_model(model, tmp_path / "photos", None, "cpu")
    (record,) = caplog.records
    assert record.getMessage().startswith("1 validation photos are the same as others of another class, for example ")


def test_a_limit_bounds_the_number_of_photos(model, labeled):
    assert evaluate_model(model, labeled, 3, "cpu").accuracy.photos == 3


def test_photos_without_labels_are_refused(model, tmp_path):
    Image.fromarray(data.coffee()).save(tmp_path / "a.png")
    with pytest.raises(
        DataError, match=r"these photos have no labels; give a folder with one subfolder for each class, or a CSV"
    ):
        evaluate_model(model, tmp_path, None, "cpu")


def test_a_label_beyond_the_classes_is_refused(model, tmp_path):
    (tmp_path / str(CLASSES)).mkdir()
    Image.fromarray(data.coffee()).save(tmp_path / str(CLASSES) / "a.png")
    with pytest.raises(DataError, match=r"a\.png has the class 10, but the network's classes are 0 to 9"):
        evaluate_model(model, tmp_path, None, "cpu")


def test_predictions_are_named_and_sorted_for_each_photo(model, labeled):
    photos = sorted(labeled.rglob("*.png"))
    found = list(predict_photos(model, photos, "cpu"))
    assert [photo for photo, _ in found] == photos
    for _, predictions in found:
        names, probabilities = zip(*((each.name, each.probability) for each in predictions), strict=True)
        assert len(set(names)) == 5
        assert set(names) <= set(LABELS)
        assert list(probabilities) == sorted(probabilities, reverse=True)
        assert 0 < sum(probabilities) <= 1
    ((_, alone),) = predict_photos(model, photos[-1:], "cpu", k=CLASSES)
    assert alone[:5] == found[-1][1]
    assert sum(each.probability for each in alone) == pytest.approx(1)


def test_without_class_names_classes_are_numbered(model, labeled, tmp_path):
    photo = next(labeled.rglob("*.png"))
    ((_, predictions),) = predict_photos(replace(model, labels=()), [photo], "cpu", k=1)
    assert predictions[0].name in {f"class {place}" for place in range(CLASSES)}


def test_the_trained_network_recognizes_a_cat(squeezenet, tmp_path):
    Image.fromarray(data.chelsea()).save(tmp_path / "chelsea.png")
    ((_, predictions),) = predict_photos(squeezenet, [tmp_path / "chelsea.png"], "cpu")
    assert any("cat" in each.name.lower() for each in predictions[:2]), predictions


def test_an_error_names_the_file_that_is_no_photo(model, tmp_path):
    (tmp_path / "b.png").write_bytes(b"no photo")
    with pytest.raises(DataError, match=r"b\.png: not a photo"):
        list(predict_photos(model, [tmp_path / "b.png"], "cpu"))


def test_a_photo_on_which_the_network_fails_is_named(tmp_path):
    gray = PreprocessingOptions(height=8, width=8, mean=(0.5,), std=(0.25,), channels="L", resize="squash")
    args = {"change": "fails on dark photos"}
    model = UserNetwork(factory="user_networks:small_network", args=args, preprocessing=gray).load()
    Image.new("L", (8, 8)).save(tmp_path / "dark.png")
    with pytest.raises(DataError, match=r"fails on 1 photos, the first of them .*dark\.png: IndexError: too dark"):
        list(predict_photos(model, [tmp_path / "dark.png"], "cpu"))


def test_a_missing_device_is_refused_before_photos_are_read(model, tmp_path):
    with pytest.raises(ConfigError, match="cannot run on 'nowhere'"):
        evaluate_model(model, tmp_path / "gone", None, "nowhere")
    with pytest.raises(ConfigError, match="cannot run on 'nowhere'"):
        list(predict_photos(model, [tmp_path / "gone"], "nowhere"))


def test_a_file_has_the_accuracy_of_its_model(model, labeled, tmp_path):
    container.write(tmp_path / "model.sqz", model)
    again = load_model(tmp_path / "model.sqz")
    assert evaluate_model(again, labeled, None, "cpu") == evaluate_model(model, labeled, None, "cpu")
