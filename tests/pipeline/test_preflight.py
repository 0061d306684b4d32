"""Preflight checks find errors before the first stage runs."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_models import float_squeezenet

from compress.data.digits import Digits
from compress.data.folder import Folder
from compress.data.samples import Samples
from compress.errors import ConfigError, DataError
from compress.evaluation.goals import Goal
from compress.model import CAFFE, TORCHVISION, Preprocessing
from compress.pipeline.inputs import list_inputs
from compress.pipeline.preflight import check_disjoint, check_labels, check_layers, report_input
from compress.pipeline.runner import has_learned, run

INPUT = Preprocessing(32, 32, "squash", "RGB", 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def write_photos(folder: Path, seeds) -> Path:
    folder.mkdir(parents=True)
    for seed in seeds:
        pixels = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed}.png")
    return folder


def both(calibration, validation):
    return (
        calibration.load(INPUT, "calibration", classes=10),
        validation.load(INPUT, "validation", classes=10),
    )


def test_one_folder_for_calibration_and_validation_is_refused(tmp_path):
    folder = write_photos(tmp_path / "photos", range(4))
    with pytest.raises(DataError) as caught:
        check_disjoint(*both(Folder(folder), Folder(folder)))
    assert str(caught.value) == (
        f"4 of 4 validation photos are also calibration photos, for example {folder / '0.png'}; this would overestimate"
        " accuracy: give data.calibration and data.validation different photos"
    )


def test_a_photo_in_both_sets_is_named_by_both_names(tmp_path):
    one, other = write_photos(tmp_path / "one", [1, 2, 3]), write_photos(tmp_path / "other", [4, 5])
    (other / "copy.png").write_bytes((one / "2.png").read_bytes())
    with pytest.raises(
        DataError, match=r"^1 of 3 validation photos .*copy\.png \(in calibration: .*one/2\.png\); this would"
    ):
        check_disjoint(*both(Folder(one), Folder(other)))


def test_a_photo_in_two_classes_is_a_warning(tmp_path, caplog):
    calibration = Folder(write_photos(tmp_path / "calibration", [9]))
    for label in range(3):
        write_photos(tmp_path / "photos" / str(label), [label, 10 + label])
    check_disjoint(*both(calibration, Folder(tmp_path / "photos")))
    assert not caplog.records
    for copy in ("1/copy.png", "2/copy.png", "0/copy.png"):
        (tmp_path / "photos" / copy).write_bytes((tmp_path / "photos" / "0" / "0.png").read_bytes())
    check_disjoint(*both(calibration, Folder(tmp_path / "photos")))
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith("2 validation photos are the same as others of another class, for example ")
    assert message.endswith(f"0/0.png and {tmp_path / 'photos/1/copy.png'}; keep each photo in one class")


def test_photos_that_validation_counts_several_times_are_a_warning(tmp_path, caplog):
    calibration, folder = (
        Folder(write_photos(tmp_path / "calibration", [9])),
        write_photos(tmp_path / "photos", range(8)),
    )
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    (folder / "link.png").symlink_to(folder / "1.png")
    check_disjoint(*both(calibration, Folder(folder)))
    (record,) = caplog.records
    assert record.getMessage() == (
        "2 validation photos are the same as others, so that intervals are too narrow, for example "
        f"{folder / '0.png'} and {folder / 'copy.png'}; remove copies and links"
    )


def test_disjoint_photos_of_one_folder_are_accepted(tmp_path):
    folder = write_photos(tmp_path / "photos", range(4))
    check_disjoint(*both(Folder((folder / "0.png", folder / "1.png")), Folder((folder / "2.png", folder / "3.png"))))


@pytest.mark.parametrize(("source", "count"), [(Digits(), 596), (Samples(count=40), 40)])
def test_the_photos_of_packages_are_disjoint(source, count):
    calibration, validation = both(source, source)
    assert len(validation) == count
    check_disjoint(calibration, validation)


@pytest.mark.parametrize("goal", [Goal(max_top1_drop=1.0), Goal(max_top5_drop=0.0)])
def test_a_goal_on_accuracy_needs_labels(goal):
    _, unlabeled = both(Samples(count=2), Samples(count=2))
    with pytest.raises(DataError, match=r"the validation photos have no labels; name labeled photos in data\.valid"):
        check_labels(goal, unlabeled)
    check_labels(goal, Digits(limit=3).load(INPUT, "validation", classes=10))


def test_a_goal_on_agreement_needs_no_labels():
    check_labels(Goal(bytes=5, min_agreement=0.9, max_divergence=1.0), both(Samples(count=2), Samples(count=2))[1])


def test_an_unknown_layer_is_reported_with_its_line(read, tmp_path):
    text = "stages:\n- pass: share\n  layers:\n    1x1: 3\n    classifier.2.weight: 5\n"
    with pytest.raises(ConfigError) as caught:
        check_layers(read(text), float_squeezenet())
    message = str(caught.value).replace(f"{tmp_path}/", "")
    assert message.startswith(
        "p.yaml:5: stages.0.layers.classifier.2.weight: no weight tensor is named 'classifier.2.weight'; did you mean "
        "'classifier.1.weight'? (allowed: "
    )
    with pytest.raises(ConfigError, match=r"^--set: stages\.share\.layers\.9x9: no weight tensor is named '9x9'"):
        check_layers(read("stages: [{pass: share}]", "stages.share.layers.9x9=3"), float_squeezenet())


def test_an_unknown_layer_in_gradual_pruning_is_reported_with_its_line(read):
    text = "stages:\n- pass: train\n  prune:\n    sparsity: 0.5\n    layers:\n      9x9: 0.1\n"
    with pytest.raises(ConfigError, match=r"p\.yaml:6: stages\.0\.prune\.layers\.9x9: no weight tensor is named '9x9'"):
        check_layers(read(text), float_squeezenet())


@pytest.mark.parametrize(
    ("scale", "mean", "std", "ends"),
    [
        (1 / 255, 123.675, 58.4, "from -2.118 to -2.101"),
        (1.0, 0.485, 0.229, "from -2.118 to 1111"),
        (0.0, 0.0, 1.0, "from 0 to 0"),
        (1 / 255, 0.0, 255.0, "from 0 to 0.003922"),
        (1.0, -1.0, 1.0, "from 1 to 256"),
    ],
)
def test_mean_and_std_of_another_scale_are_a_warning(caplog, scale, mean, std, ends):
    report_input(Preprocessing(8, 8, "squash", "L", scale, (mean,), (std,)))
    assert f"pixels from 0 to 255 become inputs {ends}; mean and std may be of another scale" in caplog.text


@pytest.mark.parametrize(("scale", "mean", "std"), [(1 / 255, 0.0, 1.0), (1 / 127.5, 1.0, 1.0), (1.0, 127.5, 1.0)])
def test_usual_inputs_need_no_warning(caplog, scale, mean, std):
    caplog.set_level(logging.WARNING, "compress")
    for preprocessing in (TORCHVISION, CAFFE, Preprocessing(8, 8, "squash", "L", scale, (mean,), (std,))):
        report_input(preprocessing)
    assert not caplog.text


def test_a_run_says_what_its_network_gets(caplog):
    caplog.set_level(logging.INFO, "compress")
    report_input(CAFFE)
    assert [record.getMessage() for record in caplog.records] == [
        "input: 227x227 BGR, squash (model.input_size, resize)"
    ]


def test_a_missing_file_is_reported_with_its_line(read, tmp_path):
    text = "seed: 1\ndata:\n  validation:\n    source: folder\n    path: {}\n"
    gone = tmp_path / "gone"
    with pytest.raises(
        ConfigError, match=rf"p\.yaml:5: data\.validation\.path: {gone} does not exist \(allowed: a path"
    ):
        run(read(text.format(gone), "data.calibration.count=1"), tmp_path / "out", device="cpu")
    with pytest.raises(ConfigError, match=rf"^--set: model\.path: no file {gone}$"):
        run(read("model: {source: deep-compression, path: x}", f"model.path={gone}"), tmp_path / "out", device="cpu")


NAMED_BY_FOLDERS = """
model: {{source: random, architecture: squeezenet1_1, classes: 2, input_size: 32, resize: squash}}
data:
  calibration: {{source: folder, path: {folder}/train}}
  validation: {{source: folder, path: {folder}/test}}
