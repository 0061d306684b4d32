"""Two models run on the same photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.special import softmax

from compress import container
from compress.data.photos import Photos
from compress.data.samples import Samples
from compress.data.sources import source_at
from compress.errors import ConfigError, DataError
from compress.evaluation import metrics
from compress.evaluation.comparison_record import SCHEMA_VERSION, Answer, Comparison, PairedHits, PhotoAnswers, Side
from compress.evaluation.evaluate import class_names, on_device
from compress.evaluation.goals import Goal, goal_records
from compress.evaluation.metrics import Outputs
from compress.evaluation.significance import mcnemar
from compress.evaluation.text import as_text
from compress.model import Model
from compress.networks.model_files import load_model
from compress.networks.weight_sources import Embedded
from compress.runtime.progress import Progress, silent

EMBEDDED, SAMPLES = "embedded", "samples"
"""Words that stand for a model and for photos: those that come with installed packages."""


def compare_models(
    a: str,
    b: str,
    data: str,
    *,
    limit: int | None = None,
    architecture: str | None = None,
    factory: str | None = None,
    device: str | None = None,
    cache: Path | None = None,
    goal: Goal | None = None,
    progress: Progress = silent,
) -> Comparison:
    """Run two models on the same photos; each sees them as its own preprocessing prepares them.

    Args:
        a: `.sqz`, `.safetensors`, `.pth` or `.pt`, or `embedded` for the float weights that are installed.
        b: the same; what is measured beside A.
        data: a folder (of idx files too), a CSV file or a photo, labelled or not; or `samples` for installed crops.
        limit: at most so many photos, evenly spread; None for all.
        architecture: the network of a checkpoint; by default the one that its first layer fits.
        factory: the function that may be called to make the network of a `.sqz` file that names it.
        device: where networks run; a GPU if there is one, unless told otherwise.
        cache: folder for decoded photos; None keeps them in memory.
        goal: what is demanded of B; drops, agreement and divergence are against A.
        progress: shows how far it is.
    Raises:
        ConfigError: the two have different numbers of classes; or no such device.
        DataError: photos cannot be read, or the goal needs labels that they have not.
        FormatError, WeightsError: a model cannot be read or run.
    """
    models = [_load(name, architecture, factory) for name in (a, b)]
    first, second = models
    if first.classes != second.classes:
        raise ConfigError(
            f"{a} tells {first.classes:,} classes apart and {b} {second.classes:,}; "
            "only models of the same classes can be compared"
        )
    networks = [on_device(model, device) for model in models]
    photos = _photos(models, data, limit, cache, progress)
    goal = goal or Goal()
    if goal.needs_labels and photos[0].labels is None:
        raise DataError(
            f"{data}: these photos have no labels, so no drop of top-1 or top-5 can be limited; give a folder with a "
            "subfolder a class, or a CSV file, or limit agreement or divergence instead"
        )
    outputs, other = (
        metrics.run(network, seen, model.preprocessing, progress)
        for network, seen, model in zip(networks, photos, models, strict=True)
    )
    sides = _side(a, first, outputs), _side(b, second, other)
    fidelity = metrics.fidelity(other, outputs)
    demands = goal_records(goal, sides[1].file_bytes, sides[0].accuracy, sides[1].accuracy, fidelity)
    return Comparison(
        schema_version=SCHEMA_VERSION,
        a=sides[0],
        b=sides[1],
        same_weights=sides[0].weights_sha256 == sides[1].weights_sha256,
        same_preprocessing=first.preprocessing == second.preprocessing,
        class_names_apart=_names_apart(first, second),
        data=as_text(photos[0].description),
        skipped=tuple(map(as_text, photos[0].skipped)),
        top1=_paired(outputs, other, 1),
        top5=_paired(outputs, other, 5),
        agreement=fidelity.agreement,
        divergence_nats=fidelity.divergence_nats,
        photos=_answers(models, photos[0], outputs, other),
        goals=tuple(replace(each, quantity=each.quantity.replace("the float network", "A")) for each in demands),
    )


def _load(name: str, architecture: str | None, factory: str | None) -> Model:
    if name == EMBEDDED:
        return Embedded().load()
    of_a_function = factory is not None and Path(name).suffix == ".sqz"
    return load_model(Path(name), architecture, factory if of_a_function else None)


def _photos(
    models: Sequence[Model], data: str, limit: int | None, cache: Path | None, progress: Progress
) -> tuple[Photos, Photos]:
    """Read the photos as each model wants them; once where both want them alike."""
    # A folder that is called so is meant where there is one: elsewhere the option takes paths.
    samples = data == SAMPLES and not Path(data).exists()
    source = Samples(count=limit) if samples else source_at(Path(data), limit)

    def read(model: Model) -> Photos:
        with progress("reading photos", 0) as advance:
            return source.load(
                model.preprocessing,
                "validation",
                classes=model.classes,
                store=cache,
                progress=lambda done, total: advance(1),
            )

    first = read(models[0])
    alike = models[0].preprocessing == models[1].preprocessing
    second = first if alike else read(models[1])
    if first.names != second.names:
        raise DataError(f"{data}: photos came or went, or became unreadable, while they were read; compare again")
    return first, second


def _side(name: str, model: Model, outputs: Outputs) -> Side:
    weights = sum(tensor.to_dense().size for tensor in model.tensors.values())
    file_bytes = weights * 4 if name == EMBEDDED else Path(name).stat().st_size
    digest = container.weights_sha256(model)
    return Side(as_text(name), model.architecture, file_bytes, digest, metrics.accuracy(outputs))


def _names_apart(first: Model, second: Model) -> tuple[int, ...]:
    pairs = enumerate(zip(first.labels, second.labels, strict=False))  # one of them may have no names
    return tuple(index for index, (name, other) in pairs if name != other)


def _paired(outputs: Outputs, other: Outputs, first: int) -> PairedHits | None:
    if outputs.labels is None:
        return None
    before, after = outputs.hits(first), other.hits(first)
    only_a, only_b = metrics.paired_counts(after, before)
    difference = metrics.bootstrap_interval(after.astype(np.float64) - before)
    return PairedHits(only_a, only_b, difference, mcnemar(only_a, only_b))


def _answers(models: Sequence[Model], photos: Photos, outputs: Outputs, other: Outputs) -> tuple[PhotoAnswers, ...]:
    """Return what the two say of each photo, the most divergent first; a model without class names borrows them."""
    first, second = models
    names, other_names = first.labels or class_names(second), second.labels or class_names(first)
    divergences = metrics.divergences(other, outputs)
    labels = [None] * len(photos) if photos.labels is None else photos.labels.tolist()
    answers, other_answers = _best(outputs, names), _best(other, other_names)
    return tuple(
        PhotoAnswers(
            photo=as_text(photos.names[place]),
            label=labels[place],
            label_name=None if labels[place] is None else names[labels[place]],
            divergence_nats=float(divergences[place]),
            a=answers[place],
            b=other_answers[place],
        )
        for place in np.argsort(-divergences, kind="stable")
    )


def _best(outputs: Outputs, names: Sequence[str]) -> list[Answer]:
    probabilities = softmax(outputs.logits.astype(np.float64), axis=1)
    best = outputs.logits.argmax(axis=1)
    return [Answer(int(index), names[index], float(row[index])) for index, row in zip(best, probabilities, strict=True)]
