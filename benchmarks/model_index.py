"""The built-in models: `models/NAME.sqz`, their index, and a card for each in `docs/models`.

`python -m benchmarks.model_index NAME...` takes the file that each pipeline wrote into `OUT/NAME`, and measures it and
the float network on the same labeled photos. Models that are not named stay as they are.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import click

from benchmarks.benchmark_command import benchmark_command
from benchmarks.builtin_model_card import builtin_model_card
from compress import container
from compress.builtin_models import BuiltinModel, builtin_models, models_folder
from compress.builtin_pipelines import find_pipeline
from compress.cli import console
from compress.configuration.config import read_pipeline
from compress.evaluation.compare import compare_models
from compress.evaluation.comparison_record import ModelComparison
from compress.pipeline.runner import MODEL_FILE
from compress.runtime.atomic_files import write_atomically

_PATH = click.Path(path_type=Path)
_CARDS = Path("docs/models")


@benchmark_command()
@click.argument("names", nargs=-1, required=True)
@click.option("--data", default="../shared/data/validation-1000.csv", show_default=True, help="Labeled photos.")
@click.option("--out", default="out", show_default=True, type=_PATH, help="Folder of runs.")
def main(names: tuple[str, ...], data: str, out: Path) -> None:
    """Add the files of pipelines NAMES to the built-in models."""
    models = builtin_models()
    _CARDS.mkdir(exist_ok=True)
    for name in names:
        file = out / name / MODEL_FILE
        reference = out / name / "float.sqz"
        write_atomically(reference, container.encode(read_pipeline(find_pipeline(name)).model.load()))
        comparison = compare_models(str(reference), str(file), data, progress=console.progress)
        models[name] = _measured(name, file, comparison)
        shutil.copyfile(file, models[name].path)
        card = builtin_model_card(models[name], container.read(file), comparison)
        write_atomically(_CARDS / f"{name}.md", card.encode())
    rows = [dataclasses.asdict(model) for model in models.values()]
    write_atomically(models_folder() / "index.json", (json.dumps(rows, indent=2) + "\n").encode())


def _measured(name: str, file: Path, comparison: ModelComparison) -> BuiltinModel:
    before, after = comparison.a.accuracy, comparison.b.accuracy
    agreement, divergence = comparison.agreement, comparison.divergence_nats
    if before is None or after is None or agreement is None or divergence is None:
        raise click.UsageError("the photos have no labels")
    return BuiltinModel(
        name=name,
        file_bytes=comparison.b.file_bytes,
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        photos=after.photos,
        top1=after.top1.value,
        top5=after.top5.value,
        float_top1=before.top1.value,
        float_top5=before.top5.value,
        agreement=agreement.value,
        divergence_nats=divergence.value,
    )


if __name__ == "__main__":
    main()
