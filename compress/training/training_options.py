"""Options of supervised training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from compress.runtime.option_types import OPTIONS


@dataclass(frozen=True, config=OPTIONS)
class TrainingOptions:
    """Options of supervised training.

    Attributes:
        epochs: passes over the training photos.
        batch: maximum photos per step.
        learning_rate: maximum; it falls to zero along a cosine.
        optimizer: `sgd` with momentum 0.9, or `adamw`.
        warmup: epochs with a rising learning rate.
        weight_decay: of weights, not of biases.
        label_smoothing: fraction of each label that is spread over all classes.
        dropout: probability of dropout layers; None: as the network defines it.
        shift: maximum random shift of a photo, as a fraction of its side.
        flip: mirror half of the photos; unsuitable for digits and letters.
        validation_split: fraction of photos that select the best weights instead of training; 0 keeps the last ones.
    """

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 30
    batch: Annotated[int, Field(ge=1)] = 64
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.01
    optimizer: Literal["sgd", "adamw"] = "sgd"
    warmup: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 2e-4
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.125
    flip: bool = True
    validation_split: Annotated[float, Field(ge=0, le=0.5)] = 0.1

    @model_validator(mode="after")
    def _warmup_within_epochs(self) -> TrainingOptions:
        if self.warmup > self.epochs:
            raise ValueError(f"warmup is {self.warmup:g} epochs (allowed: 0 to {self.epochs}, the epochs)")
        return self
