"""The interface of a pass: its call, and the facts that the pipeline and the search read from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from compress.errors import PassError
from compress.model import Model
from compress.tensors.forms import Shared, check_finite

if TYPE_CHECKING:
    from compress.context import Context


class Pass(ABC):
    """A frozen dataclass of options that is called on a model. It never changes its input.

    A subclass sets `kind`, defines `__call__`, and overrides the attributes whose defaults are wrong for it.

    Attributes:
        kind: name in a pipeline file.
        amount: option that sets how much the pass compresses, which the search scans; None: no such option.
        needs_labels: the pass trains with the labels of the calibration photos. Its result, if still a float network,
            becomes the reference for later stages.
        preserves_outputs: the new network computes the same outputs. It becomes the reference for later stages.
        keeps_symbols: the pass keeps the codebook indices of every shared tensor.
    """

    kind: ClassVar[str]
    amount: ClassVar[str | None] = None
    needs_labels: ClassVar[bool] = False
    preserves_outputs: ClassVar[bool] = False
    keeps_symbols: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, model: Model, context: Context) -> Model:
        """Return the changed model.

        Raises:
            PassError: the pass does not support this model or these photos.
        """

    @property
    def keeps_float(self) -> bool:
        """A float network given to the pass is still a float network after it, even if some weights are pruned."""
        return self.preserves_outputs

    @property
    def needs_goal(self) -> bool:
        """The pass searches for the smallest file that meets the goal's limits on quality, `Context.quality`."""
        return False

    @property
    def max_file_bytes(self) -> int | None:
        """Limit of the file size that the pass searches for; None: it searches for none."""
        return None

    @property
    def row_block_bytes(self) -> int | None:
        """Memory for the row blocks of the statistics that the pass gathers; 0: without; None: it gathers none."""
        return None

    def check_plain(self, model: Model) -> None:
        """Check that no weights are shared yet, and that all values are finite.

        Raises:
            PassError: names the tensor.
        """
        for name in model.weight_names():
            if isinstance(model.tensors[name], Shared):
                advice = f"put the pass {self.kind} before share, quantize and recode"
                raise PassError(f"its weights are shared already; {advice}", tensor=name)
        for name, tensor in model.tensors.items():
            check_finite(tensor.to_dense(), name)

    def with_amount(self, amount: float) -> Pass:
        """Return the pass with this amount for all layers; only of a pass that has an `amount`."""
        raise NotImplementedError

    def layer_options(self) -> dict[tuple[str, ...], Mapping[str, Any]]:
        """Return the options by layer pattern, by the path of the option that holds their key `layers`."""
        return {(): getattr(self, "layers", {})}
