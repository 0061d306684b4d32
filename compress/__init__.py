"""Compresses a trained SqueezeNet or your own network, and measures how much accuracy the file keeps.

`load` returns a torch module, `read` numpy arrays. The other functions do the same as the commands of their names. Only
`read`, `inspect` and `models` work without torch. Every error that a user can meet is a `SqueezeError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from compress.errors import ConfigError, SqueezeError, torch_required

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from compress.builtin_models import BuiltinModel
    from compress.container.inspection import Inspection
    from compress.data.class_index import LabelRule
    from compress.evaluation.comparison_record import ModelComparison
    from compress.evaluation.evaluate import Evaluation
    from compress.evaluation.results import Prediction
    from compress.pipeline.runner import RunResult

__version__ = "0.1.0"

__all__ = [
    "SqueezeError",
    "__version__",
    "compare",
    "evaluate",
    "inspect",
    "load",
    "models",
    "predict",
    "read",
    "run",
]

# The functions import what they need: `read` works without torch.


def models() -> Mapping[str, BuiltinModel]:
    """Return the built-in models by name, the largest file first, with bytes and accuracy."""
    from compress.builtin_models import builtin_models  # noqa: PLC0415

    return builtin_models()


def inspect(path: str | PathLike[str]) -> Inspection:
    """Return what is in a `.sqz` file or a built-in model: `layout` has the bytes of each part, `model` the rest.

    Raises:
        FormatError: the file breaks the format.
        ConfigError: there is neither such a file nor such a built-in model.
    """
    from compress.builtin_models import find_model  # noqa: PLC0415
    from compress.container.inspection import inspect_file  # noqa: PLC0415

    return inspect_file(find_model(str(path)))


def read(path: str | PathLike[str]) -> dict[str, NDArray[np.float32]]:
    """Read the float32 weights of a `.sqz` file or a built-in model, by torchvision's tensor names, without torch.

    Raises:
        FormatError: the file breaks the format.
        ConfigError: there is neither such a file nor such a built-in model.
    """
    from compress import container  # noqa: PLC0415
    from compress.builtin_models import find_model  # noqa: PLC0415

    return {name: tensor.to_dense() for name, tensor in container.read(find_model(str(path))).tensors.items()}


@torch_required()
def load(path: str | PathLike[str], factory: str | None = None) -> nn.Module:
    """Read a `.sqz` file or a built-in model as a torch module in evaluation mode.

    In a notebook it shows the bytes of its file, by component and by tensor.
    `compress.data.transforms` prepares photos for it with the file's preprocessing.

    Args:
        path: the file, or the name of a built-in model (`squeeze-compress models`).
        factory: `package.module:function` that builds your own network; called only if you name it here.

    Raises:
        FormatError: the file breaks the format.
        WeightsError: its tensors do not fit its network.
        ConfigError: no such file or model, the file names another function, or the function cannot be imported.
    """
    from compress import container  # noqa: PLC0415
    from compress.builtin_models import find_model  # noqa: PLC0415
    from compress.model import trust_factory  # noqa: PLC0415
    from compress.networks.modules import to_native_module  # noqa: PLC0415
    from compress.networks.notebook_view import with_view  # noqa: PLC0415

    file = find_model(str(path))
    model = trust_factory(container.read(file), factory)
    return with_view(to_native_module(model), model, file.read_bytes())


@torch_required()
def predict(
    model: str | PathLike[str],
    photos: str | PathLike[str] | Iterable[str | PathLike[str]],
    *,
    k: int = 5,
    architecture: str | None = None,
    factory: str | None = None,
    device: str | None = None,
) -> dict[Path, tuple[Prediction, ...]]:
    """Return the `k` most probable classes of each photo, best first.

    Args:
        model: as in `compare`.
        photos: files, and folders of photos; or one of them.
        k: number of classes, at least 1.
        architecture: as in `compare`.
        factory: as in `load`.
        device: None: a GPU if there is one.

    Raises:
        SqueezeError: the model cannot be used, or a photo cannot be read.
    """
    from compress.evaluation.evaluate import predict_photos  # noqa: PLC0415
    from compress.weights.model_files import load_named_model  # noqa: PLC0415

    if k < 1:
        raise ConfigError(f"{k} classes", key="k", allowed="at least 1")
    paths = [photos] if isinstance(photos, str | PathLike) else photos
    loaded = load_named_model(str(model), architecture, factory)
    return dict(predict_photos(loaded, [Path(photo) for photo in paths], device, k))


@torch_required()
def evaluate(
    model: str | PathLike[str],
    data: str | PathLike[str],
    *,
    limit: int | None = None,
    architecture: str | None = None,
    factory: str | None = None,
    device: str | None = None,
    labels: LabelRule = "auto",
    label_column: str | None = None,
) -> Evaluation:
    """Measure top-1 and top-5 of a model on labeled photos.

    Args:
        model: as in `compare`.
        data: labeled photos: a folder with one subfolder for each class, or a CSV file.
        limit: maximum number of photos, evenly spread.
        architecture: as in `compare`.
        factory: as in `load`.
        device: None: a GPU if there is one.
        labels: as in `compare`.
        label_column: as in `compare`.

    Raises:
        SqueezeError: the model cannot be used, or the photos have no labels or cannot be read.
    """
    _check_data(limit, labels)
    from compress.evaluation.evaluate import evaluate_model  # noqa: PLC0415
    from compress.weights.model_files import load_named_model  # noqa: PLC0415

    loaded = load_named_model(str(model), architecture, factory)
    return evaluate_model(loaded, Path(data), limit, device, labels=labels, label_column=label_column)


@torch_required()
def compare(
    a: str | PathLike[str],
    b: str | PathLike[str],
    data: str | PathLike[str],
    *,
    limit: int | None = None,
    architecture: str | None = None,
    factory: str | None = None,
    device: str | None = None,
    labels: LabelRule = "auto",
    label_column: str | None = None,
) -> ModelComparison:
    """Compare two models on the same photos, as `squeeze-compress compare` does.

    Args:
        a: the reference: a `.sqz` file, a checkpoint, a built-in model, or `embedded`.
        b: like `a`.
        data: photos, labeled or not: a folder, a CSV file, or `samples` for the installed ones.
        limit: maximum number of photos, evenly spread.
        architecture: network of a checkpoint; None: the one that fits its first layer.
        factory: as in `load`.
        device: None: a GPU if there is one.
        labels: match class folders to class `names`, take their sorted `order` for the classes, or `none`.
        label_column: column of a CSV file with the class.

    Raises:
        SqueezeError: a model or the photos cannot be used, or the models have different numbers of classes.
    """
    _check_data(limit, labels)
    from compress.evaluation.compare import compare_models  # noqa: PLC0415

    return compare_models(
        str(a),
        str(b),
        str(data),
        limit=limit,
        architecture=architecture,
        factory=factory,
        device=device,
        labels=labels,
        label_column=label_column,
    )


@torch_required()
def run(
    pipeline: str | PathLike[str],
    out: str | PathLike[str],
    overrides: str | Iterable[str] = (),
    *,
    cache: str | PathLike[str] | None = None,
    fresh: bool = False,
    device: str | None = None,
) -> RunResult:
    """Run a pipeline, as `squeeze-compress run` does. The processes of `torchrun` share the work and the result.

    Args:
        pipeline: a YAML file, or the name of a built-in pipeline.
        out: folder for the results.
        overrides: `KEY=VALUE` each, or one of them.
        cache: folder for intermediate results; None: `out`/cache.
        fresh: neither read nor write the cache.
        device: None: a GPU if there is one.

    Raises:
        SqueezeError: the run failed. A missed goal is no failure, see `RunResult.goal_met`.
    """
    from compress.builtin_pipelines import find_pipeline  # noqa: PLC0415
    from compress.configuration.config import read_pipeline  # noqa: PLC0415

    overrides = (overrides,) if isinstance(overrides, str) else tuple(overrides)
    spec = read_pipeline(find_pipeline(str(pipeline)), overrides)  # before the slow imports
    from compress.pipeline import runner  # noqa: PLC0415
    from compress.pipeline.environment import run_command  # noqa: PLC0415
    from compress.runtime.devices import find_device  # noqa: PLC0415
    from compress.runtime.distributed import join_process_group  # noqa: PLC0415

    own_device = find_device(device)
    with join_process_group(own_device) as processes:
        return runner.run(
            spec,
            Path(out),
            cache=Path(cache) if cache else None,
            fresh=fresh,
            command=run_command(str(pipeline), None, overrides),
            device=str(own_device),
            processes=processes,
        )


def _check_data(limit: int | None, labels: str) -> None:
    from compress.data.class_index import LabelRule  # noqa: PLC0415

    if limit is not None and limit < 1:
        raise ConfigError(f"{limit} photos", key="limit", allowed="at least 1")
    if labels not in get_args(LabelRule):
        raise ConfigError(f"unknown rule {labels!r}", key="labels", allowed=", ".join(get_args(LabelRule)))
