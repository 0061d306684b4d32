"""Weights of a network that the user's own code makes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import ConfigDict, Field, JsonValue, model_validator
from pydantic.dataclasses import dataclass
from torch import nn

from compress.errors import ConfigError, WeightsError
from compress.model import Model, Preprocessing
from compress.networks.checkpoint import existing, read_checkpoint, read_labels
from compress.networks.factory import Factory
from compress.networks.folding import fold_batch_norms
from compress.networks.layer_calls import recorded
from compress.networks.modules import as_dense, no_photo, stored_tensors
from compress.networks.preprocessing_options import Named, Preparation, prepared

_LARGEST_EXACT = 1 << 24
"""Whole numbers up to here are exact in float32."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Own:
    """A network of the user's own: any `torch.nn.Module` that takes photos and gives logits.

    Its code runs, as if it were imported in Python. Weights of convolutions (`Conv1d`, `Conv2d`) and linear layers are
    what passes compress; all else is stored as it is.

    Attributes:
        factory: the function that makes it, `package.module:function`; it is looked for on the Python path and in the
            folder where the program runs.
        args: the function's keyword arguments.
        checkpoint: `.safetensors`, `.pth` or `.pt` with the network's state; without one the weights are those that the
            function gives, its random numbers drawn from the run's seed.
        fold_batch_norm: fold batch norms into the convolutions and linear layers before them.
        preprocessing: what its photos looked like in training: `torchvision`, `caffe`, or all of it.
        size: rows and columns of its input, 16 to 4,096; the preprocessing's own if not given.
        resize: `squash` resizes the whole photo, `crop` its short side and takes the centre; the preprocessing's own if
            not given.
        labels: text file with one class name a line.
    """

    factory: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$", description="package.module:function")]
    source: Literal["factory"] = "factory"
    args: Mapping[str, JsonValue] = Field(default_factory=dict)
    checkpoint: str | None = None
    fold_batch_norm: bool = False
    preprocessing: Named | Preparation = "torchvision"
    size: Annotated[int, Field(ge=16, le=4096)] | None = None
    resize: Literal["squash", "crop"] | None = None
    labels: str | None = None

    @model_validator(mode="after")
    def _one_way_to_prepare_photos(self) -> Own:
        if isinstance(self.preprocessing, Preparation) and (self.size or self.resize):
            raise ValueError("preprocessing says height, width and resize itself; leave out size and resize")
        return self

    @property
    def description(self) -> str:
        """Where the weights come from, for the report."""
        weights = Path(self.checkpoint).name if self.checkpoint else "as the function makes them"
        return f"the network of {self.factory}, its weights {weights}"

    def load(self, seed: int = 0) -> Model:
        """Make the network and read its weights.

        Args:
            seed: of the weights, where there is no checkpoint.
        Raises:
            ConfigError: the function cannot be imported or called, the network takes no photos of this size or gives no
                logits, or a file is missing.
            WeightsError: the checkpoint is unreadable or of another network, a weight is not finite, batch norms cannot
                be folded, or the labels do not fit.
        """
        factory = Factory(self.factory, self.args, self.fold_batch_norm)
        network = factory.made(seed)
        if self.checkpoint:
            _load_state(network, existing(self.checkpoint, "checkpoint"), self.factory)
        if self.fold_batch_norm:
            fold_batch_norms(network)
        preprocessing = prepared(self.preprocessing, self.size, self.resize)
        classes, weights = _probed(network, preprocessing)
        labels = read_labels(existing(self.labels, "labels")) if self.labels else ()
        if labels and len(labels) != classes:
            raise WeightsError(f"{self.labels}: {len(labels):,} class names for {classes:,} classes")
        stored = stored_tensors(network)
        for name, tensor in stored.items():
            _check(name, tensor)
        tensors = {name: as_dense(tensor) for name, tensor in stored.items()}
        biases = {f"{name.removesuffix('weight')}bias" for name in weights}
        as_is = frozenset(set(tensors) - weights - biases)
        return Model(factory.architecture, classes, preprocessing, tensors, labels, as_is, trusted=True)


def _load_state(network: nn.Module, checkpoint: Path, function: str) -> None:
    """Give a network the tensors of a checkpoint, all of them."""
    state = {name: torch.from_numpy(array) for name, array in read_checkpoint(checkpoint).items()}
    try:
        unknown = network.load_state_dict(state, strict=False)
    except RuntimeError as error:  # tensors of other shapes
        said = " ".join(str(error).split("\n\t")[1:]) or str(error)
        raise WeightsError(f"{checkpoint}: not of the network of {function}: {said}") from error
    given = {id(tensor) for name, tensor in network.state_dict(keep_vars=True).items() if name in state}
    stored = stored_tensors(network).items()  # of a tensor with two names the checkpoint may have the other
    missing = [name for name, tensor in stored if name not in state and id(tensor) not in given]
    faults = [*(f"missing {name}" for name in missing), *(f"extra {name}" for name in unknown.unexpected_keys)]
    if faults:
        more = f"; and {len(faults) - 8} more" if len(faults) > 8 else ""
        raise WeightsError(f"{checkpoint}: not of the network of {function}: {'; '.join(faults[:8])}{more}")


def _probed(network: nn.Module, preprocessing: Preprocessing) -> tuple[int, set[str]]:
    """Run a photo of no content; return how many classes the network tells apart, and the weights that it ran."""
    pre = preprocessing
    try:
        with recorded(network) as calls, torch.no_grad():
            logits: Any = network(no_photo(pre))
    except Exception as error:  # it is the user's own code
        problem = f"the network does not take photos of {pre.height} x {pre.width} pixels in {pre.channels}"
        raise ConfigError(f"{problem}: {type(error).__name__}: {error}", key="model") from error
    if not isinstance(logits, torch.Tensor) or logits.dim() != 2 or len(logits) != 1:
        shape = f"a tensor of {tuple(logits.shape)}" if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ConfigError(f"the network gives {shape} for one photo, and not logits of (1, classes)", key="model")
    weights = {call.weight for call in calls}
    if not weights:
        raise ConfigError("the network has no convolution and no linear layer to compress", key="model")
    return logits.shape[1], weights


def _check(name: str, tensor: torch.Tensor) -> None:
    values = tensor.detach()
    if values.is_complex() or not torch.isfinite(values).all():
        raise WeightsError(f"{name}: holds values that are not finite real numbers, which no file can have")
    if not values.is_floating_point() and values.numel() and int(values.to(torch.int64).abs().max()) > _LARGEST_EXACT:
        raise WeightsError(f"{name}: holds whole numbers above {_LARGEST_EXACT:,}, which float32 cannot tell apart")
