"""Preprocessing in a pipeline file."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from compress.model import CAFFE, TORCHVISION, Preprocessing
from compress.runtime.option_types import OPTIONS

_Resize = Literal["squash", "crop"]
_Pixels = Annotated[int, Field(ge=1, le=4096)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]

_PRESETS = {"torchvision": TORCHVISION, "caffe": CAFFE}


@dataclass(frozen=True, config=OPTIONS)
class PreprocessingOptions:
    """All steps from a photo to network input, as in `compress.model.Preprocessing`.

    The default of `short_side` is 8/7 of the larger of height and width.
    """

    height: _Pixels
    width: _Pixels
    mean: tuple[_Finite, ...]
    std: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]
    resize: _Resize = "crop"
    channels: Literal["RGB", "BGR", "L"] = "RGB"
    scale: _Finite = 1 / 255
    short_side: _Pixels | None = None

    @model_validator(mode="after")
    def _check_consistency(self) -> PreprocessingOptions:
        if not len(self.mean) == len(self.std) == len(self.channels):
            raise ValueError(f"mean and std need one number for each channel of {self.channels}")
        if self.short_side and self.resize != "crop":
            raise ValueError("short_side needs resize: crop")
        if self.short_side and self.short_side < max(self.height, self.width):
            raise ValueError(f"short_side {self.short_side} is smaller than the input, {self.height} x {self.width}")
        return self

    def resolve(self) -> Preprocessing:
        """Return the preprocessing of a model with these options."""
        short_side = self.short_side or _default_short_side(max(self.height, self.width), self.resize)
        return Preprocessing(**{**asdict(self), "short_side": short_side})


@dataclass(frozen=True, kw_only=True, config=OPTIONS)
class InputOptions:
    """Preprocessing in training; `input_size` (rows and columns) and `resize` replace values of a named one."""

    preprocessing: Literal["torchvision", "caffe"] | PreprocessingOptions = "torchvision"
    input_size: Annotated[int, Field(ge=16, le=4096)] | None = None
    resize: _Resize | None = None

    @model_validator(mode="after")
    def _check_preprocessing(self) -> InputOptions:
        if isinstance(self.preprocessing, PreprocessingOptions) and (self.input_size or self.resize):
            raise ValueError("preprocessing has its own height, width and resize; leave out input_size and resize")
        return self

    def resolve_preprocessing(self) -> Preprocessing:
        """Return the preprocessing of a model with these options."""
        if isinstance(self.preprocessing, PreprocessingOptions):
            return self.preprocessing.resolve()
        preset = _PRESETS[self.preprocessing]
        side, resize = self.input_size or preset.height, self.resize or preset.resize
        short_side = _default_short_side(side, resize)
        return replace(preset, height=side, width=side, resize=resize, short_side=short_side)


def _default_short_side(input_size: int, resize: _Resize) -> int:
    """Return the short side with torchvision's ratio: 256 pixels for an input of 224."""
    return round(input_size * TORCHVISION.short_side / TORCHVISION.height) if resize == "crop" else 0
