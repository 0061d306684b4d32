"""Weights of a network that the user's code makes."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field, JsonValue
from pydantic.dataclasses import dataclass

from compress.model import Model
from compress.networks.compared_output import OutputIndex, OutputName, OutputOptions
from compress.networks.factory import FunctionName, NetworkFactory
from compress.runtime.option_types import OPTIONS, PathText
from compress.weights.source_files import CheckpointOptions, existing_file


@dataclass(frozen=True, config=OPTIONS)
class UserNetwork(CheckpointOptions):
    """The user's own network: any `torch.nn.Module` that maps photos to logits, or to outputs one of which is compared.

    Passes compress the `weight_matrices` that the compared output depends on.

    Attributes:
        factory: function that makes the network.
        args: its keyword arguments.
        checkpoint: file with the network's tensors; default: the weights that the function makes.
        fold_batch_norm: see `fold_batch_norms`.
        outputs: the part of the network's outputs to compare, or only the name of a tensor of logits; None: the logits
            that it returns.
    """

    factory: FunctionName
    args: dict[str, JsonValue] = Field(default_factory=dict)
    checkpoint: PathText | None = None
    fold_batch_norm: bool = False
    outputs: OutputOptions | OutputIndex | OutputName | None = None

    @property
    def description(self) -> str:
        weights = (
            f"the weights of {self.described(self.checkpoint)}" if self.checkpoint else "the weights that it makes"
        )
        return f"the network of {self.factory} with {weights}"

    @property
    def is_trained(self) -> bool:
        return self.checkpoint is not None

    def load(self, seed: int = 0) -> Model:
        """Make the network and read its weights; see `WeightSource`.

        Raises:
            ConfigError: also if the function makes no network that maps photos of this size to logits.
            WeightsError: also if batch norms cannot be folded, or a tensor cannot be stored as float32.
        """
        from compress.weights.checkpoint_file import read_checkpoint  # noqa: PLC0415
        from compress.weights.factory_models import load_checkpoint, model_of  # noqa: PLC0415

        factory = NetworkFactory(self.factory, self.args, self.fold_batch_norm)
        assert factory.architecture  # an error before anything runs
        network = factory.call(seed)
        notes: tuple[str, ...] = ()
        if self.checkpoint:
            checkpoint = read_checkpoint(existing_file(self.checkpoint, "checkpoint"))
            notes = load_checkpoint(network, checkpoint, self.factory, self.checkpoint_key, self.strict)
        outputs = self.outputs
        if outputs is not None and not isinstance(outputs, OutputOptions):
            outputs = OutputOptions(outputs)
        model = model_of(network, factory, self.resolve_preprocessing(), outputs)
        return replace(model, labels=self.class_names(model.classes), source_notes=notes)
