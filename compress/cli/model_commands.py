"""The commands on model files and networks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compress.builtin_models import BuiltinModel, builtin_models
from compress.cli import console, options
from compress.errors import ConfigError, nearest

if TYPE_CHECKING:
    from compress.container.inspection import Inspection
    from compress.export import WeightFormat
    from compress.networks.description import LayerDescription

_model_argument = click.argument("model", type=options.ModelFile())


@click.command()
@options.as_json
def models(as_json: bool) -> None:
    """List the built-in models.

    Every command takes their names in place of a file. Accuracy is measured on labeled photos of ImageNet's classes.

    Example: squeeze-compress models --json
    """
    builtin = builtin_models().values()
    if as_json:
        console.say_json([asdict(model) for model in builtin])
    else:
        _show_models(builtin)


@click.command()
@_model_argument
@options.as_json
@options.max_weights
def inspect(model: Path, as_json: bool, max_weights: int | None) -> None:
    """List the tensors of a .sqz file and their bytes.

    Shows for each tensor of MODEL the shape, the nonzero weights, the codec and the bytes of each component.

    Example: squeeze-compress inspect model.sqz
    """
    from compress.container.inspection import inspect_file  # noqa: PLC0415

    inspection = inspect_file(model, max_weights)
    if as_json:
        console.say_json(inspection.to_json())
    else:
        _show_inspection(inspection)


@click.command()
@_model_argument
@options.as_json
@options.max_weights
def verify(model: Path, as_json: bool, max_weights: int | None) -> None:
    """Check a .sqz file and print the hash of its weights.

    Decodes all of MODEL and checks every checksum.

    Example: squeeze-compress verify model.sqz
    """
    from compress import container  # noqa: PLC0415

    decoded = container.read(model, max_weights)
    file_bytes, sha256 = model.stat().st_size, container.weights_sha256(decoded)
    if as_json:
        record = {
            "file": str(model),
            "file_bytes": file_bytes,
            "tensors": len(decoded.tensors),
            "weights_sha256": sha256,
        }
        console.say_json(record)
    else:
        console.say(f"{model}: valid; {len(decoded.tensors)} tensors, {file_bytes:,} bytes")
        console.say(f"sha256 of the decoded weights: {sha256}")


@click.command()
@_model_argument
@click.option("-o", "--output", required=True, type=options.NEW_FILE)
@click.option(
    "--weights",
    type=click.Choice(["float32", "codebook"]),
    default="float32",
    show_default=True,
    help="In .onnx: float32 values, or small integers that the runtime converts to the same float32 values.",
)
@click.option("--force", is_flag=True, help="Overwrite OUTPUT without a question.")
@options.as_json
@options.factory
@options.max_weights
def decompress(
    model: Path, output: Path, weights: WeightFormat, force: bool, as_json: bool, factory: str | None,
    max_weights: int | None,
) -> None:  # fmt: skip
    """Convert a .sqz file to .safetensors, .pth or .onnx.

    .safetensors and .pth hold the float32 weights of MODEL under torchvision's tensor names; .onnx holds the network.

    Example: squeeze-compress decompress model.sqz -o model.onnx
    """
    from compress import container  # noqa: PLC0415
    from compress.export import write_weights  # noqa: PLC0415
    from compress.model import trust_factory  # noqa: PLC0415

    decoded = trust_factory(container.read(model, max_weights), factory)
    options.confirm_overwrite(output, force=force)
    write_weights(decoded, output, weights)
    console.show_written([output], as_json=as_json)


@click.command()
@click.argument("network")
@click.option(
    "--classes", type=options.Integer(1, 1_000_000), default=1000, show_default=True, help="Number of classes."
)
@click.option(
    "--input", "side", type=options.Integer(32, 4096), default=227, show_default=True, help="Input side, pixels."
)
@options.as_json
@options.factory
def describe(network: str, classes: int, side: int, as_json: bool, factory: str | None) -> None:
    """List the layers of a network.

    Shows output shapes, parameters and multiply-accumulates (MACs) of NETWORK: squeezenet1_0, squeezenet1_1, a built-in
    model or a model file; and whether it runs in C, or what hinders it.

    Example: squeeze-compress describe squeezenet1_1
    """
    from compress.networks.description import describe_model, describe_network  # noqa: PLC0415
    from compress.networks.modules import NETWORKS  # noqa: PLC0415
    from compress.networks.program import program_problem  # noqa: PLC0415

    problem, names = "", (*NETWORKS, *builtin_models())
    if Path(network).is_file() or network in builtin_models():
        from compress.weights.model_files import load_named_model  # noqa: PLC0415

        model = load_named_model(network, None, factory)
        network, layers, problem = model.architecture, describe_model(model), program_problem(model)
    elif network in NETWORKS:
        layers = describe_network(network, classes, side, side)
    else:
        unknown = f"{network!r} is neither a network, a file nor a built-in model{nearest(network, names)}"
        raise ConfigError(unknown, allowed=f"a model file, or one of {', '.join(names)}")
    if as_json:
        rows = [asdict(layer) for layer in layers]
        console.say_json({"network": network, "layers": rows, "runs_in_c": not problem, "problem_in_c": problem})
    else:
        _show_layers(network, layers)
        console.say(f"runs in C: no: {problem}" if problem else "runs in C: yes")


COMMANDS = (models, inspect, verify, decompress, describe)


def _show_models(models: Iterable[BuiltinModel]) -> None:
    """Print the built-in models with the accuracy of their files."""
    columns = ("model", "bytes", "top-1", "change", "top-5", "change", "agreement", "KL, nats")
    console.show_table(
        columns,
        [
            [
                model.name, f"{model.file_bytes:,}",
                f"{model.top1:.1%}", f"{(model.top1 - model.float_top1) * 100:+.1f}",
                f"{model.top5:.1%}", f"{(model.top5 - model.float_top5) * 100:+.1f}",
                f"{model.agreement:.1%}", f"{model.divergence_nats:.3f}",
            ]
            for model in models
        ],
    )  # fmt: skip
    console.say(
        "\nMeasured on 1,000 labeled photos. Change (points), agreement and KL are from the float network."
        "\nClassify a photo: squeeze-compress predict NAME photo.jpg"
    )


def _show_inspection(inspection: Inspection) -> None:
    from compress.networks.network_class_names import describe_outputs  # noqa: PLC0415

    model, layout = inspection.model, inspection.layout
    network = f"{console.shortened(model.architecture)}, {describe_outputs(model)}"
    console.say(f"{inspection.file}: {layout.file_bytes:,} bytes, {network}")
    has_labels, runs_in_c = ("yes" if each else "no" for each in (model.labels, inspection.runs_in_c))
    image = model.preprocessing
    console.say(f"input: {image.height}x{image.width} {image.channels}, {image.resize}; "
                f"class names: {has_labels}; runs in C: {runs_in_c}")  # fmt: skip
    parts = {
        "indices": [tensor.index_bytes for tensor in layout.tensors],
        "positions": [tensor.position_bytes for tensor in layout.tensors],
        "codebook": [tensor.codebook_bytes for tensor in layout.tensors],
        "scales": [tensor.scale_bytes for tensor in layout.tensors],
    }
    used = {name: sizes for name, sizes in parts.items() if any(sizes)}
    rows = [
        (
            tensor.name, "x".join(map(str, tensor.shape)), tensor.form, tensor.codec,
            f"{tensor.nonzero_weights / max(tensor.weights, 1):.1%}",
            f"{tensor.codebook_entries:,}" if tensor.codebook_entries else "", f"{tensor.bits_per_weight:.2f}",
            *(f"{sizes[index]:,}" for sizes in used.values()),
        )
        for index, tensor in enumerate(layout.tensors)
    ]  # fmt: skip
    columns = ("tensor", "shape", "form", "codec", "nonzero", "alphabet", "bits/weight", *used)
    console.show_table(columns, rows, text_columns=4)
    console.say(f"header and checksums {layout.header_bytes:,} bytes, class names {layout.label_bytes:,} bytes")
    console.say(f"sha256 of the decoded weights: {inspection.weights_sha256}")


def _show_layers(network: str, layers: Sequence[LayerDescription]) -> None:
    def count(number: int) -> str:
        return f"{number:,}" if number else ""

    rows = [
        (layer.name, layer.kind, "x".join(map(str, layer.output)), count(layer.parameters),
         count(layer.multiply_accumulates))
        for layer in layers
    ]  # fmt: skip
    parameters = sum(layer.parameters for layer in layers)
    multiply_accumulates = sum(layer.multiply_accumulates for layer in layers)
    console.say(network)
    total = ("total", "", "", f"{parameters:,}", f"{multiply_accumulates:,}")
    columns = ("layer", "kind", "output", "parameters", "MACs")
    console.show_table(columns, [*rows, total], text_columns=2)
