"""The pass `quantize`: uniform levels for all weights, with one lambda for all layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from compress.model import Model
from compress.passes.rate_distortion_pass import BiasPrecision, RateDistortionPass
from compress.quantization.rate_distortion import symbol_bits_of
from compress.runtime.option_types import OPTIONS
from compress.tensors.forms import Shared

if TYPE_CHECKING:
    from compress.context import Context
    from compress.quantization.layer_quantizer import LayerQuantizer


@dataclass(frozen=True, config=ConfigDict(**OPTIONS, populate_by_name=True))
class Quantize(RateDistortionPass):
    """Quantize every weight to uniform levels that minimize `divergence + lambda * bits`.

    Rows and columns have their own steps, powers of 2 ** (1 / 4), from the cost of an error in them. Channels are
    balanced, so that all rows of a layer take one step. Error feedback lets later weights compensate for the errors of
    earlier ones. Pruned weights stay zero. Give either `lambda` or `bytes`.

    Attributes:
        trellis: use trellis-coded quantization: a quarter less divergence at 300,000 bytes. Only the codec `context`
            codes such levels well. Default: true if the file may use `context`.
        kernel_transform: quantize transform coefficients of 3x3 kernels, each with its own step: coefficients of high
            spatial frequency matter less and take fewer bits. Kernels pruned in part stay as weights. Default: true if
            the file may use `context`; decoders for other codecs may lack the memory.
        iterations: how often levels are assigned; each time their frequencies determine the next rates.
        bias_precision: precision of biases in the file; `levels` quantizes them with steps from their Fisher
            information.
    Source: Frantar et al. 2022 (GPTQ), arXiv:2210.17323; Sullivan 1996, "Efficient scalar quantization of exponential
    and Laplacian random variables"; Gish & Pierce 1968, "Asymptotically efficient quantizing".
    """

    kind: ClassVar[str] = "quantize"

    trellis: bool | None = None
    kernel_transform: bool | None = None
    iterations: Annotated[int, Field(ge=1, le=100)] = 3
    bias_precision: BiasPrecision = "levels"

    @model_validator(mode="after")
    def _check_target(self) -> Quantize:
        if (self.lambda_ is None) == (self.bytes is None):
            raise ValueError("give either lambda or bytes")
        return self

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model with quantized weights, and with the balanced float model as its reference.

        Raises:
            PassError: a weight is not finite or is shared already; a layer needs more levels than a file can have; or
                no lambda makes the file as small as `bytes`.
        """
        from compress.codecs.primitives.trellis import TRELLIS_256, TRELLIS_4096  # noqa: PLC0415
        from compress.passes.network_compression import minimize_cost  # noqa: PLC0415

        self.check_plain(model)
        symbol_bits = symbol_bits_of(context.codecs)
        has_trellis = _is_enabled(self.trellis, context)

        def compress_layer(layer: LayerQuantizer, lambda_: float, *, final: bool) -> Shared:
            trellis = (TRELLIS_4096 if final else TRELLIS_256) if has_trellis else None
            return layer.quantize(lambda_, trellis, self.iterations, symbol_bits)

        return minimize_cost(
            self, model, context, compress_layer, self.bias_precision,
            kernel_transform=_is_enabled(self.kernel_transform, context), has_coarse_trellis=has_trellis,
        )  # fmt: skip


def _is_enabled(option: bool | None, context: Context) -> bool:
    from compress.codecs import CONTEXT_WRITERS  # noqa: PLC0415  compiles their loops

    return any(name in CONTEXT_WRITERS for name in context.codecs) if option is None else option
