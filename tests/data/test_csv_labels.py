"""The label column of a CSV file: row numbers are no labels, and columns must agree."""

import csv
import os
import re

import pytest

from compress.data.class_index import NetworkClasses
from compress.data.folder import Folder
from compress.errors import DataError


@pytest.fixture
def labels_of(tmp_path, draw, small):
    """Labels of photos that a CSV file with these columns lists."""

    def load(classes=10, names=(), role="validation", column=None, rule="auto", **columns):
        rows = list(zip(*columns.values(), strict=True))
        paths = [f"{number}.png" for number in range(len(rows))]
        for path in paths:
            draw(tmp_path / path)
        with (tmp_path / "list.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["path", *columns])
            writer.writerows([path, *row] for path, row in zip(paths, rows, strict=True))
        source = Folder(tmp_path / "list.csv", labels=rule, label_column=column)
        photos = source.load(small, role, classes=classes, class_names=names)
        return None if photos.labels is None else photos.labels.tolist()

    return load


def listed(tmp_path, draw, text, *, file="list.csv", limit=None, labels="auto", classes=NetworkClasses(4)):  # noqa: B008  it does not change
    """Names and labels of the photos 0.png to 7.png in a table."""
    for number in range(8):
        draw(tmp_path / "photos" / f"{number}.png")
    (tmp_path / file).write_text(text)
    source = Folder(tmp_path / file, limit=limit, labels=labels)
    return source.list_photos("validation", classes)


@pytest.mark.parametrize(
    ("file", "header", "row"),
    [
        ("list.csv", "path;label", "photos/{};{}"),
        ("list.tsv", "path\tlabel", "photos/{}\t{}"),
        ("list.csv", "path,label", "photos\\{},{}"),
        ("list.csv", "path,label", " photos/{} , {}"),
        ("list.csv", "path|label", "photos/{}|{}"),
        ("list.csv", 'path;label;"notes, if any"', "photos/{};{};none"),
        ("list.csv", 'path;"label"', "photos/{};{}"),
        ("list.csv", '"path", "label"', '"photos/{}", "{}"'),
        ("list.csv", "path,label,", "photos/{},{},\n,,"),
        ("list.csv", "sep=;\npath;label", "photos/{};{}"),
        ("list.csv", "path,label", "photos/{},{}.0"),
    ],
)
def test_tables_of_spreadsheets_and_of_windows_are_read(tmp_path, draw, file, header, row):
    text = "\n".join([header, *(row.format(f"{number}.png", number % 4) for number in range(8))])
    photos = listed(tmp_path, draw, text, file=file)
    assert photos.labels == [0, 1, 2, 3, 0, 1, 2, 3]
    assert all(photo.read().size for photo in photos.entries)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_the_mark_at_the_start_of_a_table_tells_its_encoding(tmp_path, draw, encoding):
    draw(tmp_path / "é.png")
    (tmp_path / "list.csv").write_text("path\tlabel\né.png\t1\n", encoding)
    (photo,) = Folder(tmp_path / "list.csv").list_photos("validation", NetworkClasses(4)).entries
    assert photo.label == 1


def test_a_table_without_a_single_photo_says_where_it_looks(tmp_path):
    (tmp_path / "list.csv").write_text("path,label\nphotos/1.png,0\nphotos/2.png,1\n")
    problem = r"list\.csv: none of its 2 photos exists, such as .*/photos/1\.png; paths are relative to the folder of"
    with pytest.raises(DataError, match=problem):
        Folder(tmp_path / "list.csv").list_photos("validation", NetworkClasses(4))


def test_a_repeated_row_counts_once(tmp_path, draw):
    text = "path,label\nphotos/0.png,1\nphotos/1.png,2\nphotos/0.png,1\n"
    photos = listed(tmp_path, draw, text)
    assert photos.labels == [1, 2]
    assert "(1 repeated rows ignored)" in photos.kind


def test_a_photo_with_two_spellings_of_its_path_is_one(tmp_path, draw):
    absolute = tmp_path / "photos" / "0.png"
    photos = listed(tmp_path, draw, f"path,label\nphotos/0.png,1\n{absolute},1\n./photos/../photos/0.png,1\n")
    assert photos.labels == [1]
    with pytest.raises(DataError, match=r"gives .*0\.png two classes, 1 and 2"):
        listed(tmp_path, draw, f"path,label\nphotos/0.png,1\n{absolute},2\n")


def test_a_row_without_a_path_is_an_error(tmp_path, draw):
    with pytest.raises(DataError, match=r"has a row without a path: , 1; complete or remove it"):
        listed(tmp_path, draw, "path,label\nphotos/0.png,1\n,1\n")


def test_a_table_without_a_header_is_an_error_that_says_so(tmp_path, draw):
    with pytest.raises(DataError, match=r"no column 'path'; its first line, which names the columns, is photos/0\.png"):
        listed(tmp_path, draw, "photos/0.png,1\nphotos/1.png,2\n")


@pytest.mark.parametrize(
    "rows",
    [
        '0.png,0,"good\n1.png,1,bad\n2.png,2,bad\n',
        '0.png,0,"5 inches\n1.png,1,bad\n2.png,2,"6 inches\n3.png,3,bad\n',
        '0.png,0,"' + "1.png,1,bad\n" * 20_000,
    ],
)
@pytest.mark.parametrize("first", ["", "sep=,\n"])
def test_a_quote_that_is_not_closed_takes_no_rows(tmp_path, draw, rows, first):
    line = 3 + bool(first)
    with pytest.raises(DataError, match=rf"list.csv, line {line}: a quote \(\"\) opens a cell and does not close it"):
        listed(tmp_path, draw, f'{first}path,label,note\n3.png,1,""\n{rows}')


def test_a_cell_of_several_lines_is_one_cell(tmp_path, draw):
    photos = listed(tmp_path, draw, 'path,label,note\nphotos/0.png,0,"a\n""b"", c"\nphotos/1.png,1,"d" \n')
    assert photos.labels == [0, 1]


def test_the_error_for_a_class_that_the_network_lacks_names_that_class(tmp_path, draw):
    classes = NetworkClasses(2, ("ant", "bee"))
    for other in ("NA", "dog"):
        with pytest.raises(DataError, match=rf"1\.png has the class '{other}', which is no class name"):
            listed(tmp_path, draw, f"path,label\nphotos/0.png,ant\nphotos/1.png,{other}\n", classes=classes)


def test_a_row_of_other_length_is_compared_with_the_first_line(tmp_path, draw):
    with pytest.raises(DataError, match=r"line 3: 2 cells, expected 1, as in the line that names the columns: path"):
        listed(tmp_path, draw, "path\nphotos/0.png\nphotos/1.png,2\n")


@pytest.mark.parametrize("mark", [",", "\t"])
def test_blanks_may_follow_the_quote_at_the_end_of_a_cell_of_several_lines(tmp_path, draw, mark):
    text = 'path,note,label\nphotos/0.png,"a\n""b"" " ,0\nphotos/1.png,"c\nd",1\nphotos/0.png,"","0\n" \n'
    assert listed(tmp_path, draw, text.replace(",", mark)).labels == [0, 1]


def test_a_photo_with_two_classes_is_an_error(tmp_path, draw):
    text = "path,label\nphotos/0.png,1\nphotos/0.png,2\n"
    with pytest.raises(DataError, match=r"gives .*0\.png two classes, 1 and 2"):
        listed(tmp_path, draw, text)
    assert len(listed(tmp_path, draw, text, labels="none").entries) == 1


def test_a_limit_spreads_over_the_classes_in_any_order_of_rows(tmp_path, draw):
    text = "path,label\n" + "".join(f"photos/{number}.png,{number % 4}\n" for number in range(8))
    assert sorted(listed(tmp_path, draw, text, limit=4).labels) == [0, 1, 2, 3]


def test_a_file_that_is_no_photo_and_no_table_is_an_error(tmp_path, draw):
    with pytest.raises(DataError, match=r"val\.txt is neither a photo, a folder nor a table \(\.csv, \.tsv\)"):
        listed(tmp_path, draw, "photos/0.png 1", file="val.txt")


@pytest.mark.parametrize(("name", "remedy"), [("a.zip", "extract it"), ("list.xlsx", "save it as CSV")])
def test_archives_and_other_tables_are_told_what_to_do_with(tmp_path, name, remedy):
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=rf"{name} is neither a photo, a folder nor a table .*; {remedy}"):
        Folder(tmp_path / name).list_photos("validation", NetworkClasses(4))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_named_pipe_is_no_table(tmp_path):
    os.mkfifo(tmp_path / "list.csv")
    with pytest.raises(DataError, match=r"cannot read .*list\.csv as CSV in UTF-8 or UTF-16: not a file"):
        Folder(tmp_path / "list.csv").list_photos("validation", NetworkClasses(4))


