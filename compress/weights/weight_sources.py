"""Weight sources by their name in the `model` section of a pipeline file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from compress.model import Model
from compress.weights.deep_compression import DeepCompressionWeights
from compress.weights.embedded_weights import EmbeddedWeights
from compress.weights.inverted_residual_weights import InvertedResidualWeights
from compress.weights.squeezenet_weights import CheckpointWeights, RandomWeights, TorchvisionWeights
from compress.weights.user_network import UserNetwork


class WeightSource(Protocol):
    """A frozen dataclass of options that loads a model's weights."""

    @property
    def description(self) -> str:
        """Origin of the weights, for the report."""

    @property
    def is_trained(self) -> bool:
        """Whether a training made the weights; False: they are random, or a function of the user made them."""

    def load(self, seed: int = 0) -> Model:
        """Load the model.

        Args:
            seed: of random weights.
        Raises:
            ConfigError: a file does not exist, or the network does not accept the input.
            FormatError: a file is damaged.
            WeightsError: the weights are missing, or do not fit the network.
        """


SOURCES: Mapping[str, type[WeightSource]] = {
    "embedded": EmbeddedWeights,
    "deep-compression": DeepCompressionWeights,
    "checkpoint": CheckpointWeights,
    "inverted-residual": InvertedResidualWeights,
    "torchvision": TorchvisionWeights,
    "random": RandomWeights,
    "factory": UserNetwork,
}


def source_name(options: Mapping[str, Any]) -> str:
    """Return the name of the source that `options` describe."""
    return str(options.get("source", "factory" if "factory" in options else "embedded"))
