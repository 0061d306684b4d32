"""The pass `distill`: training towards the logits of the float network."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from compress.model import Model
from compress.passes.interface import Pass
from compress.runtime.option_types import OPTIONS

if TYPE_CHECKING:
    from compress.context import Context


@dataclass(frozen=True, config=OPTIONS)
class Distill(Pass):
    """Train a compressed network towards the logits of the float network, without labels and with few photos.

    Pruned weights stay zero, and weights that share a codebook entry keep sharing it: the entry is trained with the
    sum of their gradients. Dense weights and biases are trained one by one. Weights on quantization levels are not
    trained; biases on levels are rounded to the nearest level. The loss is the Kullback-Leibler divergence from the
    float network's softmax, on the calibration photos and their mirror images. An interrupted distillation resumes
    from a checkpoint, at most 50 steps back.

    Attributes:
        steps: steps of the optimizer, Adam.
        batch: photos per step.
        learning_rate: of the first step; it falls to zero along a cosine. It is relative to the mean distance between
            codebook entries, to the mean magnitude of dense weights and biases, or to the step of biases on levels.
    Source: Han et al. 2016, arXiv:1510.00149, section 3.3; Hinton et al. 2015, arXiv:1503.02531.
    """

    kind: ClassVar[str] = "distill"
    keeps_symbols: ClassVar[bool] = True

    steps: Annotated[int, Field(ge=1)] = 100
    batch: Annotated[int, Field(ge=1)] = 32
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.03

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with trained weights.

        Raises:
            DataError: there are no calibration photos, or fewer in a batch than processes.
            PassError: no tensor can be trained, or the loss is not finite; names the step.
        """
        from compress.training.checkpoints import TrainingCheckpoint, run_steps  # noqa: PLC0415
        from compress.training.distillation import Distillation  # noqa: PLC0415

        distillation = Distillation(model, context, self.steps, self.batch, self.learning_rate)
        checkpoint = TrainingCheckpoint(self.kind, self, model, context)
        curve = run_steps(distillation, checkpoint, context, "distilling")
        return replace(model.with_tensors(distillation.network.tensors()), training=curve)