def test_a_table_without_rows_is_an_error_that_says_so(tmp_path, draw):
    for text in ("", "path,label\n"):
        with pytest.raises(DataError, match=r"no photos in .*list\.csv: it has no rows; its first line names"):
            listed(tmp_path, draw, text)


@pytest.mark.parametrize(
    ("column", "cells", "parts"),
    [
        ("is_train", ["True", "False", "True"], "False, True"),
        ("train", ["1", "0", "1"], "0, 1"),
        ("in-validation", ["y", "n", "n"], "n, y"),
        ("fold", ["0", "1", "1"], "0, 1"),
        ("KFold", ["2", "1", "1"], "1, 2"),
        ("split", ["tr", "te", "tr"], "te, tr"),
        ("Usage", ["Private", "Public", "Public"], "Private, Public"),
        ("kind", ["train", "", ""], r"\(empty\), train"),
    ],
)
def test_columns_that_tell_parts_of_a_data_set_are_named(labels_of, caplog, column, cells, parts):
    assert labels_of(label=[1, 2, 1], **{column: cells}) == [1, 2, 1]
    (record,) = caplog.records
    assert re.search(f"the column {column.lower()} divides the photos into {parts}, and all", record.getMessage())


@pytest.mark.parametrize(
    ("column", "cells"),
    [("is_train", ["1", "1", "1"]), ("test", ["0.1", "0.5", "0.7"]), ("trainer", ["a", "b", "a"]), ("notes", [""] * 3)],
)
def test_other_columns_are_no_parts_of_a_data_set(labels_of, caplog, column, cells):
    assert labels_of(label=[1, 2, 1], **{column: cells}) == [1, 2, 1]
    assert not caplog.records


