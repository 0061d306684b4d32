"""Options of the passes that compress a network at one lambda, `quantize` and `share`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from compress.calibration.row_block_memory import ROW_BLOCK_BYTES
from compress.passes.interface import Pass
from compress.quantization.rate_distortion import Lambda
from compress.runtime.option_types import OPTIONS, Bytes
from compress.tensors.forms import FloatName, Shared

if TYPE_CHECKING:
    from compress.quantization.layer_quantizer import LayerQuantizer


class CompressLayer(Protocol):
    """Compresses a layer at a lambda."""

    def __call__(self, layer: LayerQuantizer, lambda_: float, /, *, final: bool) -> Shared: ...


BiasPrecision = Literal["levels"] | FloatName


@dataclass(frozen=True, config=ConfigDict(**OPTIONS, populate_by_name=True))
class RateDistortionPass(Pass):
    """A pass that minimizes `divergence + lambda * bits` over all weights.

    Attributes:
        lambda_: key `lambda`: nats of divergence that one bit is worth. The larger, the smaller the file. One value for
            the whole network gives the bits to the layers that need them.
        bytes: limit of the file size; the pass searches for the lambda that fills it. `smallest`: the pass searches for
            the smallest file that meets the limits of the goal on quality.
        statistics_photos: number of calibration photos for the statistics; None: all.
        augmentations: how often the statistics use each photo: unchanged first, then as random crops.
        half_precision: gather the statistics in bfloat16 if the processor computes in it: faster, except for
            depthwise convolutions.
        row_block_memory: bytes for the statistics of single rows. With less, adjacent rows share statistics.
        sensitivity_photos: number of calibration photos that measure how much each layer of a first compression adds
            to the divergence. The second compression gives more bits to layers that add more than predicted, and none
            to channels that no layer reads any more. 0: compress once.
    """

    lambda_: Lambda | None = Field(default=None, validation_alias="lambda", serialization_alias="lambda")
    bytes: Bytes | Literal["smallest"] | None = None
    statistics_photos: Annotated[int, Field(ge=1)] | None = None
    augmentations: Annotated[int, Field(ge=1, le=100)] = 1
    half_precision: bool = False
    row_block_memory: Bytes = ROW_BLOCK_BYTES
    sensitivity_photos: Annotated[int, Field(ge=0)] = 1000

    @property
    def needs_goal(self) -> bool:
        return self.bytes == "smallest"

    @property
    def max_file_bytes(self) -> int | None:
        return self.bytes if isinstance(self.bytes, int) else None

    @property
    def row_block_bytes(self) -> int | None:
        return self.row_block_memory
