"""Cards of the built-in models."""

from __future__ import annotations

from compress.builtin_models import BuiltinModel
from compress.builtin_pipelines import find_pipeline, first_comment
from compress.evaluation.comparison_record import ModelComparison, PairedAccuracy
from compress.export.model_card import ModelCard, accuracy_cells, origin_of
from compress.model import Model
from compress.report.formatting import measured_nats, percent, points, thousands
from compress.report.markdown import markdown_table

_MEASURED = """\
{photos} labeled photos: the development set of NIPS 2017, 430 of the classes. None was used to make the file. Intervals
are for other photos of this kind, at 95%.

{accuracy}

Paired over the photos, top-1 changes by {top1_change},
and top-5 by {top5_change}. {agreement} of the photos keep the float network's first class.
The mean Kullback-Leibler divergence of the class probabilities is {divergence} nats."""

_LIMITS = """\
The network sees the whole photo, squeezed to {height} x {width} pixels. It knows the classes of ImageNet only,
with their biases, and can be confident about photos of other things. Errors of the float network stay. The file is not
for decisions that affect people."""

_FILE = """\
sha256 `{sha256}`; of the decoded weights `{weights_sha256}`. [The format](../format.md) is open;
[C](../../runtime/c/README.md) and Python read it."""


def builtin_model_card(model: BuiltinModel, network: Model, comparison: ModelComparison) -> str:
    """Return the card of a model.

    Args:
        model: the model.
        network: decoded from the model's file.
        comparison: of the float network, A, and the model, B, on labeled photos.
    """
    before, after, top1, top5 = comparison.a.accuracy, comparison.b.accuracy, comparison.top1, comparison.top5
    assert before, "the photos are labeled"
    assert after
    assert top1
    assert top5
    weights = network.parameter_count()
    origin, preprocessing = origin_of(network.architecture), network.preprocessing
    description = first_comment(find_pipeline(model.name).read_text("utf-8"))
    accuracy = markdown_table(
        ("", "bytes", "top-1", "top-5"),
        [
            ("float32", thousands(4 * weights), *accuracy_cells(before)),
            (f"`{model.name}`", thousands(model.file_bytes), *accuracy_cells(after)),
        ],
    )
    return ModelCard(
        model.name,
        origin.metadata,
        f"{origin.network} for the 1,000 classes of ImageNet, in a file of {thousands(model.file_bytes)} bytes.",
        f"squeeze-compress predict {model.name} photo.jpg",
        f'import compress\n\nnetwork = compress.load("{model.name}")  # a torch.nn.Module',
        {
            "How it was made": f"{description}\n\n    squeeze-compress run {model.name}\n\n{origin.source}",
            "Accuracy": _MEASURED.format(
                photos=thousands(model.photos),
                accuracy=accuracy,
                top1_change=_change(top1),
                top5_change=_change(top5),
                agreement=percent(model.agreement),
                divergence=measured_nats(model.divergence_nats),
            ),
            "Limits": _LIMITS.format(height=preprocessing.height, width=preprocessing.width),
            "File": _FILE.format(sha256=model.sha256, weights_sha256=comparison.b.weights_sha256),
        },
    ).to_markdown()


def _change(paired: PairedAccuracy) -> str:
    change = paired.difference
    return f"{points(change.value)} ({points(change.low)} to {points(change.high)})"
