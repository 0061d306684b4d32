"""The pass `train`: supervised training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic.dataclasses import dataclass

from compress.errors import PassError
from compress.model import Model
from compress.passes.gradual_pruning import GradualMaskSchedule, GradualPruning
from compress.passes.interface import Pass
from compress.runtime.option_types import OPTIONS
from compress.training.training_options import TrainingOptions

if TYPE_CHECKING:
    from compress.context import Context
    from compress.training.checkpoints import TrainingCheckpoint
    from compress.training.supervised import SupervisedTraining


@dataclass(frozen=True, config=OPTIONS)
class Train(TrainingOptions, Pass):
    """Train with the labels of the calibration photos, from random weights or from those of the model.

    Pruned weights stay zero, and weights that share a codebook entry keep sharing it: the entry is trained with the
    mean of their gradients, so that the learning rate suits shared and dense weights alike. Weights on quantization
    levels are not trained. After each epoch, and before the first, the weights are validated on the validation split,
    which is the same in all stages of a run. The result has the fewest errors on it, and among equals the lowest loss.
    An interrupted training resumes from a checkpoint, at most 50 steps back.

    Attributes:
        prune: gradual pruning during the training; None: no pruning.
    Source: Iandola et al. 2016, arXiv:1602.07360; Han et al. 2015, arXiv:1506.02626, and 2016, arXiv:1510.00149,
    section 3.3; Loshchilov & Hutter 2019, arXiv:1711.05101 (adamw).
    """

    kind: ClassVar[str] = "train"
    needs_labels: ClassVar[bool] = True
    keeps_symbols: ClassVar[bool] = True

    prune: GradualPruning | None = None

    @property
    def keeps_float(self) -> bool:
        """Training without pruning leaves a float network."""
        return self.prune is None

    def layer_options(self) -> dict[tuple[str, ...], Mapping[str, Any]]:
        """Return the sparsities by layer of the gradual pruning."""
        return {("prune",): self.prune.layers} if self.prune else {}

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with trained weights.

        Raises:
            DataError: the calibration photos, their labels or their number do not suit this network.
            PassError: weights to prune are shared, no tensor can be trained, the training diverges, or no gradient is
                left. If the training began, the message names the step, and the file with the last good weights.
        """
        from compress.training.checkpoints import TrainingCheckpoint, run_steps  # noqa: PLC0415
        from compress.training.supervised import SupervisedTraining  # noqa: PLC0415

        if self.prune:
            self.check_plain(model)
        training = SupervisedTraining(self, model, context)
        if self.prune:
            training.mask_schedule = GradualMaskSchedule(self.prune, model, context, training.steps)
        checkpoint = TrainingCheckpoint(self.kind, self, model, context)
        try:
            curve = run_steps(training, checkpoint, context, "training")
        except PassError as error:
            rescued = _rescue(training, checkpoint, model, context)
            raise PassError(f"{error.problem}; {rescued}", tensor=error.tensor) from error
        return replace(model.with_tensors(training.tensors()), training=curve)


def _rescue(training: SupervisedTraining, checkpoint: TrainingCheckpoint, model: Model, context: Context) -> str:
    """Write the last good weights of a failed training to a file, and return a message about it."""
    from compress import container  # noqa: PLC0415

    which = "best weights"
    if not training.best:
        saved = checkpoint.read()
        if saved is None:
            return "no weights were saved"
        training.load_state(saved["training"])
        which = f"weights after step {saved['step']:,}"
    if context.out is None:
        return f"the {which} were not saved, because there is no output folder"
    path = context.out / f"{context.stage}-unfinished.sqz"
    container.write(path, model.with_tensors(training.tensors()), ("raw",))
    return f"the {which} are in {path}"
