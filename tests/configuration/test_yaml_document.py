"""A pipeline file is YAML: errors have file and line, and overrides replace values."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compress.configuration.config import read_pipeline
from compress.configuration.yaml_document import parse_document, read_document
from compress.errors import ConfigError


def at(document, *keys):
    return document.at(keys)


@pytest.fixture
def document(tmp_path, whole):
    def reading(*overrides):
        (tmp_path / "p.yaml").write_text(whole)
        return read_document(tmp_path / "p.yaml", overrides)

    return reading


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "p.yaml:1: not a mapping of keys (allowed: model, data, stages, encode, goal, report, search, seed)"),
        (b"- a\n- b\n", "p.yaml:1: not a mapping of keys"),
        (b"seed 5", "p.yaml:1: not a mapping of keys"),
        (b"seed: 1\ngoal: {bytes: 5\n", "p.yaml:2: not YAML: while parsing a flow mapping"),
        (b"seed: 1\n\tgoal: 2\n", "p.yaml:2: not YAML"),
        (b"seed: 1\ngoal: x: y\n", "p.yaml:2: not YAML: mapping values are not allowed here"),
        (b"seed: 1\nseed: 2\n", "p.yaml:2: seed: duplicate key"),
        (
            b"goal:\n  bytes: 5\n  min_agreement: 0\n  bytes: 6\n",
            "p.yaml:4: bytes: duplicate key",
        ),
        (b"# caf\xe9\nseed: 1\n", "p.yaml:1: not UTF-8: the byte 0xe9; save the file as UTF-8"),
        (b"seed: 1\n# \x07\n", "p.yaml:2: the character '\\x07' is not allowed in YAML"),
        (b"seed: " + b"9" * 5000, "p.yaml: a number, a date or a tag cannot be read: Exceeds the limit (4300 digits)"),
        (b"seed: 0x" + b"f" * 4000, "p.yaml: a number has too many digits"),
        (b"model: {args: {? 0x" + b"f" * 4000 + b" : 1}}", "p.yaml: a number has too many digits"),
        (b"seed: 2024-13-45\n", "cannot be read: month must be in 1..12; a text that looks like one needs quotes"),
        (b"seed: !!bool maybe\n", "p.yaml: a number, a date or a tag cannot be read: 'maybe'"),
        (b"stages: &a\n  <<: *a\n", "p.yaml: a tag (!) or a merge (<<) is not allowed where it is"),
        (b"!!omap seed: 1\n", "p.yaml: a tag (!) or a merge (<<) is not allowed where it is"),
        (b"seed: 0x_\n", "p.yaml: a number, a date or a tag cannot be read: "),
        (b"seed: *one\n", "p.yaml:1: not YAML: found undefined alias"),
        (b"seed: !!python/object/apply:os.system [true]\n", "p.yaml:1: seed: the tag '!!python/object/app"),
        (b"goal:\n  bytes: !kB 500\n", "p.yaml:2: goal.bytes: the tag '!kB' means nothing in a pipeline; leave it out"),
        (b"goal: !limits\n  bytes: 500\n", "p.yaml:1: goal: the tag '!limits' means nothing"),
        (b"model: {args: {depths: [1, !double 2]}}\n", "p.yaml:1: model.args.depths.1: the tag '!double' means"),
        (b"!pipeline\nseed: 1\n", "p.yaml:1: the tag '!pipeline' means nothing"),
        (b"seed: !!binary aGVsbG8=\n", "p.yaml:1: seed: the tag '!!binary' means nothing"),
        (b"seed: " + b"[" * 1000, "values are nested too deep"),
        (b"#" * 100_001, "p.yaml: the pipeline file is too long (allowed: up to 100,000 bytes)"),
        (b"&x {data: {validation: *x}}\n", "too many values for a pipeline; check its aliases"),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, bytes) else "",
)
def test_a_file_that_is_no_yaml_mapping_is_refused_with_its_line(fault, content, message):
    assert message in fault(content)


def test_aliases_for_billions_of_values_are_refused_at_once(fault):
    lines = ["a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "too many values for a pipeline" in fault("\n".join(lines))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.yaml: cannot read the pipeline: No such file"):
        read_document(tmp_path / "gone.yaml")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot read the pipeline: Is a directory"):
        read_document(tmp_path)


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(read, whole):
    plain, windows = read(whole), read(b"\xef\xbb\xbf" + whole.replace("\n", "\r\n").encode())
    assert windows.stages == plain.stages
    assert windows.description == plain.description


@pytest.mark.parametrize(
    ("override", "keys", "value"),
    [
        ("seed=9", ["seed"], 9),
        ("data.validation.path=elsewhere", ["data", "validation", "path"], "elsewhere"),
        ("data.validation.path='photos #2'", ["data", "validation", "path"], "photos #2"),
        ("data.validation={source: samples}", ["data", "validation"], {"source": "samples"}),
        ("stages.share.bits=3", ["stages", 1, "bits"], 3),
        ("stages.1.bits=3", ["stages", 1, "bits"], 3),
        ("stages.again.steps=7", ["stages", 2, "steps"], 7),
        ("stages.share.layers.classifier.1.weight=6", ["stages", 1, "layers", "classifier.1.weight"], 6),
        ('stages.share.layers."features.0.weight"=6', ["stages", 1, "layers", "features.0.weight"], 6),
        ("stages.prune.layers.3x3.sensitivity=1", ["stages", 0, "layers", "3x3", "sensitivity"], 1),
        ("goal.min_agreement=0.5", ["goal", "min_agreement"], 0.5),
        ("goal.bytes=null", ["goal", "bytes"], None),
        ("model.labels=a=b", ["model", "labels"], "a=b"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_override_sets_its_key(document, override, keys, value):
    assert document(override).at(keys) == value


def test_the_last_override_of_a_key_wins(document):
    assert document("seed=1", "seed=2").root["seed"] == 2


def test_an_override_can_use_a_name_that_an_earlier_one_set(document):
    changed = document("stages.share.name=sharing", "stages.sharing.bits=2")
    assert changed.at(["stages", 1, "bits"]) == 2


def test_an_override_creates_missing_sections(tmp_path):
    (tmp_path / "p.yaml").write_text("seed: 1\ngoal:\n")
    changed = read_document(tmp_path / "p.yaml", ["data.validation.count=5", "goal.bytes=9"])
    assert changed.at(["data", "validation", "count"]) == 5
    assert changed.at(["goal", "bytes"]) == 9


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "--set: 'seed' is not an override (allowed: KEY=VALUE with a dotted key)"),
        ("=5", "--set: '=5' is not an override"),
        ("goal..bytes=5", "--set: 'goal..bytes=5' is not an override"),
        ("seed=[1", "--set: seed: '[1' is not YAML"),
        ("seed.deeper=1", "--set: seed.deeper: seed contains no keys"),
        (
            "stages.shar.bits=3",
            "--set: stages.shar.bits: there is no 'shar'; did you mean 'share'? (allowed: prune, share, again, 0 to 2)",
        ),
        ("stages.3.bits=3", "--set: stages.3.bits: there is no 3 (allowed: prune, share, again, 0 to 2)"),
        ("stages.-1.bits=3", "--set: stages.-1.bits: there is no '-1'"),
        ("stages.share.bits=many", "--set: stages.share.bits: cannot be 'many' (allowed: a whole number, 1 to 12)"),
        ("stages.1.bits=13", "--set: stages.1.bits: cannot be 13 (allowed: a whole number, 1 to 12)"),
        ("stages.share.bit=3", "--set: stages.share.bit: unknown key of pass 'share'; did you mean 'bits'?"),
        (
            "stages.share.layers.classifier.1.weight=x",
            "--set: stages.share.layers.classifier.1.weight: cannot be 'x' (allowed: a whole number, 1 to 12)",
        ),
        (
            "data.validation.path=my: photos",
            "--set: data.validation.path: cannot be a mapping (allowed: text or a list of at least one path)",
        ),
        ("goal.bytes=!kB 500", "--set: goal.bytes: the tag '!kB' means nothing in a pipeline; leave it out, or put a"),
        ("data.validation.path=", "--set: data.validation.path: no value; check for an unset variable, or write null"),
        ("data.validation.path=photos #2", "--set: data.validation.path: '#2' is a comment in YAML; a value with '#'"),
        ("data.validation.path=@a", "data.validation.path: '@a' is not YAML; a text with special characters needs quo"),
        ("data.validation.path=2024-13-45", "--set: data.validation.path: '2024-13-45' is not YAML"),
        ("data.validation.path=0x_", "--set: data.validation.path: '0x_' is not YAML"),
        ("data.validation.limit= # all", "--set: data.validation.limit: no value"),
        ("data.validation={source: folder, path: a, limit: }", "--set: data.validation.limit: no value"),
        ("stages=", "--set: stages: no value"),
        (
            "data.validation.source=folders",
            "--set: data.validation.source: unknown source 'folders'; did you mean 'folder'",
        ),
        ("sed=1", "--set: sed: unknown key; did you mean 'seed'? (allowed: model, data,"),
        ("goal.bytes=-5", "--set: goal.bytes: cannot be -5 (allowed: bytes, more than 0;"),
    ],
)
def test_a_wrong_override_is_named_as_written(fault, whole, override, message):
    assert message in fault(whole, override)


def test_an_error_in_the_file_names_the_override_that_causes_it(fault, whole):
    message = fault(whole, "data.validation.source=samples")
    assert message.startswith("p.yaml:12: data.validation.path: unknown key of source 'samples'")
    assert "(with --set data.validation.source)" in message


def test_a_document_is_dumped_as_yaml_with_its_comments(document, tmp_path):
    (tmp_path / "again.yaml").write_text(document("stages.share.bits=3", "seed=8").dump())
    again = read_document(tmp_path / "again.yaml")
    assert again.at(["stages", 1, "bits"]) == 3
    assert again.root["seed"] == 8
    assert again.text.startswith("# A pipeline with every kind of value")


COMMENTED = """\
model:
  source: embedded

