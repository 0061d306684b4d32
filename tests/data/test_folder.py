import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from compress.data import collect
from compress.data.class_index import NetworkClasses
from compress.data.folder import Folder
from compress.errors import ConfigError, DataError

RED, GREEN, BLUE = (250, 5, 5), (5, 250, 5), (5, 5, 250)


def colors(photos):
    """The main color of each photo: 0 red, 1 green, 2 blue."""
    return [int(pixels.mean((0, 1)).argmax()) for pixels in photos.pixels]


def write_csv(path: Path, columns, *rows):
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([columns, *rows])
    return path


def validate(path, preprocessing, classes=1000, **options):
    return Folder(path, **options).load(preprocessing, "validation", classes=classes)


def test_a_flat_folder_has_no_labels_and_sorted_order(tmp_path, draw, small):
    for name, color in (("c.png", BLUE), ("a.jpg", RED), ("b.PNG", GREEN)):
        draw(tmp_path / name, color)
    (tmp_path / "readme.txt").write_text("no photo")
    draw(tmp_path / ".hidden.png")
    photos = validate(tmp_path, small)
    assert photos.labels is None
    assert colors(photos) == [0, 1, 2]
    assert [Path(name).name for name in photos.names] == ["a.jpg", "b.PNG", "c.png"]
    assert photos.description == f"3 photos from {tmp_path}, without labels"


def test_nested_folders_that_are_not_classes_have_no_labels(tmp_path, draw, small):
    draw(tmp_path / "holiday" / "beach" / "a.png")
    draw(tmp_path / "work" / "b.png")
    assert validate(tmp_path, small).labels is None


def test_subfolders_named_by_imagenet_synsets_are_classes(tmp_path, draw, small):
    draw(tmp_path / "n15075141" / "a.png", BLUE)  # toilet tissue, the last
    draw(tmp_path / "n01443537" / "a.png", GREEN)  # goldfish
    draw(tmp_path / "n01440764" / "a.png", RED)  # tench, the first
    photos = validate(tmp_path, small)
    assert photos.labels is not None
    assert photos.labels.dtype == np.int64
    assert photos.labels.tolist() == [0, 1, 999]
    assert colors(photos) == [0, 1, 2]


def test_subfolders_named_by_number_are_class_indices(tmp_path, draw, small):
    draw(tmp_path / "10" / "a.png")
    draw(tmp_path / "002" / "deeper" / "a.png")
    assert validate(tmp_path, small, classes=11).labels.tolist() == [2, 10]


def test_as_many_subfolders_as_classes_are_the_classes_in_sorted_order(tmp_path, draw, small):
    draw(tmp_path / "dog" / "a.png")
    draw(tmp_path / "cat" / "a.png")
    (tmp_path / "cow").mkdir()  # a class without a photo still counts
    assert validate(tmp_path, small, classes=3).labels.tolist() == [0, 2]


def test_synsets_of_other_class_counts_need_a_table(tmp_path, draw, small):
    draw(tmp_path / "photos" / "n01440764" / "a.png")
    with pytest.raises(DataError, match=r"n01440764.*a CSV file with columns path and index"):
        validate(tmp_path / "photos", small, classes=50)
    table = write_csv(tmp_path / "table.csv", ["path", "index"], ["photos/n01440764/a.png", 7])
    assert validate(table, small, classes=50).labels.tolist() == [7]


def test_a_photo_outside_the_class_folders_is_named(tmp_path, draw, small):
    draw(tmp_path / "n01440764" / "a.png")
    draw(tmp_path / "stray.png")
    with pytest.raises(DataError, match=r"stray\.png has no class, but other photos have one.*`labels: none`"):
        validate(tmp_path, small)
    assert validate(tmp_path, small, labels="none").labels is None


def test_a_class_index_out_of_range_names_the_photo(tmp_path, draw, small):
    draw(tmp_path / "10" / "a.png")
    with pytest.raises(DataError, match=r"a\.png has the class 10, but the network's classes are 0 to 9"):
        validate(tmp_path, small, classes=10)


@pytest.mark.parametrize("column", ["index", "label", "class", "Index"])
def test_a_csv_file_labels_by_number(tmp_path, draw, small, column):
    draw(tmp_path / "x" / "a.png", RED)
    draw(tmp_path / "b.png", GREEN)
    listing = write_csv(tmp_path / "list.csv", ["path", column], ["b.png", 3], ["x/a.png", 1])
    photos = validate(listing, small, classes=4)
    assert photos.labels.tolist() == [3, 1]
    assert colors(photos) == [1, 0]


