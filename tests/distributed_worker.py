"""The program of each process in `test_distributed`: runs everything that processes share and saves the results."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from compress.calibration.photo_batches import network_inputs
from compress.container.file import weights_sha256
from compress.context import Context
from compress.data.digits import Digits
from compress.evaluation import metrics
from compress.model import Model
from compress.passes import Distill, Quantize, Share, Train
from compress.runtime.distributed import SINGLE_PROCESS, ProcessGroup, join_process_group
from compress.weights.user_network import UserNetwork

Results = dict[str, np.ndarray]


def mobilenet(**args: bool) -> Model:
    """Return a network with depthwise layers and, by default, batch norms."""
    return UserNetwork(factory="user_networks:mobilenet", args=args, input_size=32, resize="squash").load()


def results(processes: ProcessGroup, store: Path | None = None) -> Results:
    """Return statistics, logits and trained weights by name, computed by all processes together."""
    model, no_norms = mobilenet(), mobilenet(norms=False)
    calibration = Digits(limit=47).load(model.preprocessing, "calibration", classes=10)
    context = Context(model, calibration, processes=processes, store=store)
    shared = Share(bits=3)(model, context)
    quantized = Quantize(lambda_=1e-4, sensitivity_photos=0, trellis=False)(model, context)
    options = {"epochs": 2, "batch": 15, "learning_rate": 0.01, "dropout": 0.0}
    trained = Train(**options)(no_norms, Context(no_norms, calibration, processes=processes, store=store))
    trained_with_norms = Train(**options, validation_split=0)(model, context)
    two_heads = UserNetwork(factory="user_networks:HeadOfEachMode", input_size=32, resize="squash").load()
    decayed = Train(**options, weight_decay=1.0, validation_split=0)(
        two_heads, Context(two_heads, calibration, processes=processes)
    )
    distilled = Distill(steps=4, batch=9)(shared, context)
    return {
        **statistics(context, shared),
        **statistics_of_experts(processes),
        "logits": logits(context),
        **tensors("trained", trained),
        **tensors("trained two heads", decayed),
        **tensors("norms", trained_with_norms),
        **tensors("distilled", distilled),
        **tensors("quantized", quantized),
        "weights": np.array([weights_sha256(trained), weights_sha256(distilled), weights_sha256(quantized)]),
    }


def statistics(context: Context, compressed: Model) -> Results:
    model, found = context.reference, {}
    both = {"layer": context.fisher.layer_statistics(None), "row": context.fisher.row_statistics(30, 2)}
    for kind, by_layer in both.items():
        for name in model.weight_names():
            for field in ("input_factor", "row_fisher", "bias_fisher"):
                found[f"statistics {kind} {name} {field}"] = getattr(by_layer[name], field)
    for name, values in context.fisher.layer_contributions(compressed, model, 47, context.stage_seed).items():
        found[f"statistics contributions {name}"] = values
    return found


def statistics_of_experts(processes: ProcessGroup) -> Results:
    """Return the statistics of a network whose experts each take ten photos, which one process sees alone."""
    photos = Digits(limit=47).load(mobilenet().preprocessing, "calibration", classes=10)
    order = photos.pixels.mean((1, 2, 3)).argsort(kind="stable")
    photos = replace(photos, pixels=photos.pixels[order], names=tuple(photos.names[index] for index in order))
    brightness = network_inputs(photos.pixels, mobilenet().preprocessing, torch.device("cpu")).mean((1, 2, 3))
    bounds = [float(brightness[first - 1 : first + 1].mean()) for first in range(10, 47, 10)]
    source = UserNetwork(factory="user_networks:Experts", args={"bounds": bounds}, input_size=32, resize="squash")
    context = Context(source.load(), photos, processes=processes)
    assert len(context.reference.weight_names()) == 7
    found = {"layer": context.fisher.layer_statistics(None), "row": context.fisher.row_statistics(None)}
    assert [list(layers)[-1] for layers in found.values()] == ["head.weight"] * 2  # the classifier comes last
    return {
        f"statistics {kind} {name} {field}": getattr(layer, field)
        for kind, layers in found.items()
        for name, layer in layers.items()
        for field in ("input_factor", "row_fisher", "bias_fisher")
    }


def logits(context: Context) -> np.ndarray:
    model = context.reference
    photos = Digits(limit=110).load(model.preprocessing, "validation", classes=10)
    network = context.network(model)
    return metrics.run(network, photos, model.preprocessing, context.progress, context.processes).logits


def tensors(prefix: str, model: Model) -> Results:
    return {f"{prefix} {name}": tensor.to_dense() for name, tensor in model.tensors.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with join_process_group(torch.device("cpu")) as processes:
        assert processes != SINGLE_PROCESS
        folder = Path(sys.argv[1])
        np.savez(folder / f"{processes.rank}.npz", **results(processes, folder / "cache"))
