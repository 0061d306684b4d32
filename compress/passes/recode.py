"""Sharing without loss: a network whose weights take few values already gets codebooks, and keeps every bit."""

from __future__ import annotations

from typing import ClassVar

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from compress.context import Context
from compress.errors import PassError
from compress.model import Model
from compress.passes.interface import Pass
from compress.tensors.forms import Shared, as_shared


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Recode(Pass):
    """Find the values that each layer's weights take, and keep them in a codebook, in float32; no weight changes.

    It is for networks that were compressed before, such as the released Deep Compression file: they get this file's
    codecs without another loss. Biases stay as they are.
    """

    kind: ClassVar[str] = "recode"

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with every weight tensor shared, the same in every bit.

        Raises:
            PassError: a tensor takes more than 65,535 different values, or one that is not finite.
        """
        changed: dict[str, Shared] = {}
        for name in model.weight_names():
            tensor = model.tensors[name]
            try:
                changed[name] = tensor if isinstance(tensor, Shared) else as_shared(tensor.to_dense())
            except PassError as error:
                raise PassError(error.problem, tensor=name) from error
        return model.with_tensors(changed)
