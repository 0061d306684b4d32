"""SqueezeNet weights: the user's, torchvision's and random ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from compress.errors import ConfigError, WeightsError
from compress.model import TORCHVISION, Model
from compress.networks.preprocessing_options import InputOptions
from compress.runtime.option_types import OPTIONS, PathText
from compress.weights.source_files import CheckpointOptions, existing_file

SqueezeNetName = Literal["squeezenet1_0", "squeezenet1_1"]


@dataclass(frozen=True, config=OPTIONS)
class CheckpointWeights(CheckpointOptions):
    """The user's checkpoint with torchvision's tensor names."""

    path: PathText
    architecture: SqueezeNetName

    @property
    def description(self) -> str:
        return f"the checkpoint {self.described(self.path)}"

    def load(self, seed: int = 0) -> Model:
        """Read the checkpoint; see `WeightSource`."""
        from compress.weights.checkpoint_file import read_checkpoint  # noqa: PLC0415
        from compress.weights.squeezenet_model import load_squeezenet  # noqa: PLC0415

        checkpoint, preprocessing = read_checkpoint(existing_file(self.path)), self.resolve_preprocessing()
        model = load_squeezenet(self.architecture, checkpoint, preprocessing, self.checkpoint_key, self.strict)
        return replace(model, labels=self.class_names(model.classes, model.labels))


@dataclass(frozen=True, config=OPTIONS)
class TorchvisionWeights:
    """Torchvision's published weights, downloaded once to the cache of `torch.hub`."""

    architecture: SqueezeNetName
    is_trained: ClassVar[bool] = True

    # As in torchvision.models.SqueezeNet1_0_Weights and SqueezeNet1_1_Weights. The name ends with a SHA-256 prefix.
    URLS: ClassVar[Mapping[str, str]] = {
        "squeezenet1_0": "https://download.pytorch.org/models/squeezenet1_0-b66bff10.pth",
        "squeezenet1_1": "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
    }

    @property
    def description(self) -> str:
        return f"torchvision's published {self.architecture} ({self.URLS[self.architecture]})"

    def load(self, seed: int = 0) -> Model:
        """Read the weights from the cache or download them; see `WeightSource`."""
        from http.client import HTTPException  # noqa: PLC0415  it imports ssl

        from compress.weights.checkpoint_file import read_checkpoint  # noqa: PLC0415
        from compress.weights.squeezenet_model import load_squeezenet  # noqa: PLC0415

        url = self.URLS[self.architecture]
        try:
            file = _download_once(url)
        except (OSError, HTTPException, RuntimeError) as error:
            raise WeightsError(
                f"cannot download {url} ({error}); download it on a machine with internet access and use "
                "'source: checkpoint', or use 'source: embedded'"
            ) from error
        return load_squeezenet(self.architecture, read_checkpoint(file), TORCHVISION)


@dataclass(frozen=True, config=OPTIONS)
class RandomWeights(InputOptions):
    """Random weights from the run's seed, for a pipeline that starts with a stage `train`."""

    architecture: SqueezeNetName
    classes: Annotated[int, Field(ge=1, le=1_000_000)]
    labels: tuple[str, ...] = ()
    is_trained: ClassVar[bool] = False

    @model_validator(mode="after")
    def _check_labels(self) -> RandomWeights:
        if self.labels and len(self.labels) != self.classes:
            raise ValueError(f"{len(self.labels)} labels for {self.classes} classes")
        return self

    @property
    def description(self) -> str:
        return f"{self.architecture} for {self.classes:,} classes with random weights"

    def load(self, seed: int = 0) -> Model:
        """Return a model with random weights; see `WeightSource`."""
        from compress.networks.modules import builtin_network, check_input  # noqa: PLC0415
        from compress.weights.squeezenet_model import initialize, squeezenet_model  # noqa: PLC0415

        network = builtin_network(self.architecture, self.classes)
        initialize(network, seed)
        arrays = {name: parameter.detach().numpy() for name, parameter in network.named_parameters()}
        model = squeezenet_model(self.architecture, arrays, self.resolve_preprocessing())
        try:
            check_input(network, model)
        except WeightsError as error:
            raise ConfigError(str(error), key="model.input_size") from error
        return replace(model, labels=self.labels or model.labels)


def _download_once(url: str) -> Path:
    """Return the file in torch.hub's cache; download it if it is missing or has another hash."""
    import torch  # noqa: PLC0415

    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    hash_prefix = file.stem.rsplit("-", 1)[-1]
    if not file.is_file() or not hashlib.sha256(file.read_bytes()).hexdigest().startswith(hash_prefix):
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), hash_prefix, progress=False)
    return file
