"""The built-in models: files of reference pipelines and what was measured on them, by name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from compress.errors import ConfigError, nearest
from compress.runtime.file_names import escape_undecodable

EMBEDDED, SAMPLES = "embedded", "samples"
"""Names of the installed float weights and photos, where a file is expected."""

_IN_WHEEL = Path(__file__).parent / "ready_models"
_IN_CHECKOUT = Path(__file__).parents[1] / "models"


@dataclass(frozen=True)
class BuiltinModel:
    """A model that comes with the package. `benchmarks/model_index.py` measures it.

    Attributes:
        sha256: hash of the file.
        photos: number of labeled photos; the fractions from 0 to 1 are measured on them.
        float_top1: top-1 of the float network, as `float_top5`.
        agreement: fraction of photos with the float network's top-1 class.
        divergence_nats: mean Kullback-Leibler divergence from the float network.
    """

    name: str
    file_bytes: int
    sha256: str
    photos: int
    top1: float
    top5: float
    float_top1: float
    float_top5: float
    agreement: float
    divergence_nats: float

    @property
    def path(self) -> Path:
        return models_folder() / f"{self.name}.sqz"


def models_folder() -> Path:
    """Return the folder with the files and their index."""
    return _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CHECKOUT


def builtin_models() -> dict[str, BuiltinModel]:
    """Return the built-in models by name, the largest file first."""
    rows = json.loads((models_folder() / "index.json").read_text("utf-8"))
    models = sorted((BuiltinModel(**row) for row in rows), key=lambda model: -model.file_bytes)
    return {model.name: model for model in models}


def find_model(name: str) -> Path:
    """Return the path of a model file, or of the built-in model of that name. A file takes precedence.

    Raises:
        ConfigError: there is neither.
    """
    if Path(name).is_file():
        return Path(name)
    builtin = builtin_models()
    if name in builtin:
        return builtin[name].path
    if Path(name).is_dir():
        inside = next((f", such as {escape_undecodable(str(file))}" for file in sorted(Path(name).glob("*.sqz"))), "")
        raise ConfigError(f"{name!r} is a folder; name a model file in it{inside}")
    if Path(name).is_symlink():
        raise ConfigError(f"{name!r} is a link to a file that does not exist")
    if Path(name).exists():
        raise ConfigError(f"{name!r} is a pipe or a device; save what it gives as a file")
    raise ConfigError(
        f"{name!r} is neither a file nor a built-in model{nearest(name, builtin)}",
        allowed="a model file, or one of " + ", ".join(builtin),
    )