data:
  validation:
    source: samples   # of packages

# Two stages.
stages:
  - pass: prune
    sparsity: 0.5     # half

  # Then share.
  - {pass: share, bits: 5}
"""


@pytest.mark.parametrize(
    ("override", "above", "added"),
    [
        ("model.classes=10", "  source: embedded\n", "  classes: 10\n"),
        ("data.validation.count=3", "    source: samples   # of packages\n", "    count: 3\n"),
        ("data.calibration.count=3", "    source: samples   # of packages\n", "  calibration:\n    count: 3\n"),
        ("stages.0.name=x", "    sparsity: 0.5     # half\n", "    name: x\n"),
        ("seed=1", "  - {pass: share, bits: 5}\n", "seed: 1\n"),
    ],
)
def test_a_new_key_is_above_the_comments_of_what_follows(override, above, added):
    dumped = parse_document(COMMENTED, Path("p.yaml"), [override]).dump()
    assert dumped.rstrip() == COMMENTED.replace(above, above + added).rstrip()


PIECES = ["seed", "goal", "stages", "bits", "share", "- ", ": ", "\n", "  ", "{", "}", "[", "]", "'", "#", "&a", "*a"]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 700), st.integers(0, 30), st.sampled_from(PIECES) | st.text(max_size=3))),
    st.lists(st.text("sedhart.0123=[]{}'\" :,&*", max_size=20), max_size=2),
)
def test_a_mutated_file_gives_a_pipeline_or_a_config_error(tmp_path, whole, changes, overrides):
    text = whole
    for start, length, new in changes:
        text = text[:start] + new + text[start + length :]
    file = tmp_path / "p.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        read_pipeline(file, overrides)
    except ConfigError as error:
        assert str(error)  # noqa: PT017


ALIASES = """\
data:
  calibration: &photos {source: digits, limit: &limit 500}
  validation: *photos
