"""Class folders: matched by name, number, synset or order; doubt is an error that names the remedy."""

import pytest

from compress.data.folder import Folder
from compress.errors import DataError


@pytest.fixture
def labels_of(tmp_path, draw, small):
    """Labels of a folder with one photo in each of some subfolders, and their description."""

    def load(*subfolders, classes=3, names=(), role="validation", **options):
        for subfolder in subfolders:
            draw(tmp_path / "set" / subfolder / "a.png")
        photos = Folder(tmp_path / "set", **options).load(small, role, classes=classes, class_names=names)
        return None if photos.labels is None else photos.labels.tolist(), photos.description

    return load


def test_folders_with_the_networks_class_names_have_their_order(labels_of):
    labels, description = labels_of("cat", "dog", "eel", names=("dog", "cat", "eel"))
    assert labels == [1, 0, 2]
    assert description.endswith("labeled by class names of the subfolders (cat is 1, dog is 0, eel is 2)")


def test_class_names_match_without_case_and_separators(labels_of):
    assert labels_of("Tabby_cat", "red-fox", names=("red fox", "eel", "tabby cat"))[0] == [2, 0]


def test_class_names_precede_numbers(labels_of):
    assert labels_of("0", "1", "10", names=("0", "1", "10"))[0] == [0, 1, 2]


def test_some_of_the_classes_are_enough_if_their_names_match(labels_of):
    assert labels_of("eel", names=("dog", "cat", "eel"))[0] == [2]


def test_folders_of_a_network_without_class_names_are_in_sorted_order(labels_of):
    labels, description = labels_of("bee", "ant", "cow")
    assert labels == [0, 1, 2]
    assert description.endswith("labeled by sorted order of the subfolders (ant is 0, bee is 1, cow is 2)")


@pytest.mark.parametrize("ignored", ["__MACOSX", "@eaDir", ".thumbnails", "lost+found"])
def test_folders_of_the_system_are_no_classes(labels_of, ignored):
    assert labels_of("ant", "bee", "cow", ignored)[0] == [0, 1, 2]


@pytest.mark.parametrize(
    ("subfolders", "names", "message"),
    [
        (["hund", "katze", "aal"], ("dog", "cat", "eel"), r"aal, hund, katze have no name of a class.*`labels: order`"),
        (["dog", "cat", "eels"], ("dog", "cat", "eel"), r"eels have no name of a class.*without photos: eel"),
        (
            ["dog", "crane", "bird"],
            ("dog", "crane", "crane"),
            r"bird, crane have no name .*; crane is the name of several classes",
        ),
        (["dog", "crane"], ("dog", "crane", "crane"), r"crane have a name of several classes.*columns path and index"),
        (["ant", "bee"], (), r"2 subfolders \(ant, bee\) for 3 classes"),
        (["ant", "bee", "cow", "misc"], (), r"4 subfolders \(ant, bee, cow and 1 more\) for 3 classes"),
        (
            ["train/ant", "val/ant"],
            (),
            r"train, val are parts of a data set, not classes; name one of them in the path",
        ),
        (["train/ant", "val/ant", "test/ant"], (), r"test, train, val are parts of a data set"),
    ],
)
def test_doubt_in_validation_is_an_error_that_names_the_remedy(labels_of, subfolders, names, message):
    with pytest.raises(DataError, match=message + ".*`labels: none`"):
        labels_of(*subfolders, names=names)
    assert labels_of(labels="none")[0] is None


@pytest.mark.parametrize("classes", [2, 1000])
def test_train_and_val_are_never_two_classes(labels_of, classes):
    with pytest.raises(DataError, match="train, val are parts of a data set"):
        labels_of("train/cat", "train/dog", "val/cat", "val/dog", classes=classes)


def test_order_is_taken_when_it_is_asked_for(labels_of):
    assert labels_of("hund", "katze", "aal", names=("dog", "cat", "eel"), labels="order")[0] == [0, 1, 2]
    assert labels_of(labels="order", names=("katze", "hund", "aal"))[0] == [0, 1, 2]
    with pytest.raises(DataError, match="needs one name for each of the 4 classes, and there are 3 of the subfolders"):
        labels_of(labels="order", classes=4)


