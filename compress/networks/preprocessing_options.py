"""What a pipeline file says of how photos become a network's input."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from compress.model import CAFFE, TORCHVISION, Preprocessing

Named = Literal["torchvision", "caffe"]
Side = Annotated[int, Field(ge=1, le=4096)]
Number = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Preparation:
    """A photo's way to the network's input, step by step: see `compress.model.Preprocessing`.

    Attributes:
        height: rows of the input, pixels.
        width: columns of the input, pixels.
        resize: `squash` resizes the whole photo; `crop` its short side to `short_side`, and takes the centre.
        channels: order of the input's channels.
        scale: factor on a pixel of 0 to 255 before the mean is subtracted.
        mean: per channel.
        deviation: per channel, what is left is divided by it.
        short_side: pixels, with `crop`; a seventh more than the larger of height and width if not given.
    """

    height: Side
    width: Side
    mean: tuple[Number, ...]
    deviation: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]
    resize: Literal["squash", "crop"] = "crop"
    channels: Literal["RGB", "BGR", "L"] = "RGB"
    scale: Number = 1 / 255
    short_side: Side | None = None

    @model_validator(mode="after")
    def _sizes_that_go_together(self) -> Preparation:
        channels = len(self.channels)
        if len(self.mean) != channels or len(self.deviation) != channels:
            raise ValueError(f"mean and deviation need a number for each channel of {self.channels}")
        if self.short_side is not None and self.resize != "crop":
            raise ValueError("short_side goes with resize: crop")
        if self.short_side is not None and self.short_side < max(self.height, self.width):
            raise ValueError(f"a short side of {self.short_side} pixels leaves no {self.height} x {self.width} to take")
        return self

    def preprocessing(self) -> Preprocessing:
        """Return it as a model has it."""
        short_side = self.short_side or _short_side(max(self.height, self.width))
        short_side = short_side if self.resize == "crop" else 0
        return Preprocessing(
            self.height, self.width, self.resize, self.channels, self.scale, self.mean, self.deviation, short_side
        )


def prepared(
    preprocessing: Named | Preparation, size: int | None = None, resize: Literal["squash", "crop"] | None = None
) -> Preprocessing:
    """Return how photos are prepared: as the networks of a family take them, at another size or resized otherwise.

    Args:
        preprocessing: the family, or all of it; then the others are not given.
        size: rows and columns of the input; the family's own if None.
        resize: `squash` or `crop`; the family's own if None.
    """
    if isinstance(preprocessing, Preparation):
        return preprocessing.preprocessing()
    wanted = {"torchvision": TORCHVISION, "caffe": CAFFE}[preprocessing]
    if size is not None:
        # A crop keeps the share of the photo that torchvision's does, 224 of 256.
        wanted = replace(wanted, height=size, width=size, short_side=_short_side(size))
    if resize is not None:
        wanted = replace(wanted, resize=resize, short_side=_short_side(wanted.height))
    return wanted if wanted.resize == "crop" else replace(wanted, short_side=0)


def _short_side(size: int) -> int:
    return round(size * TORCHVISION.short_side / TORCHVISION.height)
