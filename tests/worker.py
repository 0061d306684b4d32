"""What one of several processes does in `test_ranks`: each part of a run that they share, its results in a file."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from compress.container.file import weights_sha256
from compress.data.digits import Digits
from compress.evaluation import metrics
from compress.networks.user_network import Own
from compress.passes import Context, Distill, Share, Train
from compress.runtime import distributed
from compress.runtime.distributed import ALONE, Ranks


def results(of: Ranks, store: Path | None = None) -> dict[str, np.ndarray]:
    """Everything that processes do together, on a network with batch norms and depthwise layers."""
    model = Own(factory="own_networks:mobilenet", size=32, resize="squash").load()
    calibration = Digits(limit=47).load(model.preprocessing, "calibration", classes=10)
    photos = Digits(limit=110).load(model.preprocessing, "validation", classes=10)
    context = Context(model, calibration, ranks=of, store=store)
    found = {}
    for what, statistics in (("once", context.statistics(None)), ("views", context.row_statistics(30, 2))):
        for name in model.weight_names():
            layer = statistics[name]
            for part in ("moment", "output_cost", "bias_cost"):
                found[f"{what} {name} {part}"] = getattr(layer, part)
    shared = Share(bits=3)(model, context)
    for name, parts in context.parts_of_layers(shared, model, 47).items():
        found[f"parts {name}"] = parts
    network = context.network(model)
    found["logits"] = metrics.run(network, photos, model.preprocessing, context.progress, of).logits
    options = {"epochs": 2, "batch": 15, "learning_rate": 0.01, "dropout": 0.0}
    still = Own(factory="own_networks:mobilenet", args={"norms": False}, size=32, resize="squash").load()
    trained = Train(**options)(still, Context(still, calibration, ranks=of, store=store))
    moved = Train(**options, views=True, held_out=0)(model, context)
    distilled = Distill(steps=4, batch=9)(shared, context)
    for what, made in (("trained", trained), ("moved", moved), ("distilled", distilled)):
        for name, tensor in made.tensors.items():
            found[f"{what} {name}"] = tensor.to_dense()
    found["same everywhere"] = np.array([weights_sha256(trained), weights_sha256(distilled)])
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    with distributed.joined(torch.device("cpu")) as together:
        assert together != ALONE
        folder = Path(sys.argv[1])
        np.savez(folder / f"{together.number}.npz", **results(together, folder / "cache"))
