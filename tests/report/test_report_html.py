"""report.html starts with the result, loads nothing and escapes everything."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from records import HOSTILE, make_hostile_record, make_record, outcomes_of

from compress.errors import FormatError
from compress.evaluation.results import Interval
from compress.report import read_report, to_html, write_report
from compress.report.weight_histogram import CODEBOOK_MARKS, WeightHistogram


class Elements(HTMLParser):
    """Every element with its attributes, and the text of the page."""

    def __init__(self, page):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def words(self):
        return " ".join(self.text.split())


def with_marks(record, marks):
    """The record with these codebook marks in every histogram."""
    layers = tuple(
        replace(layer, histogram=replace(layer.histogram, codebook_marks=marks)) if layer.histogram else layer
        for layer in record.layers
    )
    return replace(record, layers=layers)


@pytest.fixture(scope="module")
def pages():
    records = {
        "labeled": make_record(),
        "unlabeled": make_record(labeled=False),
        "missed": make_record(goal_bytes=400_000),
        "hostile": make_hostile_record(),
    }
    return {name: to_html(record) for name, record in records.items()}


def test_the_page_starts_with_the_result(pages):
    words = Elements(pages["labeled"]).words()
    assert "SqueezeNet v1.1 in 425.9 kB" in words
    assert "11.6 times smaller than its float32 weights, 563 times smaller than AlexNet" in words
    assert "Top-1 accuracy went from 55.1% to 54.1% on 1,000 labeled photos." in words
    assert "425,926 bytes; the goal is at most 500,000 bytes; 74,074 bytes to spare" in words
    assert "Photos lost and gained39 / 29" in words
    assert words.index("Meets both goals") < words.index("11.6 times smaller")


@pytest.mark.parametrize(
    ("lost", "gained", "sentence"),
    [
        (39, 29, "The change of top-1 is within chance (exact McNemar test, p = 0.27)."),
        (39, 9, "The change of top-1 is more than chance explains (exact McNemar test, p = 1.5e-05)."),
        (0, 0, "Both networks classify the same photos correctly."),
    ],
)
def test_the_verdict_tells_a_change_of_accuracy_from_chance(lost, gained, sentence):
    record = make_record()
    proof = record.stages[-1]
    fidelity = replace(proof.fidelity, correct_only_before=lost, correct_only_after=gained)
    page = to_html(replace(record, stages=(*record.stages[:-1], replace(proof, fidelity=fidelity))))
    assert sentence in Elements(page).words()


def test_without_labels_the_page_shows_fidelity_and_no_accuracy(pages):
    words = Elements(pages["unlabeled"]).words()
    assert "The validation photos have no labels. This page shows fidelity" in words
    assert "Top-1" not in words
    assert "McNemar" not in words
    assert "predict the same class for 91.8% of 1,000 photos" in words


def test_a_missed_goal_has_its_margin(pages):
    assert "the goal is at most 400,000 bytes; missed by 25,926 bytes" in Elements(pages["missed"]).words()


def test_only_a_missed_goal_has_a_cause(pages):
    words = Elements(pages["missed"]).words()
    assert "missed by 25,926 bytes. Indices take most, " in words
    assert "the largest layer is " not in Elements(pages["labeled"]).words()


def test_a_run_without_goals():
    assert "No goal was set" in Elements(to_html(replace(make_record(), goals=()))).words()


def test_the_verdict_counts_missed_goals(pages):
    assert "Misses 1 of 2 goals" in Elements(pages["missed"]).words()


def test_skipped_photos_are_listed(pages):
    assert "n02102040/empty.jpg: 0 bytes" in Elements(pages["labeled"]).words()


def test_markup_in_names_and_configuration_is_escaped(pages):
    elements = Elements(pages["hostile"])
    assert [tag for tag, _ in elements.found].count("script") == 1
    assert not [key for _, attributes in elements.found for key in attributes if key.startswith("on")]
    assert f"key: {HOSTILE}" in elements.text


@pytest.mark.parametrize("name", ["labeled", "hostile"])
def test_the_page_loads_nothing(pages, name):
    links = [
        attributes[key] for _, attributes in Elements(pages[name]).found for key in ("src", "href") if key in attributes
    ]
    assert links
    assert all(link.startswith(("#", "data:image/jpeg;base64,")) or link == "data:," for link in links)
    assert "https:" not in pages["labeled"]
    assert "@import" not in pages[name]
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", pages[name]))


def test_ids_are_unique_and_references_exist(pages):
    elements = Elements(pages["labeled"]).found
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["href"][1:] for _, attributes in elements if attributes.get("href", "").startswith("#")} <= set(
        ids
    )


def test_the_navigation_leads_to_every_section(pages):
    for page in pages.values():
        found = Elements(page).found
        sections = [attributes["id"] for tag, attributes in found if tag == "section"]
        nav = page[page.index("<nav") : page.index("</nav>")]
        assert sections == [attributes["href"][1:] for tag, attributes in Elements(nav).found if tag == "a"]


def test_photos_are_described_once_and_beside_the_fidelity(pages):
    words = Elements(pages["unlabeled"]).words()
    description = make_record(labeled=False).data[1].description
    assert f"and no accuracy. Photos: {description.removesuffix(', without labels')}." in words
    labeled = Elements(pages["labeled"]).words()
    for data in make_record().data:
        assert labeled.count(data.description) == 1
        assert f"{data.role.capitalize()} {data.description}. " in labeled


def test_names_in_the_treemap_are_whole_where_they_fit(pages):
    wide = re.search(r'id="treemap-wide".*?</svg>', pages["labeled"], re.DOTALL)
    assert wide
    words = re.findall(r"<text[^>]*>([^<]+)</text>", wide[0])
    assert {"class", "names", "features.7", "expand3x3"} <= set(words)


def test_the_page_explains_codes_below_the_entropy(pages):
    assert "Contexts, and several Huffman codes in a layer, can take less." in Elements(pages["labeled"]).words()


def test_the_recipe_and_what_lies_beyond_it_are_named_where_weights_are_compressed():
    sentence = "trellis-coded levels and context coding go beyond it."
    record = make_record()
    only_encoded = tuple(stage for stage in record.stages if stage.kind in {"baseline", "encode", "proof"})
    assert sentence in Elements(to_html(record)).words()
    assert sentence not in Elements(to_html(replace(record, stages=only_encoded))).words()


def test_the_color_of_added_bytes_is_explained_where_a_stage_adds_some():
    record = make_record()
    *others, last = record.stages
    larger = replace(record, stages=(*others, replace(last, file_bytes=others[-1].file_bytes + 1)))
    assert "the red part what it added" in to_html(larger)
    smaller = replace(record, stages=(others[0], replace(last, file_bytes=others[0].file_bytes - 1)))
    assert "red part" not in to_html(smaller)


def test_every_chart_has_a_name_for_screen_readers(pages):
    charts = [attributes for tag, attributes in Elements(pages["labeled"]).found if tag == "svg"]
    counts = {"sizes": 1, "intervals": 2, "treemap": 2, "stages": 2, "metrics": 4, "training": 1, "time": 2}
    counts |= {"costs": 2, "codecs": 2, "histograms": 26}
    assert len(charts) == sum(counts.values())
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)


def test_every_table_header_has_a_scope(pages):
    assert all(attributes.get("scope") for tag, attributes in Elements(pages["labeled"]).found if tag == "th")


def test_charts_use_only_colors_of_the_page(pages):
    drawings = "".join(re.findall(r"<svg.*?</svg>", pages["labeled"], re.DOTALL))
    assert not re.findall(r"#[0-9a-fA-F]{3,6}\b(?=[;\"])", re.sub(r'href="[^"]*"', "", drawings))


def test_the_page_is_deterministic_and_small(pages):
    assert to_html(make_record()) == pages["labeled"]
    assert len(pages["labeled"].encode()) < 300_000


def test_a_page_of_300_layers_and_24_photos_is_below_1_500_000_bytes():
    record = make_record()
    layers = tuple(replace(layer, name=f"block{index}.{layer.name}") for index in range(12) for layer in record.layers)
    photos = tuple(replace(photo, thumbnail="A" * 8_000) for photo in record.changed_photos * 8)
    page = to_html(replace(record, layers=layers, changed_photos=photos))
    assert len(page.encode()) < 1_500_000
    assert "The 60 largest layers are drawn" in Elements(page).words()


def test_a_network_of_biases_only_has_a_page():
    record = make_record()
    assert to_html(replace(record, layers=tuple(layer for layer in record.layers if len(layer.shape) == 1)))


def test_without_codebooks_the_legend_has_no_marks(pages):
    dense = to_html(with_marks(make_record(), ()))
    assert "No shared values are marked" in dense
    assert "No shared values are marked" not in pages["labeled"]


def test_a_note_explains_weights_with_scales(pages):
    record = make_record()
    plain = to_html(replace(record, layers=tuple(replace(layer, scale_bytes=0) for layer in record.layers)))
    scaled = to_html(replace(record, layers=tuple(replace(layer, scale_bytes=90) for layer in record.layers)))
    assert "divided by their scales" in scaled
    assert "divided by their scales" not in plain


def test_a_large_codebook_has_at_most_one_mark_for_each_visible_position(pages):
    histogram = WeightHistogram.of(np.linspace(-1, 1, 99), np.array([]), np.linspace(-2, 2, 60_000))
    assert histogram.codebook_marks == tuple(range(CODEBOOK_MARKS + 1))
    record = make_record()
    layers = (replace(record.layers[0], histogram=histogram), *record.layers[1:])
    assert len(to_html(replace(record, layers=layers))) < len(pages["labeled"]) + 20_000


def test_weights_that_differ_in_their_fifth_digit_have_a_histogram():
    record, weights = make_record(), np.array([[1.00001, 1.00002]], np.float32)
    histogram = WeightHistogram.of(weights, weights, None)
    assert histogram.low == histogram.high
    layers = (replace(record.layers[0], histogram=histogram), *record.layers[1:])
    assert "<html" in to_html(replace(record, layers=layers))


def test_all_files_are_written(tmp_path):
    page = write_report(make_record(), tmp_path / "new" / "folder")
    assert page == tmp_path / "new" / "folder" / "report.html"
    assert page.read_text(encoding="utf-8") == to_html(make_record())
    assert read_report(page.parent / "report.json") == make_record()
    names = ["outcomes.json", "report.html", "report.json", "thumbnails.json"]
    assert sorted(path.name for path in page.parent.iterdir()) == names


def test_thumbnails_lie_beside_the_report_and_not_in_it(tmp_path):
    record = make_record()
    report = write_report(record, tmp_path).with_suffix(".json")
    assert record.changed_photos[0].thumbnail not in report.read_text("utf-8")
    (tmp_path / "thumbnails.json").write_text("[]")
    with pytest.raises(FormatError, match=r"thumbnails\.json beside the report is damaged"):
        read_report(report)
    (tmp_path / "thumbnails.json").unlink()
    assert "<img" not in to_html(read_report(report))


def test_outcomes_lie_beside_the_report_and_not_in_it(tmp_path):
    report = write_report(make_record(), tmp_path).with_suffix(".json")
    assert "outcomes" not in report.read_text("utf-8")
    (tmp_path / "outcomes.json").unlink()
    assert read_report(report) == replace(make_record(), outcomes=None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", r"outcomes\.json beside the report is damaged; without it, there are no paired statistics"),
        (
            '{"top1_classes":[1,2],"label_ranks":[1,0],"divergences_nats":[0.1,0.2]}',
            r"outcomes\.json .* has 2 photos.*1,000",
        ),
        (
            '{"top1_classes":[-1],"label_ranks":[1],"divergences_nats":[0.1]}',
            r"outcomes\.json\.top1_classes\.0 cannot be -1",
        ),
        (
            '{"top1_classes":[1],"label_ranks":[1],"divergences_nats":[]}',
            r"outcomes\.json beside the report is damaged",
        ),
    ],
)
def test_outcomes_that_are_not_of_the_report_are_refused(tmp_path, text, message):
    report = write_report(make_record(), tmp_path).with_suffix(".json")
    (tmp_path / "outcomes.json").write_text(text)
    with pytest.raises(FormatError, match=message):
        read_report(report)


@pytest.mark.parametrize("labeled", [True, False])
def test_outcomes_of_another_run_on_as_many_photos_are_refused(tmp_path, labeled):
    record = make_record(labeled=labeled)
    report = write_report(record, tmp_path).with_suffix(".json")
    others = [make_record(labeled=not labeled).outcomes]
    others.append(
        replace(record.outcomes, divergences_nats=tuple(2 * each for each in record.outcomes.divergences_nats))
    )
    if labeled:
        others.append(outcomes_of(540, labeled=True))
    for other in others:
        write_report(replace(record, outcomes=other), tmp_path / "other")
        (tmp_path / "outcomes.json").write_bytes((tmp_path / "other" / "outcomes.json").read_bytes())
        with pytest.raises(FormatError, match=r"outcomes\.json beside the report is of another run"):
            read_report(report)


def test_a_report_without_photos_leaves_no_files_of_an_earlier_run(tmp_path):
    write_report(make_record(), tmp_path)
    write_report(replace(make_record(), changed_photos=None, outcomes=None), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]


def test_alexnet_is_named_for_classifiers_of_imagenet_alone(pages):
    assert "AlexNet" in pages["labeled"]
    record = make_record()
    *layers, last = record.layers[:-1] if len(record.layers[-1].shape) < 2 else record.layers
    ten = replace(record, layers=(*layers, replace(last, shape=(10, *last.shape[1:]))))
    assert "AlexNet" not in to_html(ten)


def test_divergence_is_explained_and_never_negative():
    record = make_record()
    proof = record.stages[-1]
    low = replace(proof, fidelity=replace(proof.fidelity, divergence_nats=Interval(0.001, -0.004, 0.006)))
    words = Elements(to_html(replace(record, stages=(*record.stages[:-1], low)))).words()
    assert "0: the same class probabilities; 95% interval 0 to 0.00600" in words
    assert "\u22120.004" not in words
    assert "KL divergence tells how far the class probabilities are from those of the float network" in words


def test_a_layer_never_has_a_negative_share_of_the_divergence():
    record = make_record()
    layers = (replace(record.layers[0], divergence_nats=-0.00123), *record.layers[1:])
    assert "\u22120.00123" not in Elements(to_html(replace(record, layers=layers))).words()


def test_the_page_says_which_decoders_read_the_file():
    assert "squeeze-compress, and the reader in C" in Elements(to_html(make_record())).words()
