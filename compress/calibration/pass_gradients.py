"""The gradients of all layers in a forward and backward pass of some photos."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from compress.calibration.example_gradients import CallGradients, summed_gradients
from compress.calibration.output_error import OutputError
from compress.calibration.photo_batches import PhotoBatch
from compress.errors import PassError
from compress.networks.layer_calls import CompressibleLayer, LayerCall, record_calls, weight_matrices

Sweep = Collection[str]
"""Names of the weight tensors whose statistics are gathered together."""

_TEMPERATURE = 2.5
"""Divisor of the logits in the softmax that weights the photos for the last layer's row blocks."""

_MAX_DIFFERENCE = 0.01
"""Largest relative difference, by rounding, of a gradient from the sum of the gradients of a layer's calls."""


@dataclass(frozen=True, eq=False)
class GradientOptions:
    """Which gradients a pass computes.

    Attributes:
        weights: names of the weight tensors; None: all.
        output_error: measures the error of the network's outputs.
        row_block_bytes: memory for all row blocks; 0: gather neither row blocks nor `row_correlation`.
        class_weights: shape (classes,): a photo counts as much as its softmax's mean of these weights; None: all photos
            count as much.
        half_precision: run the network, and compute the gradients of single photos, in bfloat16. Sums are in float32.
    """

    weights: Container[str] | None = None
    output_error: OutputError = field(default_factory=OutputError)
    row_block_bytes: int = 0
    class_weights: Tensor | None = None
    half_precision: bool = False

    def selects(self, name: str) -> bool:
        """Return whether the weight tensor is among `weights`."""
        return self.weights is None or name in self.weights


class WeightUses(NamedTuple):
    """Weights whose gradient for each photo cannot be told from the calls of their layers.

    Attributes:
        read_elsewhere: the network also uses them outside their layers: the gradients of the calls are not all. A tied
            decoder does so: `F.linear(x, self.encoder.weight.t())`.
        mixed: their layers do not see one photo after another, but positions before photos, as in CLIP, or pairs of
            photos as `torch.cat([left, right])`.
    """

    read_elsewhere: frozenset[str] = frozenset()
    mixed: frozenset[str] = frozenset()


class PassGradients(NamedTuple):
    """The gradients of a forward and backward pass.

    Attributes:
        total_weight: of the photos.
        layers: all that were called, by the name of their weight tensor, in order.
        last: name of the last one; empty if there is none.
        calls: of the layers of the sweep, for sampled directions.
        class_calls: of the last layer, for its row blocks; empty if its rows are not classes.
        matrices: of other weight matrices of the sweep.
    """

    total_weight: float
    layers: dict[str, CompressibleLayer]
    last: str
    calls: CallGradients
    class_calls: CallGradients
    matrices: dict[str, Tensor]


def pass_gradients(
    network: nn.Module,
    batch: PhotoBatch,
    inputs: Tensor,
    options: GradientOptions,
    sweep: Sweep | None,
    uses: WeightUses,
) -> PassGradients:
    """Return the gradients of the calls and of other weight matrices for directions that `output_error` draws.

    Args:
        network: in evaluation mode.
        batch: the photos of the pass.
        inputs: those of the batch.
        options: which gradients to compute.
        sweep: the layers; None: all.
        uses: result of `weight_uses`.
    Raises:
        PassError: a layer has no gradients, or the network does not run in half precision.
    """
    with record_calls(network) as recorded:
        logits = _half_precision_logits(network, inputs) if options.half_precision else network(inputs)
        of_layers = [call for call in recorded if call.weight not in uses.read_elsewhere]
        selected = [call for call in of_layers if options.selects(call.weight)]
        _check_differentiable(logits, selected)
        weights = _photo_weights(logits.detach(), options.class_weights)
        root_weights = weights.sqrt().reshape(-1, *[1] * (logits.dim() - 1))
        layers = {call.weight: call.layer for call in selected}
        last = selected[-1].weight if selected else ""
        calls = [call for call in _with_inputs(selected) if sweep is None or call.weight in sweep]
        of_classes = [call for call in calls if call.weight == last and last not in uses.mixed]
        class_calls = _class_gradients(logits, of_classes, root_weights, options)
        directions = root_weights * options.output_error.directions(logits, batch.noise)
        others = {
            name: weight
            for name, weight in weight_matrices(network).items()
            if name not in layers and options.selects(name) and (sweep is None or name in sweep)
        }
        matrices = _matrix_gradients(logits, others, directions, retain_graph=bool(calls))
        gradients = _backward(logits, calls, directions, retain_graph=False)
        return PassGradients(float(weights.double().sum()), layers, last, gradients, class_calls, matrices)


def _class_gradients(
    logits: Tensor, last: Sequence[LayerCall], root_weights: Tensor, options: GradientOptions
) -> CallGradients:
    """Return the gradients for the row blocks of the last layer, each logit scaled by the root of its variance.

    There are none if the rows are not classes of a photo.
    """
    is_classes = logits.dim() == 2 and options.output_error.variance is None
    if not options.row_block_bytes or not is_classes or not last or len(last[0].layer.weight) != logits.shape[1]:
        return []
    softened = (logits.detach() / _TEMPERATURE).softmax(1)
    return _backward(logits, last, root_weights * (softened * (1 - softened)).sqrt(), retain_graph=True)


def _matrix_gradients(
    logits: Tensor, matrices: Mapping[str, Tensor], directions: Tensor, *, retain_graph: bool
) -> dict[str, Tensor]:
    """Return the gradients, of all photos together, of the matrices that the outputs depend on."""
    if not matrices:
        return {}
    gradients = gradients_of(logits, list(matrices.values()), directions, retain_graph=retain_graph, allow_unused=True)
    return {name: each for name, each in zip(matrices, gradients, strict=True) if each is not None}