stages: []
encode: {{labels: {labels}}}
"""


@pytest.mark.parametrize(("labels", "names"), [("stored", ("black cat", "dog")), ("none", ())])
def test_class_folders_in_sorted_order_name_the_classes_of_the_file(read, tmp_path, labels, names):
    for seed, folder in enumerate(["train/black cat", "train/dog", "test/black cat", "test/dog"]):
        write_photos(tmp_path / folder, [seed])
    listed = list_inputs(read(NAMED_BY_FOLDERS.format(folder=tmp_path, labels=labels)))
    assert listed.given.labels == listed.reference.labels == names


def test_other_classes_in_calibration_than_in_validation_are_refused(read, tmp_path):
    for seed, folder in enumerate(["train/cat", "train/dog", "test/dog", "test/eel"]):
        write_photos(tmp_path / folder, [seed])
    with pytest.raises(DataError, match=r"class 0 is cat in data\.calibration and dog in data\.validation"):
        list_inputs(read(NAMED_BY_FOLDERS.format(folder=tmp_path, labels="stored")))


TOO_FEW_BYTES = """\
model: {{source: embedded}}
data:
  calibration: {{source: samples, count: 4}}
  validation: {{source: samples, count: 4}}
stages:
  - {{pass: prune, sparsity: 0.3}}
  - {{pass: {kind}, bytes: {limit}}}
encode: {{coding: {coding}}}
"""


@pytest.mark.parametrize(("kind", "coding"), [("share", "huffman"), ("quantize", "context")])
def test_fewer_bytes_than_a_file_of_zeros_takes_are_refused_before_the_first_stage(read, kind, coding):
    with pytest.raises(ConfigError) as caught:
        list_inputs(read(TOO_FEW_BYTES.format(kind=kind, limit=6000, coding=coding)))
    assert caught.value.key == "stages.1.bytes"
    smallest = re.search(r"with zero weights the file takes ([\d,]+) \(header, class names\)", str(caught.value))
    assert smallest
    list_inputs(read(TOO_FEW_BYTES.format(kind=kind, limit=int(smallest[1].replace(",", "")), coding=coding)))


@pytest.mark.parametrize(
    ("model", "learned"),
    [
        ("{factory: 'nets:net', checkpoint: net.pth}", True),
        ("{factory: 'nets:net'}", False),
        ("{source: checkpoint, path: net.pth, architecture: squeezenet1_1}", True),
        ("{source: random, architecture: squeezenet1_1, classes: 10}", False),
    ],
)
def test_labels_in_another_order_are_told_before_a_trained_network_is_trained_again(read, model, learned):
    assert has_learned(read(f"model: {model}\nstages: [{{pass: train}}]\n")) == learned
    assert has_learned(read(f"model: {model}\nstages: [{{pass: quantize, lambda: 1e-5}}]\n"))
