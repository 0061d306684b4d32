"""The pass `recode`: lossless codebooks for a network whose weights take few values already."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from compress.errors import PassError
from compress.model import Model
from compress.passes.interface import Pass
from compress.runtime.option_types import OPTIONS
from compress.tensors.forms import Shared, as_shared

if TYPE_CHECKING:
    from compress.context import Context


@dataclass(frozen=True, config=OPTIONS)
class Recode(Pass):
    """Store the distinct weights of each layer in a float32 codebook. No weight changes; -0.0 is stored as 0.0.

    This suits networks that another program compressed, such as the published Deep Compression file of SqueezeNet.
    Biases stay as they are.
    """

    kind: ClassVar[str] = "recode"

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with every weight tensor shared, its values equal.

        Raises:
            PassError: a tensor has more than 65,535 different values, or a value that is not finite.
        """
        changed: dict[str, Shared] = {}
        for name in model.weight_names():
            tensor = model.tensors[name]
            try:
                changed[name] = tensor if isinstance(tensor, Shared) else as_shared(tensor.to_dense())
            except PassError as error:
                raise PassError(error.problem, tensor=name) from error
        return model.with_tensors(changed)