def _photo_weights(logits: Tensor, class_weights: Tensor | None) -> Tensor:
    """Return how much each photo counts, shape (photos,)."""
    if class_weights is None:
        return logits.new_ones(len(logits))
    shares = logits.softmax(1).reshape(*logits.shape[:2], -1).mean(2)
    return shares @ class_weights.to(logits)


def _half_precision_logits(network: nn.Module, inputs: Tensor) -> Tensor:
    """Return the logits, in float32, of a network whose convolutions and products run in bfloat16."""
    try:
        with torch.autocast(inputs.device.type, torch.bfloat16):
            logits: Tensor = network(inputs)
    except RuntimeError as error:
        raise PassError(f"the network does not run in bfloat16: {error}; use half_precision: false") from error
    return logits.float()


def weight_uses(network: nn.Module, batch: PhotoBatch, inputs: Tensor, output_error: OutputError) -> WeightUses:
    """Return which weights the network uses in unusual ways, found on the photos of a pass."""
    with record_calls(network) as recorded:
        logits = network(inputs)
        calls = _with_inputs(recorded)  # checkpointed activations are computed again in the backward pass
        if not calls or not logits.requires_grad or not all(call.outputs.requires_grad for call in calls):
            return WeightUses()
        noise = batch.noise.to(logits)  # not the directions, which are 0 where the softmax is 0 or 1
        of_first_photo = torch.cat([noise[:1], torch.zeros_like(noise[1:])])
        gradients = _backward(logits, calls, of_first_photo, retain_graph=True)
        mixed = frozenset(call.weight for call, gradient in gradients if _is_mixed(gradient, batch.photos))
        del gradients  # they take as much memory as the activations
        directions = output_error.directions(logits, batch.noise)
        weights = {call.weight: call.layer.weight for call in calls}
        whole = gradients_of(logits, list(weights.values()), directions, retain_graph=True, materialize_grads=True)
        by_name = by_weight(_backward(logits, calls, directions, retain_graph=False))

    def differs(gradient: Tensor, calls: CallGradients) -> bool:
        of_calls = summed_gradients(calls, batch.photos)[0].sum(0).reshape(gradient.shape)
        return bool((gradient - of_calls).norm() > _MAX_DIFFERENCE * gradient.norm())

    read_elsewhere = (name for name, gradient in zip(weights, whole, strict=True) if differs(gradient, by_name[name]))
    return WeightUses(frozenset(read_elsewhere), mixed)


def _with_inputs(calls: Iterable[LayerCall]) -> list[LayerCall]:
    """Return the calls with an input: an expert that no photo of a pass takes has none."""
    return [call for call in calls if call.outputs.numel()]


def _is_mixed(gradient_of_first_photo: Tensor, photos: int) -> bool:
    """Return whether the first of equal parts of a call's outputs are not all outputs of the first photo."""
    rows, others = divmod(len(gradient_of_first_photo), photos)
    return others > 0 or bool(gradient_of_first_photo[rows:].any())


def _check_differentiable(logits: Tensor, calls: Sequence[LayerCall]) -> None:
    """Raise a PassError where no gradient reaches a layer: `torch.no_grad` hides the layers before it, too."""
    hidden = next((call.weight for call in calls if not call.outputs.requires_grad), None)
    if hidden or not logits.requires_grad:
        raise PassError(
            "the network runs it without gradients, so it has no statistics; remove torch.no_grad from its forward, "
            "and use_reentrant=True from torch.utils.checkpoint, or use passes without statistics, as prune by "
            "magnitude and share by k-means",
            tensor=hidden,
        )


def gradients_of(logits: Tensor, of: Sequence[Tensor], directions: Tensor, **options: bool) -> tuple[Tensor, ...]:
    """Return the gradients of tensors.

    Raises:
        PassError: the network's code has none.
    """
    try:
        return torch.autograd.grad(logits, of, directions, **options)
    except Exception as error:  # the network is the user's code
        if isinstance(error, MemoryError):
            raise
        problem, remedy = str(error), "use passes without statistics, as prune by magnitude and share by k-means"
        if "modified by an inplace operation" in problem:
            problem = "its forward changes values in place that they need"
            remedy = f"write y = y + x instead of y += x after activations such as ReLU, or {remedy}"
        raise PassError(f"gradients of the network cannot be computed: {problem}; {remedy}") from error


def _backward(logits: Tensor, calls: Sequence[LayerCall], directions: Tensor, *, retain_graph: bool) -> CallGradients:
    """Return the gradient of each call's outputs; 0 if they are not used."""
    if not calls:
        return []
    outputs = [call.outputs for call in calls]
    gradients = gradients_of(logits, outputs, directions, retain_graph=retain_graph, materialize_grads=True)
    return [(call, _summable(call, gradient)) for call, gradient in zip(calls, gradients, strict=True)]


def _summable(call: LayerCall, gradient: Tensor) -> Tensor:
    """Return the gradient with a batch dimension; in float32 if it is in float16, whose range is too small for sums."""
    gradient = gradient if gradient.dim() == call.inputs.dim() else gradient.unsqueeze(0)
    return gradient.float() if gradient.dtype == torch.float16 else gradient


def by_weight(gradients: CallGradients) -> dict[str, CallGradients]:
    """Return the gradients of the calls by the name of their weight tensor."""
    result: dict[str, CallGradients] = {}
    for call, gradient in gradients:
        result.setdefault(call.weight, []).append((call, gradient))
    return result
