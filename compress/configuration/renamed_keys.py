"""Keys, values and passes of pipeline files that earlier versions had, and the advice that an error gives for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from compress.configuration.key_paths import Key, join_keys, value_at
from compress.errors import nearest


def _renamed(**names: str) -> dict[str, str]:
    return {old: f"use {new!r} instead" for old, new in names.items()}


def _removed(names: str, advice: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), f"this option was removed: {advice}")


_FISHER = _renamed(curvature="fisher")
_SYNSETS = _removed("synsets", "a CSV file with columns 'path' and 'index' gives the class of each photo")

_ADVICE: Mapping[str, Mapping[str, str]] = {
    "pass": {"round": "use pass 'share' with 'lambda' instead"},
    "model": _renamed(size="input_size"),
    "model.preprocessing": _renamed(deviation="std"),
    "data.calibration": {
        **_removed("sample_weights", "'balance_classes: true' lets photos of rare classes count more"),
        **_SYNSETS,
    },
    "data.validation": _SYNSETS,
    "encode.coding": {"ans": "use 'context' instead"},
    "simplify": {
        **_removed("equalize equalise", "'quantize' equalizes channels itself"),
        **_removed("remove_dead dead", "dead channels are always removed"),
    },
    "prune": _renamed(kept_weights="nonzero_weights", compensation="obs_update"),
    "prune.criterion": _FISHER,
    "share": {
        **_renamed(
            slope="lambda", codebook="codebook_precision", biases="bias_precision", iterations="kmeans_iterations"
        ),
        **_removed("scales", "'lambda' and 'bytes' scale rows and columns themselves"),
    },
    "share.importance": {**_FISHER, "magnitude": "use 'fisher' or 'none' instead"},
    "quantize": {
        **_renamed(
            slope="lambda", views="augmentations", measured_photos="sensitivity_photos", biases="bias_precision"
        ),
        "kernels": "use 'kernel_transform' instead, true for coefficients and false for weights",
        **_removed("sequential", "layers are quantized independently of each other"),
    },
    "distill": {
        **_removed("temperature", "the temperature is 1"),
        **_removed("match", "the loss is on the logits"),
        **_removed("levels keep_zeros slope", "quantized weights stay on their levels"),
        **_removed("views", "each photo is used as it is and mirrored"),
        **_removed("labels", "use pass 'train' to train with labels"),
        **_removed("teacher", "the float network is the teacher"),
    },
    "train": {
        **_renamed(held_out="validation_split"),
        **_removed("nesterov", "sgd uses plain momentum"),
        **_removed("schedule power", "the learning rate falls along a cosine"),
        **_removed("views", "use 'shift' and 'flip' to augment photos"),
        **_removed("patience", "training lasts for all 'epochs'"),
        **_removed("mixed_precision compile", "the network computes in float32, uncompiled"),
    },
    "train.prune": {**_renamed(every="interval"), **_removed("begin", "pruning starts with the first step")},
    "train.prune.criterion": _FISHER,
}
"""Section (`pass`, `share`, `encode`), or section and key of a value -> old word -> advice."""


def suggestion(root: Any, keys: Sequence[Key], old: str, allowed: Iterable[str]) -> str:
    """Return the end of an error message about an unknown word: its replacement, or the most similar allowed word.

    Args:
        root: the document.
        keys: path of the mapping that has the unknown key `old`, or of the key that has the unknown value `old`.
        old: the unknown word.
        allowed: the words allowed there.
    Returns:
        text that starts with `; `, or an empty string.
    """
    advice = _ADVICE.get(_section(root, keys), {}).get(old)
    return f"; {advice}" if advice else nearest(old, allowed)


def _section(root: Any, keys: Sequence[Key]) -> str:
    """Return the section of a path, named by the pass in a stage: `stages.2.prune` is `train.prune`."""
    if len(keys) > 1 and keys[0] == "stages":
        inside = join_keys(keys[2:])
        kind = value_at(root, [*keys[:2], "pass"])
        return inside if inside == "pass" else join_keys([kind, *keys[2:]])
    return join_keys(keys)
