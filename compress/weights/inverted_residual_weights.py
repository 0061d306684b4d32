"""Weights of a network of inverted residual blocks that a JSON file describes, as ProxylessNAS and MCUNet write it."""

from __future__ import annotations

from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from typing import Literal

from pydantic import JsonValue, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from compress.errors import ConfigError
from compress.model import Model
from compress.networks.factory import INVERTED_RESIDUAL, NetworkFactory
from compress.runtime.option_types import OPTIONS, PathText
from compress.weights.source_files import CheckpointOptions, existing_file

_Activation = Literal["relu6"]

_TORCH_EPSILON = 1e-5
"""What torch's batch norms add to the variance."""


@plain_dataclass(frozen=True)
class _Layer:
    out_channels: int
    act_func: _Activation
    kernel_size: int
    stride: int
    dilation: Literal[1] = 1
    groups: Literal[1] = 1
    has_shuffle: Literal[False] = False
    use_bn: Literal[True] = True


@plain_dataclass(frozen=True)
class _PointwiseLayer(_Layer):
    kernel_size: Literal[1] = 1
    stride: Literal[1] = 1


@plain_dataclass(frozen=True)
class _Convolutions:
    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    expand_ratio: float
    act_func: _Activation
    mid_channels: int | None = None
    use_se: Literal[False] = False


@plain_dataclass(frozen=True)
class _Identity:
    name: Literal["IdentityLayer"]


@plain_dataclass(frozen=True)
class _Block:
    mobile_inverted_conv: _Convolutions
    shortcut: _Identity | None

    def to_chain(self) -> list[JsonValue]:
        """Return a `Block` of `inverted_residual`."""
        layers = self.mobile_inverted_conv
        middle = layers.mid_channels or round(layers.in_channels * layers.expand_ratio)
        return [layers.kernel_size, layers.stride, middle, layers.out_channels, int(self.shortcut is not None)]


@plain_dataclass(frozen=True)
class _Linear:
    out_features: int


@plain_dataclass(frozen=True)
class _BatchNorm:
    eps: float = _TORCH_EPSILON
    ws_eps: None = None


@plain_dataclass(frozen=True)
class _Description:
    """The part of the JSON file that is read."""

    first_conv: _Layer
    blocks: list[_Block]
    classifier: _Linear
    feature_mix_layer: _PointwiseLayer | None = None
    bn: _BatchNorm = _BatchNorm()

    def to_chain(self) -> dict[str, JsonValue]:
        """Return the arguments of `inverted_residual_network`."""
        stem, mix = self.first_conv, self.feature_mix_layer
        epsilon: dict[str, JsonValue] = {} if self.bn.eps == _TORCH_EPSILON else {"epsilon": self.bn.eps}
        return epsilon | {
            "stem": [stem.kernel_size, stem.stride, stem.out_channels],
            "blocks": [block.to_chain() for block in self.blocks],
            "head": mix.out_channels if mix else 0,
            "classes": self.classifier.out_features,
        }


@dataclass(frozen=True, config=OPTIONS)
class InvertedResidualWeights(CheckpointOptions):
    """A network of inverted residual blocks.

    Attributes:
        path: checkpoint with the network's tensors.
        architecture: JSON file that describes the network.
        fold_batch_norm: see `fold_batch_norms`.
    """

    path: PathText
    architecture: PathText
    fold_batch_norm: bool = True

    @property
    def description(self) -> str:
        return f"the inverted residual network of the checkpoint {self.described(self.path)}"

    def load(self, seed: int = 0) -> Model:
        """Read the description and the checkpoint; see `WeightSource`.

        Raises:
            ConfigError: also if the file does not describe such a network.
        """
        from compress.networks.network_class_names import default_class_names  # noqa: PLC0415
        from compress.weights.checkpoint_file import read_checkpoint  # noqa: PLC0415
        from compress.weights.factory_models import load_checkpoint, model_of  # noqa: PLC0415

        chain = _read_description(self.architecture).to_chain()
        factory = NetworkFactory(INVERTED_RESIDUAL, chain, self.fold_batch_norm)
        network = factory.call(seed)
        checkpoint = read_checkpoint(existing_file(self.path))
        notes = load_checkpoint(network, checkpoint, self.architecture, self.checkpoint_key, self.strict)
        model = model_of(network, factory, self.resolve_preprocessing())
        labels = self.class_names(model.classes, default_class_names(model.architecture, model.classes))
        return replace(model, labels=labels, source_notes=notes)


def _read_description(path: str) -> _Description:
    file = existing_file(path, "architecture")
    try:
        return TypeAdapter(_Description).validate_json(file.read_bytes())
    except ValidationError as error:
        first, *_ = error.errors()
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(
            f"{path} does not describe a network of inverted residual blocks: {place}: {first['msg']}",
            key="model.architecture",
            allowed="JSON as of ProxylessNAS and MCUNet, with activations relu6 and no squeeze-and-excitation",
        ) from error