def test_a_csv_file_labels_by_synset_and_finds_photos_in_the_folder_of_its_name(tmp_path, draw, small):
    draw(tmp_path / "photos" / "a.png")
    listing = write_csv(tmp_path / "photos.csv", ["synset", "path"], ["n01443537", "a.png"])
    assert validate(listing, small).labels.tolist() == [1]


def test_a_label_column_without_a_table_is_an_error(tmp_path, draw, small):
    draw(tmp_path / "0" / "a.png")
    with pytest.raises(
        ConfigError, match=r"data\.validation\.label_column: 'class' names a column, but no path is a t"
    ):
        validate(tmp_path, small, classes=1, label_column="class")


def test_a_photo_in_several_paths_of_validation_is_an_error(tmp_path, draw, small):
    photo, table = draw(tmp_path / "set" / "a.png"), tmp_path / "list.csv"
    paths = photo.parent, write_csv(table, ["path"], [photo])
    with pytest.raises(DataError, match=r"a\.png is in several paths of data\.validation, and would count 2 times"):
        validate(paths, small)
    assert len(Folder(paths).load(small, "calibration", classes=10)) == 2


def test_a_csv_without_a_label_column_has_no_labels(tmp_path, draw, small):
    absolute = draw(tmp_path / "elsewhere" / "a.png")
    assert validate(write_csv(tmp_path / "list.csv", ["path"], [absolute]), small).labels is None


def test_a_csv_file_and_its_folder_give_the_same_photos(tmp_path, draw, small):
    draw(tmp_path / "set" / "n01440764" / "a.jpg", RED)
    draw(tmp_path / "set" / "n01443537" / "b.jpg", BLUE)
    rows = [["n01440764/a.jpg", "n01440764"], ["n01443537/b.jpg", "n01443537"]]
    by_csv = validate(write_csv(tmp_path / "set.csv", ["path", "synset"], *rows), small)
    assert by_csv.fingerprint == validate(tmp_path / "set", small).fingerprint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"file,index\na.png,1\n", "no column 'path'"),
        (b"path,index\na.png\n", "line 2: 1 cells, expected 2"),
        (b"path,index\na.png,-1\n", "class '-1'"),
        (b"path,index\na.png,\n", "has no class"),
        (b"path,index\na.png,99\n", "class 99"),
        (b"path\n\xff\xfe.png\n", "UTF-8"),
        (b"", "no photos in"),
    ],
)
def test_a_wrong_csv_file_is_a_data_error_that_says_where(tmp_path, draw, small, content, message):
    draw(tmp_path / "a.png")
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        validate(tmp_path / "list.csv", small, classes=10)


def test_unreadable_photos_are_named_and_skipped(tmp_path, draw, small):
    for index, color in enumerate((RED, GREEN, BLUE)):
        draw(tmp_path / str(index) / "a.png", color)
    (tmp_path / "1" / "a.png").write_bytes(b"broken")
    photos = validate(tmp_path, small, classes=3, max_unreadable=0.34)
    assert len(photos) == len(photos.names) == 2
    assert photos.labels.tolist() == [0, 2]
    assert colors(photos) == [0, 2]
    assert photos.skipped == (f"{tmp_path / '1' / 'a.png'}: not a photo (JPEG, PNG, WEBP, BMP, GIF, TIFF, PPM, AVIF)",)


def test_too_many_unreadable_photos_are_an_error_that_names_the_first(tmp_path, draw, small):
    for number in range(10):
        draw(tmp_path / f"{number}.png")
    for number in range(7):
        (tmp_path / f"{number}.png").write_bytes(b"broken")
    with pytest.raises(
        DataError, match=r"7 of 10 photos cannot be read, and max_unreadable allows 5%(.|\n)*4\.png.*\n.*2 more"
    ):
        validate(tmp_path, small)


@pytest.mark.parametrize("cached", [False, True], ids=["in memory", "cached"])
def test_no_readable_photo_is_an_error_for_any_max_unreadable(tmp_path, small, cached):
    (tmp_path / "a.png").write_bytes(b"broken")
    with pytest.raises(DataError, match="1 of 1 photos cannot be read"):
        Folder(tmp_path, max_unreadable=1.0).load(
            small, "validation", classes=10, cache=tmp_path / "cache" if cached else None
        )


def test_a_missing_photo_of_a_csv_file_is_unreadable(tmp_path, draw, small):
    draw(tmp_path / "a.png")
    listing = write_csv(tmp_path / "list.csv", ["path"], ["a.png"], ["gone.png"])
    photos = validate(listing, small, max_unreadable=0.5)
    assert photos.skipped == (f"{tmp_path / 'gone.png'}: No such file or directory",)


