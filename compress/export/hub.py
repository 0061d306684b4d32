"""A folder in the layout of the Hugging Face Hub: the model, its card, and the settings of its input."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from compress import container
from compress.builtin_models import BuiltinModel, builtin_models
from compress.errors import FormatError
from compress.evaluation.intervals import counted_interval
from compress.evaluation.results import Accuracy
from compress.export.model_card import LIBRARY, ModelCard, accuracy_cells, origin_of
from compress.model import Model, Preprocessing
from compress.networks.factory import needs_trust
from compress.networks.network_class_names import check_classifier, class_names
from compress.report.formatting import measured_nats, percent, short_name, thousands, to_ascii
from compress.report.markdown import escape_markdown, markdown_table
from compress.report.record import RunRecord, StageRecord
from compress.report.report_json import from_json
from compress.runtime.atomic_files import write_files_atomically

_MODEL = "model.sqz"
_BILINEAR = 2
"""Number of the filter in Pillow."""

_LICENSE = "That of the float weights: state it here, and as `license` in the metadata."
_LIMITS = """\
The network knows its {classes} classes only, with the biases of its training photos, and can be confident about photos
of other things. Errors of the float network stay."""


def write_hub_folder(model: Path, folder: Path) -> list[Path]:
    """Write `README.md`, `model.sqz`, `config.json` and `preprocessor_config.json`; the model is named as the folder.

    The card has the measurements of a built-in model, or of the `report.json` beside the file that belongs to it.

    Returns:
        the files.
    Raises:
        FormatError: the file breaks the format.
    """
    decoded, data = container.read(model), model.read_bytes()
    check_classifier(decoded)
    files = {
        "README.md": _card(decoded, data, model, folder.resolve().name).to_markdown().encode(),
        "config.json": _to_json(_config(decoded)),
        "preprocessor_config.json": _to_json(_preprocessor_config(decoded.preprocessing)),
        _MODEL: data,
    }
    return write_files_atomically(folder, files)


def _config(model: Model) -> Mapping[str, object]:
    names = class_names(model)
    occurrences = Counter(names)  # a name of several classes stands for none
    return {
        "library_name": LIBRARY,
        "architecture": model.architecture,
        "num_classes": model.classes,
        "id2label": {str(index): name for index, name in enumerate(names)},
        "label2id": {name: index for index, name in enumerate(names) if occurrences[name] == 1},
    }


def _preprocessor_config(preprocessing: Preprocessing) -> Mapping[str, object]:
    """Return the steps under the names that image processors of transformers have."""
    own, size = preprocessing, {"height": preprocessing.height, "width": preprocessing.width}
    crop = own.resize == "crop"
    return {
        "do_resize": True,
        "size": {"shortest_edge": own.short_side} if crop else size,
        "resample": _BILINEAR,
        "do_center_crop": crop,
        **({"crop_size": size} if crop else {}),
        "do_convert_rgb": own.channels != "L",
        "do_convert_grayscale": own.channels == "L",
        "do_flip_channel_order": own.channels == "BGR",
        "do_rescale": True,
        "rescale_factor": own.scale,
        "do_normalize": True,
        "image_mean": list(own.mean),
        "image_std": list(own.std),
    }


def _card(model: Model, data: bytes, file: Path, name: str) -> ModelCard:
    sha256 = hashlib.sha256(data).hexdigest()
    builtin = next((each for each in builtin_models().values() if each.sha256 == sha256), None)
    record = None if builtin else record_of(file.parent / "report.json", sha256)
    network = short_name(model.architecture) or model.architecture
    factory = model.architecture.partition(" ")[0] if needs_trust(model.architecture) else None
    metadata: dict[str, object] = {
        "library_name": LIBRARY,
        "pipeline_tag": "image-classification",
        "tags": [network, "model-compression"],
    }
    option, argument = (f" --factory {factory}", f', factory="{factory}"') if factory else ("", "")
    evaluate = f"squeeze-compress evaluate {_MODEL} --data PHOTOS{option}"
    load = f'compress.load(hf_hub_download("USER/{name}", "{_MODEL}"){argument})'
    card = ModelCard(
        name,
        origin_of(model.architecture).metadata if builtin else metadata,
        f"{network} for {thousands(model.classes)} classes, in a file of {thousands(len(data))} bytes.",
        f"squeeze-compress predict {_MODEL} photo.jpg{option}",
        f"import compress\nfrom huggingface_hub import hf_hub_download\n\nnetwork = {load}  # a torch.nn.Module",
        {
            **({"How it was made": _origin(record)} if record else {}),
            "License": origin_of(model.architecture).source if builtin else _LICENSE,
            "Accuracy": _accuracy(record, builtin, evaluate),
            "Limits": _LIMITS.format(classes=thousands(model.classes)),
            "File": f"sha256 `{sha256}`; of the decoded weights `{container.weights_sha256(model)}`.",
        },
    )
    return replace(card, sections={title: to_ascii(text) for title, text in card.sections.items()})


def record_of(report: Path, sha256: str) -> RunRecord | None:
    """Return the report of the run that wrote a file; None if there is none."""
    try:
        record = from_json(report.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, FormatError):
        return None
    return record if record.file.sha256 == sha256 else None


def _origin(record: RunRecord) -> str:
    weights = f"Float weights: {escape_markdown(record.weights_source)}."
    return (
        f"{escape_markdown(record.description)}\n\n{weights}\n\n```yaml\n{record.configuration.rstrip()}\n```".strip()
    )


def _accuracy(record: RunRecord | None, builtin: BuiltinModel | None, evaluate: str) -> str:
    """Return the measurements, or the command that measures."""
    if builtin:
        rows = [
            ("float32", *accuracy_cells(_accuracy_of(builtin.photos, builtin.float_top1, builtin.float_top5))),
            (_MODEL, *accuracy_cells(_accuracy_of(builtin.photos, builtin.top1, builtin.top5))),
        ]
        table = markdown_table(("", "top-1", "top-5"), rows)
        return f"Measured on {thousands(builtin.photos)} labeled photos; intervals at 95%.\n\n{table}"
    if record is None:
        return f"Not measured. `{evaluate}` measures it on labeled photos."
    photos = next(each for each in record.data if each.role == "validation")
    stages = ("float32", record.stages[0], record.float_bytes), (_MODEL, record.stages[-1], record.file.file_bytes)
    columns = ("", "bytes", *(("top-1", "top-5") if photos.labeled else ()), "agreement", "KL, nats")
    table = markdown_table(columns, [(name, thousands(size), *_measured(stage)) for name, stage, size in stages])
    return f"Measured on {escape_markdown(photos.description)}; intervals at 95%.\n\n{table}"


def _accuracy_of(photos: int, top1: float, top5: float) -> Accuracy:
    """Return the fractions of photos that are right, with their intervals."""
    return Accuracy(photos, *(counted_interval(round(photos * fraction), photos) for fraction in (top1, top5)))


def _measured(stage: StageRecord) -> tuple[str, ...]:
    accuracy = accuracy_cells(stage.accuracy) if stage.accuracy else ()
    agreement, divergence = stage.fidelity.agreement, stage.fidelity.error
    assert agreement is not None  # of a classifier
    return *accuracy, percent(agreement.value), measured_nats(divergence.value)


def _to_json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