@pytest.mark.parametrize("rule", ["auto", "names", "order"])
def test_a_column_without_a_class_is_an_error_that_says_so(labels_of, rule):
    with pytest.raises(
        DataError, match=r"0\.png has no class, .*column label of .* is empty; .*`label_column:`.*`labels: none`"
    ):
        labels_of(label=[""] * 3, rule=rule)
    with pytest.raises(DataError, match=r"the column kind of .*list\.csv is empty"):
        labels_of(kind=[""] * 3, column="kind", rule=rule)
    assert labels_of(label=[""] * 3, role="calibration") is None


def test_an_empty_column_beside_the_classes_is_no_doubt(labels_of):
    assert labels_of(index=[""] * 3, label=[4, 2, 4]) == [4, 2, 4]


def test_a_row_without_a_class_is_none_of_the_classes_in_sorted_order(labels_of):
    with pytest.raises(DataError, match=r"1\.png has no class, but other photos have one"):
        labels_of(label=["dog", "", "cat"], classes=2, rule="order")
    with pytest.raises(DataError, match=r"needs one name for each of the 3 classes, and there are 2"):
        labels_of(label=["dog", "", "cat"], classes=3, rule="order")


@pytest.mark.parametrize("first", [0, 1, 4])
def test_a_row_number_beside_a_label_is_no_label(labels_of, first):
    assert labels_of(index=range(first, first + 3), label=[7, 5, 5]) == [7, 5, 5]
    assert labels_of(index=range(first, first + 3), label=["eel", "cat", "cat"], names=("cat", "eel")) == [1, 0, 0]


def test_a_row_number_alone_needs_a_confirmation(labels_of):
    with pytest.raises(DataError, match=r"column index counts the rows.*`label_column: index`.*`labels: none`"):
        labels_of(index=[0, 1, 2])
    assert labels_of(index=[0, 1, 2], column="index") == [0, 1, 2]


def test_a_shuffled_row_number_beside_an_unknown_column_needs_a_confirmation(labels_of):
    columns = {"index": [8, 3, 5], "kind": ["cat", "dog", "cat"]}
    with pytest.raises(DataError, match=r"index differs in every row.*`label_column: index`"):
        labels_of(**columns)
    assert labels_of(**columns, column="index") == [8, 3, 5]
    assert labels_of(index=[8, 3, 8], kind=["cat", "dog", "cat"]) == [8, 3, 8]
    assert labels_of(index=[8, 3, 5]) == [8, 3, 5]


def test_columns_that_agree_are_no_doubt(labels_of):
    synsets = ["n01440764", "n01443537", "n01440764"]
    assert labels_of(index=[0, 1, 0], synset=synsets, classes=1000) == [0, 1, 0]
    assert labels_of(index=[0, 1, 0], synset=synsets) == [0, 1, 0]
    assert labels_of(label=[4, 2, 4], **{"class": ["dog", "cat", "dog"]}) == [4, 2, 4]


@pytest.mark.parametrize(
    "columns",
    [
        {"index": [8, 3, 5], "label": [1, 2, 1]},
        {"index": [8, 3, 5], "class": ["dog", "cat", "dog"]},
        {"index": [0, 1, 0], "synset": ["n01443537", "n01440764", "n01443537"], "classes": 1000},
        {"index": [8, 3, 5], "label": [1, 99, 1]},
        {"index": [1, 1, 0], "class": ["dog", "cat", "bird"]},  # the classes in groups
    ],
)
def test_columns_that_disagree_are_an_error_that_names_the_option(labels_of, columns):
    with pytest.raises(DataError, match=r"columns index and \w+ give different classes, for example for .*`label_col"):
        labels_of(**columns)
    assert labels_of(**columns, column="index") == columns["index"]