def test_many_photos_without_a_cache_are_no_burden_for_memory(tmp_path, draw, small, monkeypatch):
    draw(tmp_path / "red.png", RED)
    draw(tmp_path / "blue.png", BLUE)
    (tmp_path / "text.png").write_text("no photo")
    source = Folder(tmp_path, max_unreadable=0.5)
    in_memory = source.load(small, "calibration", classes=10)
    monkeypatch.setattr(collect, "_MAX_BYTES_IN_MEMORY", 2 * 8 * 6 * 3)
    on_disk = source.load(small, "calibration", classes=10)
    assert isinstance(on_disk.pixels, np.memmap)
    assert not on_disk.pixels.flags.writeable
    assert on_disk.fingerprint == in_memory.fingerprint
    np.testing.assert_array_equal(on_disk.at(slice(0, 2)), in_memory.pixels)
    with pytest.raises(DataError, match=r"3 of 3 photos cannot be read"):
        Folder(tuple(tmp_path / "text.png" for _ in range(3)), max_unreadable=1).load(small, "calibration", classes=10)


def test_no_photos_is_a_data_error(tmp_path, small):
    with pytest.raises(DataError, match=r"no photos in .*\.jpeg"):
        validate(tmp_path, small)


def test_a_missing_path_is_a_configuration_error_with_its_key(tmp_path, small):
    with pytest.raises(ConfigError, match=r"data\.validation\.path: .*gone does not exist") as caught:
        validate(tmp_path / "gone", small)
    assert caught.value.key == "data.validation.path"