stages:
  - &prune {pass: prune, sparsity: 0.5, layers: &layers {features.0.weight: {sparsity: 0.1}}}
  - {<<: *prune, name: more}
  - {pass: share, layers: *layers}
seed: *limit
"""


@pytest.mark.parametrize(
    ("override", "unchanged"),
    [
        ("data.validation.limit=7", ["data", "calibration"]),
        ("data.calibration.limit=7", ["data", "validation"]),
        ("stages.prune.sparsity=0.9", ["stages", 1]),
        ("stages.more.sparsity=0.9", ["stages", 0]),
        ("stages.more.layers.features.0.weight.sparsity=0.9", ["stages", 0, "layers"]),
        ("stages.prune.layers.features.0.weight.sparsity=0.9", ["stages", 2, "layers"]),
        ("data.calibration.limit=7", ["seed"]),
    ],
)
def test_an_override_of_a_value_with_aliases_changes_one_place(tmp_path, override, unchanged):
    file = tmp_path / "p.yaml"
    file.write_text(ALIASES)
    before, after = read_document(file), read_document(file, [override])
    key, _, value = override.partition("=")
    assert str(after.at(after.path_of(key))) == value != str(before.at(before.path_of(key)))
    assert after.at(unchanged) == before.at(unchanged)
    file.write_text(after.dump())
    assert read_document(file).root == after.root