def test_another_column_is_named_or_an_error(labels_of):
    columns = {"author": ["a", "b"], "target": [3, 1]}
    with pytest.raises(
        DataError, match=r"none of the columns author, target is known.*`label_column:`.*`labels: none`"
    ):
        labels_of(**columns)
    assert labels_of(**columns, role="calibration") is None
    assert labels_of(**columns, rule="none") is None
    assert labels_of(**columns, column="Target ") == [3, 1]
    with pytest.raises(DataError, match=r"the column path names the photos; its columns are path, author, target"):
        labels_of(**columns, column="path")
    with pytest.raises(DataError, match=r"no column 'class'; its columns are path, author, target"):
        labels_of(**columns, column="class")


def test_text_is_a_class_name_or_in_sorted_order_when_that_is_asked_for(labels_of):
    assert labels_of(label=["Eel", "cat"], names=("cat", "dog", "eel"), classes=3) == [2, 0]
    with pytest.raises(DataError, match=r"0\.png has the class 'eel', which is neither a number nor"):
        labels_of(label=["eel", "cat"], classes=2)
    assert labels_of(label=["eel", "cat"], classes=2, rule="order") == [1, 0]


def test_a_name_of_several_classes_is_an_error_that_says_so(labels_of):
    with pytest.raises(DataError, match=r"0\.png has the class 'crane', a name of several classes of the network; "):
        labels_of(classes=3, names=("dog", "crane", "crane"), label=["crane", "dog"])


def test_two_columns_of_one_name_are_an_error(labels_of):
    with pytest.raises(DataError, match="two columns 'label'; rename one"):
        labels_of(label=[1, 2], Label=[3, 4])


def test_the_rows_of_training_and_test_photos_are_not_silently_measured_together(labels_of, caplog):
    columns = {"label": [0, 1, 2], "subset": ["train", "Test", "train"]}
    assert labels_of(**columns | {"subset": ["test"] * 3}) == [0, 1, 2]
    assert labels_of(label=["bus", "train", "test"], names=("bus", "train", "test")) == [0, 1, 2]
    assert labels_of(**columns, role="calibration") == [0, 1, 2]
    assert not caplog.text
    assert labels_of(**columns) == [0, 1, 2]
    assert "the column subset divides the photos into Test, train, and all are used" in caplog.text


def test_the_mark_of_one_class_is_no_label(labels_of):
    marks = {"cat": [1, 0, 0], "dog": [0, 1, 0], "eel": [0, 0, 1]}
    with pytest.raises(DataError, match=r"one of the columns cat, dog, eel is 1 for each photo.*into one column"):
        labels_of(**marks, column="dog")
    two = {"cat": [1, 0], "dog": [0, 1], "names": ("cat", "dog"), "classes": 2}
    with pytest.raises(DataError, match="cat does not hold the class"):
        labels_of(**two, column="cat")
    assert labels_of(**two, column="dog") == [0, 1]


def test_a_path_with_a_nul_character_is_an_unreadable_photo(tmp_path, draw, small):
    draw(tmp_path / "a.png")
    (tmp_path / "list.csv").write_text("path\na.png\nb\0.png\n")
    with pytest.raises(DataError, match=r"1 of 2 photos cannot be read.*\n.*embedded null"):
        Folder(tmp_path / "list.csv").load(small, "validation", classes=10)


def test_a_path_that_no_file_can_have_is_an_unreadable_photo(tmp_path, draw, small):
    draw(tmp_path / "0.png")
    (tmp_path / "list.csv").write_text(f"path,label\n0.png,1\n{'signature' * 40},2\n")
    source = Folder(tmp_path / "list.csv", max_unreadable=0.5)
    photos = source.load(small, "validation", classes=4)
    assert photos.labels.tolist() == [1]
    assert "File name too long" in photos.skipped[0]


@pytest.mark.parametrize(("written", "named"), [("caf\u00e9", "cafe\u0301"), ("cafe\u0301", "caf\u00e9")])
def test_accents_in_paths_may_have_the_other_form(tmp_path, draw, small, written, named):
    draw(tmp_path / f"{named}.png")
    (tmp_path / "list.csv").write_text(f"path,label\n{written}.png,1\n", "utf-8")
    assert Folder(tmp_path / "list.csv").load(small, "validation", classes=2).labels.tolist() == [1]