def test_loops_of_links_are_not_followed(tmp_path, draw, small):
    draw(tmp_path / "a" / "a.png")
    draw(tmp_path / "b" / "b.png")
    for loop, target in (
        ("a/up", tmp_path),
        ("a/b", tmp_path / "b"),
        ("b/a", tmp_path / "a"),
        ("self", tmp_path),
        ("own", "own"),
    ):
        (tmp_path / loop).symlink_to(target)
    names = {Path(name).name for name in validate(tmp_path, small).names}
    assert names == {"a.png", "b.png"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes of POSIX")
def test_a_named_pipe_is_not_waited_for(tmp_path, draw, small):
    draw(tmp_path / "a.png")
    for pipe in ("b.png", "c"):
        os.mkfifo(tmp_path / pipe)
    photos = validate(tmp_path, small, max_unreadable=0.5)
    assert [Path(name).name for name in photos.names] == ["a.png"]
    assert photos.skipped == (f"{tmp_path / 'b.png'}: not a file",)


def test_a_linked_class_folder_is_read(tmp_path, draw, small):
    draw(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "3").symlink_to(tmp_path / "elsewhere")
    assert validate(tmp_path / "set", small, classes=10).labels.tolist() == [3]


def test_a_limit_takes_evenly_spread_photos(tmp_path, draw, small):
    for number in range(10):
        draw(tmp_path / f"{number}" / "a.png")
    assert validate(tmp_path, small, classes=10, limit=5).labels.tolist() == [0, 2, 4, 6, 8]
    assert len(validate(tmp_path, small, classes=10, limit=99)) == 10


def test_several_paths_are_one_set(tmp_path, draw, small):
    first, second = draw(tmp_path / "one" / "a.png", GREEN), draw(tmp_path / "two" / "a.png", RED)
    assert colors(validate([first.parent, second], small)) == [1, 0]


@pytest.mark.parametrize("role", ["calibration", "validation"])
def test_paths_whose_sorted_class_names_differ_are_an_error(tmp_path, draw, small, role):
    for path in ("a/cat/1.png", "a/dog/2.png", "b/bird/3.png", "b/cat/4.png", "c/bird/5.png", "c/cat/6.png"):
        draw(tmp_path / path)
    paths = tuple(tmp_path / name for name in "abc")
    with pytest.raises(DataError, match=r"class 0 is cat in .*/a and bird in .*/b: their sorted names differ"):
        Folder(paths).load(small, role, classes=2)
    assert Folder(paths[1:]).list_photos(role, NetworkClasses(2)).class_names == ("bird", "cat")


def test_partly_labeled_photos_are_an_error_in_validation_and_unlabeled_in_calibration(tmp_path, draw, small):
    draw(tmp_path / "labeled" / "n01440764" / "a.png")
    draw(tmp_path / "unlabeled" / "b.png")
    source = Folder([tmp_path / "labeled", tmp_path / "unlabeled"])
    assert source.load(small, "calibration", classes=1000).labels is None
    with pytest.raises(DataError, match=r"b\.png has no label, but other photos have one"):
        source.load(small, "validation", classes=1000)


def test_the_fingerprint_depends_on_pixels_order_and_labels(tmp_path, draw, small):
    draw(tmp_path / "a" / "1" / "x.png", RED)
    draw(tmp_path / "a" / "2" / "x.png", GREEN)
    draw(tmp_path / "b" / "1" / "x.png", GREEN)
    draw(tmp_path / "b" / "2" / "x.png", RED)
    draw(tmp_path / "c" / "1" / "x.png", RED)
    draw(tmp_path / "c" / "3" / "x.png", GREEN)
    fingerprints = [validate(tmp_path / name, small, classes=4).fingerprint for name in "abc"]
    fingerprints.append(validate(tmp_path / "a", small, classes=4, labels="none").fingerprint)
    assert len(set(fingerprints)) == 4
    assert validate(tmp_path / "a", small, classes=4).fingerprint == fingerprints[0]


def test_balanced_classes_are_for_calibration(tmp_path, draw, small):
    draw(tmp_path / "a.png")
    assert Folder(tmp_path, balance_classes=True).load(small, "calibration", classes=10).balance_classes
    with pytest.raises(ConfigError, match="validation weighs all photos equally") as raised:
        validate(tmp_path, small, balance_classes=True)
    assert raised.value.key == "data.validation.balance_classes"


@pytest.mark.parametrize(
    "options",
    [
        {"limit": 0},
        {"limit": True},
        {"max_unreadable": 1.5},
        {"labels": "some"},
        {"unknown": 1},
    ],
    ids=json.dumps,
)
def test_invalid_options_are_errors(options):
    with pytest.raises(ValidationError):
        Folder(path="photos", **options)


def test_files_without_suffix_are_read_and_unreadable_images_are_counted(tmp_path, draw, small):
    draw(tmp_path / "a.png", RED).rename(tmp_path / "a")
    draw(tmp_path / "b.avif", BLUE)
    for name in ("c.HEIC", "d.heic", "e.dng", "LICENSE", "notes.txt"):
        (tmp_path / name).write_text("no photo")
    photos = validate(tmp_path, small)
    assert colors(photos) == [0, 2]
    ignored = "(4 files ignored: no suffix, .heic, .dng)"
    assert photos.description == f"2 photos from {tmp_path} {ignored}, without labels"


def test_every_format_that_is_read_is_found_and_downloads_under_odd_names_are_counted(tmp_path, draw, small):
    draw(tmp_path / "a.png", RED).rename(tmp_path / "a.apng")
    draw(tmp_path / "b.ppm", BLUE).rename(tmp_path / "b.pnm")
    draw(tmp_path / "c.jpg", BLUE).rename(tmp_path / "c.mpo")
    draw(tmp_path / "d.jpg").rename(tmp_path / "d.jpg?width=500")
    draw(tmp_path / "e.png").rename(tmp_path / "e.PNG~")
    (tmp_path / "a.png.json").write_text("{}")
    photos = validate(tmp_path, small)
    assert colors(photos) == [0, 2, 2]
    assert "(2 files ignored: other suffixes)" in photos.description


@pytest.mark.parametrize(("split", "count"), [(0.2, 4), (0.5, 10), (0.001, 1)])
def test_a_validation_split_shares_the_photos_of_one_folder(tmp_path, draw, small, split, count):
    for label in range(2):
        for index in range(10):
            draw(tmp_path / str(label) / f"{index}.png", RED)
    source = Folder(tmp_path, validation_split=split)
    calibration, validation = (source.load(small, role, classes=2) for role in ("calibration", "validation"))
    assert not set(calibration.names) & set(validation.names)
    assert len(calibration) + len(validation) == 20
    assert len(validation) == count
    assert f"{tmp_path} (without the validation split of {split}), labeled by" in calibration.description
    assert f"{tmp_path} (the validation split of {split}), labeled by" in validation.description
    if count > 1:
        assert validation.labels.tolist() == sorted([0, 1] * (count // 2))  # evenly from the classes


def test_a_validation_split_has_all_classes_where_they_take_turns(tmp_path, draw, small):
    draw(tmp_path / "a.png", RED)
    for index in range(40):
        (tmp_path / f"{index:02}.png").hardlink_to(tmp_path / "a.png")
    rows = "\n".join(f"{index:02}.png,{index % 4}" for index in range(40))
    (tmp_path / "photos.csv").write_text(f"path,label\n{rows}\n")
    source = Folder(tmp_path / "photos.csv", validation_split=0.25)
    calibration, validation = (source.load(small, role, classes=4) for role in ("calibration", "validation"))
    assert len(validation) == 10
    assert set(validation.labels.tolist()) == {0, 1, 2, 3}
    assert not set(calibration.names) & set(validation.names)


def test_a_split_of_one_photo_is_refused(tmp_path, draw, small):
    draw(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png is the only photo"):
        validate(tmp_path, small, validation_split=0.2)