def test_names_are_required_when_they_are_asked_for(labels_of):
    with pytest.raises(DataError, match=r"has the class '1', which is no class name"):
        labels_of("1", names=("dog", "cat", "eel"), labels="names")


@pytest.mark.parametrize("names", [(), ("ant", "bee", "cow")])
def test_class_folders_in_a_subfolder_are_not_silently_without_labels(labels_of, names):
    subfolders = [f"insects and more/{name}" for name in ("ant", "bee", "cow")]
    message = r"one level deeper \(ant, bee, cow\); name the .* such as .*set/insects and more, or .*`labels: none`"
    with pytest.raises(DataError, match=message):
        labels_of(*subfolders, names=names)
    assert labels_of(labels="none")[0] is None
    assert labels_of(role="calibration")[0] is None


def test_synset_folders_in_a_subfolder_are_not_silently_without_labels(labels_of):
    with pytest.raises(DataError, match=r"one level deeper \(n01440764\); name the folder .*such as .*set/ILSVRC"):
        labels_of("ILSVRC/n01440764", classes=1000)


def test_calibration_needs_no_labels(labels_of):
    labels, description = labels_of("one", "two", role="calibration")
    assert labels is None
    assert description.endswith("without labels")


@pytest.mark.parametrize(
    "parts", [("Train", "Val"), ("training_set", "test_set"), ("train2017", "val2017"), ("TEST-images", "Validation")]
)
def test_parts_of_a_data_set_are_no_classes_however_they_are_written(labels_of, parts):
    with pytest.raises(DataError, match="are parts of a data set, not classes"):
        labels_of(*(f"{part}/ant" for part in parts), classes=2)


def test_a_folder_beside_the_parts_of_a_data_set_does_not_make_them_classes(labels_of):
    with pytest.raises(DataError, match="are parts of a data set, not classes"):
        labels_of("train/ant", "test/ant", "masks", classes=3)


def test_parts_of_a_data_set_in_the_class_folders_are_a_warning(labels_of, caplog):
    subfolders = ("ant/train", "ant/val", "bee/train", "bee/val")
    assert labels_of(*subfolders, role="calibration", classes=2)[0] == [0, 0, 1, 1]
    assert labels_of("ant/train", "bee/train", classes=2)[0] == [0, 0, 1, 1]
    assert [record.getMessage().partition("; ")[0].partition("/set: ")[2] for record in caplog.records] == [
        "the class folders contain train, val, and the photos of all are used"
    ]


def test_other_folders_in_the_class_folders_are_no_parts(labels_of, caplog):
    labels_of("ant/day", "ant/train", "bee/val", classes=2)
    assert not caplog.records


def test_one_class_may_be_named_as_a_part(labels_of):
    assert labels_of("bus", "car", "train")[0] == [0, 1, 2]


def test_accents_match_as_macos_writes_them_in_file_names(labels_of):
    assert labels_of("cafe\u0301", "dog", names=("dog", "caf\u00e9", "eel"))[0] == [1, 0]


@pytest.mark.parametrize(
    ("photos", "others", "message"),
    [
        (["images"], ["labels/a.txt"], "no photos, in labels, so the subfolders may be no classes"),
        (["JPEGImages"], ["Annotations/a.xml"], "no photos, in Annotations"),
        (
            ["data/ant", "data/bee"],
            ["scripts/train.py"],
            "no photos, in scripts.*name the folder that contains the class",
        ),
        (["images", "masks"], [], "images, masks are parts of a data set"),
        (["fold1", "fold_2"], [], "fold1, fold_2 are parts of a data set"),
    ],
)
def test_folders_of_other_files_or_of_parts_are_not_silently_classes(labels_of, tmp_path, photos, others, message):
    for other in others:
        (tmp_path / "set" / other).parent.mkdir(parents=True)
        (tmp_path / "set" / other).touch()
    with pytest.raises(DataError, match=rf"{message}.*`labels: order`.*`labels: none`"):
        labels_of(*photos, classes=2)
    assert labels_of(*photos, classes=2, labels="order")[0] is not None


def test_an_empty_folder_is_a_class_without_photos(labels_of, tmp_path):
    (tmp_path / "set" / "bee").mkdir(parents=True)
    (tmp_path / "set" / "bee" / ".gitkeep").touch()
    assert labels_of("ant", "cow")[0] == [0, 2]
