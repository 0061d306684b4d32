"""Pipelines without YAML: the recipe follows from the network and the wanted size."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from compress.builtin_models import EMBEDDED, SAMPLES
from compress.builtin_pipelines import builtin_pipelines
from compress.configuration.config import Pipeline, parse_pipeline
from compress.configuration.yaml_document import parse_document, read_document
from compress.configuration.yaml_text import dump_yaml
from compress.data.idx import has_idx_files
from compress.data.sources import check_label_column
from compress.errors import ConfigError
from compress.model import TORCHVISION, Model, Preprocessing
from compress.passes.rate_distortion_pass import RateDistortionPass
from compress.weights.foreign_files import folder_problem

Options = Mapping[str, Any]

_MIN_HUFFMAN_BITS = 3.0
"""Bits a weight from which codebooks with Huffman codes lose little: 463 kB for SqueezeNet v1.1."""

_VALIDATION_SPLIT = 0.2
_WIDTH = 100


def smallest_within(pipeline: Pipeline, max_drop: float) -> tuple[str, ...]:
    """Return the overrides that make a pipeline search for the smallest file within a drop of top-1.

    Args:
        pipeline: with a stage `quantize` or `share`; the last one searches.
        max_drop: percentage points.
    Raises:
        ConfigError: there is no such stage.
    """
    searching = [stage for stage in pipeline.stages if isinstance(stage.pass_, RateDistortionPass)]
    if not searching:
        problem = "the pipeline has no stage whose lambda can be searched"
        raise ConfigError(problem, key="--max-drop", allowed="a pipeline with a stage quantize or share")
    key = f"stages.{searching[-1].name}"
    return f"{key}.lambda=null", f"{key}.bytes=smallest", f"goal={{max_top1_drop: {max_drop:g}}}"


def pipeline_for(file: Path, model: Options, data: Options, goal: Options, overrides: Iterable[str] = ()) -> Pipeline:
    """Return the pipeline that compresses a network to a number of bytes, or as far as a goal allows.

    Args:
        file: where the pipeline will be; its stem is the name.
        model: section `model`, see `model_options`.
        data: section `data`, see `data_options`.
        goal: section `goal`: `bytes`, or limits on quality that the smallest file has to meet.
        overrides: `KEY=VALUE`, applied to the result.
    Raises:
        ConfigError: an option or an override is wrong.
        WeightsError: the weights do not fit the network.
    """
    overrides = tuple(overrides)
    of_model = [override for override in overrides if override.startswith("model.")]
    source = parse_pipeline(parse_document(dump_yaml({"model": dict(model)}), file, of_model)).model
    method, recipe = _recipe(source.load(), data, goal.get("bytes"))
    sections = {"seed": 0, "model": model, "data": data, **recipe, "goal": goal}
    description = textwrap.fill(f"Compresses {source.description}: {method}.", _WIDTH)
    parts = [textwrap.indent(description, "# "), *(dump_yaml({key: value}) for key, value in sections.items())]
    return parse_pipeline(parse_document("\n".join(parts), file, overrides))


def _recipe(network: Model, data: Options, max_bytes: int | None) -> tuple[str, Options]:
    """Return the method in words, and the sections `stages` and `encode`, and `data` if it is to be replaced."""
    if max_bytes is None or 8 * max_bytes < _MIN_HUFFMAN_BITS * network.parameter_count():
        quantize = {"pass": "quantize", "bytes": max_bytes or "smallest", "augmentations": 2}
        method = "trellis-coded quantization and adaptive arithmetic coding"
        return method, {"stages": [quantize], "encode": {"coding": "context"}}
    method = "prune, share and Huffman code, as in Deep Compression"
    encode = {"coding": "huffman"}
    if network.architecture == "squeezenet1_1":  # the sparsities of its layers are known
        ready = read_document(builtin_pipelines()["squeezenet"], [f"stages.share.bytes={max_bytes}"]).root
        same_data = {"data": ready["data"]} if data["calibration"] == {"source": SAMPLES} else {}
        return method, {**same_data, "stages": ready["stages"], "encode": encode}
    prune = {"pass": "prune", "scope": "global", "criterion": "fisher", "sparsity": 0.3, "obs_update": True}
    return method, {"stages": [prune, {"pass": "share", "bits": 8, "bytes": max_bytes}], "encode": encode}


def model_options(weights: str, architecture: str | None, factory: str | None) -> Options:
    """Return the section `model` for weights on the command line.

    Args:
        weights: a checkpoint, or `embedded`.
        architecture: network of a SqueezeNet's checkpoint; None: the one that fits its first layer.
        factory: function that makes the network.
    Raises:
        ConfigError: the weights are a folder or a compressed file, of an unknown format, or of another network.
        WeightsError: the checkpoint holds other weights.
    """
    from compress.weights.model_files import load_model  # noqa: PLC0415  imports torch

    path = Path(weights)
    if weights == EMBEDDED:
        if key := "--architecture" if architecture else "--factory" if factory else None:
            raise ConfigError("the embedded weights have a network of their own; leave this out", key=key)
        return {"source": EMBEDDED}
    if path.is_dir():
        raise ConfigError(folder_problem(path), file=path)
    if path.suffix.lower() == ".sqz":
        raise ConfigError("this file is compressed already; give the float weights", file=weights)
    if factory:
        return {"factory": factory, "checkpoint": weights}
    model = load_model(path, architecture)
    options = {"source": "checkpoint", "path": weights, "architecture": model.architecture}
    preprocessing = model.preprocessing
    return options if preprocessing == TORCHVISION else {**options, "preprocessing": _steps(preprocessing)}


def _steps(preprocessing: Preprocessing) -> Options:
    steps = {key: [*value] if isinstance(value, tuple) else value for key, value in asdict(preprocessing).items()}
    return {key: value for key, value in steps.items() if key != "short_side" or value}


def data_options(
    data: str,
    validation: Path | None,
    *,
    labels: str = "auto",
    label_column: str | None = None,
    limit: int | None = None,
) -> Options:
    """Return the section `data` for photos on the command line.

    Args:
        data: a folder, a CSV file, a folder of idx files, or `samples`.
        validation: other photos for validation; None: a fifth of `data`.
        labels: of the validation photos, as in `Folder`; calibration needs none.
        label_column: as in `Folder`.
        limit: maximum number of photos for each use.
    Raises:
        ConfigError: there is a label column, and no photos of a table.
    """
    is_samples = data == SAMPLES and not Path(data).exists()  # a folder of this name takes precedence, as in `compare`
    if validation is None and (is_samples or has_idx_files(Path(data))):
        check_label_column(label_column)
    limits = {} if limit is None else {"limit": limit}
    rule = {"labels": labels} | ({} if label_column is None else {"label_column": label_column})
    split = {"validation_split": _VALIDATION_SPLIT} if validation is None else {}
    folder = {"source": "folder", "path": data, **split, **limits}
    own = {"calibration": {**folder, "labels": "none"}, "validation": {**folder, **rule}}
    if is_samples:
        count = {} if limit is None else {"count": limit}
        own = {role: {"source": SAMPLES, **count} for role in own}
    elif has_idx_files(Path(data)):
        idx = {"source": "idx", "path": data, **limits}
        own = {"calibration": idx, "validation": {**idx, "labels": "none"} if labels == "none" else idx}
    if validation is not None:
        own["validation"] = {"source": "folder", "path": str(validation), **rule, **limits}
    return own
