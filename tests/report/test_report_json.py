"""report.json holds the whole record, and the reader accepts nothing else."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from records import make_hostile_record, make_record

from compress.errors import FormatError
from compress.report import from_json, read_report, to_html, to_json
from compress.report.report_json import json_schema

SCHEMA = Path(__file__).parents[2] / "docs" / "report.schema.json"
REPORTS = Path(__file__).parents[2] / "reports"


@pytest.mark.parametrize("record", [make_record(), make_record(labeled=False), make_hostile_record()])
def test_a_record_survives_the_round_trip(record):
    assert from_json(to_json(record)) == record


def test_the_text_is_deterministic_and_ends_with_a_newline():
    text = to_json(make_record())
    assert text == to_json(make_record())
    assert text.startswith('{\n"schema_version":9,\n"pipeline":')
    assert text.endswith("}\n")


def test_a_report_of_squeezenet_is_small_and_has_a_line_for_each_layer():
    text = to_json(make_record())
    assert len(text) < 100_000
    lines = [line for line in text.splitlines() if line.startswith('{"name":"features.')]
    assert len(lines) == sum(layer.name.startswith("features.") for layer in make_record().layers)


@pytest.mark.parametrize("report", sorted(REPORTS.glob("*/report.json")), ids=lambda report: report.parent.name)
def test_a_reference_report_is_small_and_readable(report):
    assert report.stat().st_size < 100_000
    assert read_report(report).pipeline == report.parent.name


@pytest.mark.parametrize("version", [8, 10])
def test_another_schema_version_is_named_before_anything_else(version):
    content = json.loads(to_json(make_record())) | {"schema_version": version, "new_field": 1}
    with pytest.raises(
        FormatError, match=rf"schema version {version}; read it with the release.*expected schema version 9"
    ):
        from_json(json.dumps(content))


def test_a_fidelity_without_an_error_is_no_report():
    content = json.loads(to_json(make_record()))
    content["stages"][0]["fidelity"]["divergence_nats"] = None
    with pytest.raises(FormatError, match=r"stages\.0\.fidelity.*either divergence_nats or relative_mse"):
        from_json(json.dumps(content))


@pytest.mark.parametrize("lost", ["agreement", "correct_only_before", "correct_only_after"])
def test_a_fidelity_without_a_part_of_its_figures_is_no_report(lost):
    content = json.loads(to_json(make_record()))
    content["stages"][-1]["fidelity"][lost] = None
    with pytest.raises(FormatError, match=r"stages\.\d\.fidelity.*, or neither"):
        from_json(json.dumps(content))


def _altered(**changes):
    return json.dumps(json.loads(to_json(make_record())) | changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "not a report"),
        ('{"pipeline": "x"}', "not a report"),
        (_altered(schema_version=True), "schema version True"),
        (_altered(surprise=1), "surprise"),
        (_altered(seed="7"), "seed: Input should be a valid integer"),
        (_altered(stages=[]), "stages: empty; expected at least one entry"),
        (_altered(stages=[{}]), r"stages\.0\.name: Field required.*and 9 more"),
    ],
)
def test_an_error_names_the_problem(text, message):
    with pytest.raises(FormatError, match=message):
        from_json(text)


def test_an_unknown_nested_field_is_refused():
    content = json.loads(to_json(make_record()))
    content["stages"][0]["fidelity"]["surprise"] = 1
    with pytest.raises(FormatError, match=r"stages\.0\.fidelity\.surprise"):
        from_json(json.dumps(content))


def test_a_report_that_an_editor_saved_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "report.json").write_text(to_json(make_record()), "utf-8-sig")
    assert read_report(tmp_path / "report.json").file == make_record().file


def test_outcomes_of_different_numbers_of_photos_are_refused():
    content = json.loads(to_json(make_record()))
    content["outcomes"]["label_ranks"].pop()
    with pytest.raises(FormatError, match=r"outcomes: .*different numbers of photos"):
        from_json(json.dumps(content))


def _with(path, value):
    """The text of a report with another value at a dotted path."""
    content = json.loads(to_json(make_record()))
    *above, last = path.split(".")
    node = content
    for key in above:
        node = node[int(key) if isinstance(node, list) else key]
    node[int(last) if isinstance(node, list) else last] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("float_bytes", -1),
        ("file.file_bytes", 0),
        ("file.index_bytes", -400_000),
        ("layers.0.weights", -5),
        ("layers.0.codec_bytes.raw", -5),
        ("layers.0.histogram.float_counts.3", -1),
        ("data.1.photos", 0),
        ("stages.0.fidelity.photos", 0),
        ("stages.0.seconds", float("nan")),
        ("stages.0.accuracy.top1.high", float("inf")),
        ("stages.0.peak_memory_bytes", 10**30),
        ("outcomes.divergences_nats.0", 1e308),
    ],
)
def test_a_number_that_no_run_writes_is_refused_with_its_place(path, value):
    with pytest.raises(FormatError, match=rf"{path} cannot be .*; expected numbers as a run writes them"):
        from_json(_with(path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("layers.0.histogram.float_counts", []),
        ("layers.0.histogram.high", -1e9),
        ("layers.0.weights", 0),
        ("layers.0.shape", []),
        ("layers", []),
        ("data", []),
        ("goals.0.limit", 0),
        ("decode_seconds", -1.0),
        ("stages.1.fidelity.divergence_nats.high", 1e304),
        ("stages.1.fidelity.agreement.value", 1e304),
        ("layers.0.divergence_nats", 1e304),
        ("goals.0.limit", 1e304),
    ],
)
def test_odd_values_that_are_read_have_a_page(path, value):
    assert "<html" in to_html(from_json(_with(path, value)))


def test_a_number_that_is_not_finite_is_refused_when_written():
    with pytest.raises(FormatError, match="decode_seconds"):
        to_json(replace(make_record(), decode_seconds=float("nan")))


def test_a_file_name_that_is_not_unicode_is_refused_when_written():
    with pytest.raises(FormatError, match="JSON cannot"):
        to_json(replace(make_record(), command="squeeze-compress run \udcff"))


def test_the_published_schema_is_current():
    assert SCHEMA.read_text() == json_schema(), "write json_schema() to docs/report.schema.json"
