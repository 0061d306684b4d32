"""Compression of a network at one lambda, as in the passes `quantize` and `share`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from compress.calibration.layer_sensitivity import sensitivity_corrections
from compress.calibration.memory_plan import statistics_memory
from compress.codecs import coarse_writers
from compress.context import Context
from compress.errors import DataError, PassError
from compress.model import Model
from compress.networks.channel_graph import ChannelLink, channel_links, dead_weights
from compress.passes.rate_distortion_pass import BiasPrecision, CompressLayer, RateDistortionPass
from compress.passes.smallest_file import find_smallest
from compress.quantization.channel_balancing import Layers, balance_channels
from compress.quantization.codebooks import round_to_precision
from compress.quantization.lambda_search import FIRST_LAMBDA, LambdaSearch, initial_lambda
from compress.quantization.layer_quantizer import LayerQuantizer, quantize_biases
from compress.quantization.quality_search import FAR_STEP, NEAR_STEP
from compress.quantization.regularization import regularized_quantizer
from compress.runtime.distributed import ProcessGroup
from compress.runtime.mapped_arrays import mapped, release_pages
from compress.runtime.memory import resident_bytes
from compress.runtime.threads import map_heaviest_first
from compress.tensors.forms import Dense, Shared

_LOGGER = logging.getLogger(__name__)

_MIN_FILL = 0.998
"""Fraction of the byte limit that the file uses at least."""

_MIN_FIRST_FILL = 0.99
"""The same for the first compression, which only serves to measure the sensitivity of layers."""

_COARSE_RATIO, _MIN_COARSE_FILL = 1.0006, 0.9994
"""Where the last search leaves the coarse trellis: at most this times the byte limit, at least this fraction of that.
At the same lambda the last compression takes 0.998 to 0.9993 of the bytes along the coarse trellis."""

_MAX_GAP, _MAX_FIRST_GAP = 0.005, 0.03
"""Fraction of bytes between the smallest file within the goal and a smaller one that misses it, as the two above."""

_MAX_ERROR_RATIO = 30.0
"""Largest ratio of the measured to the predicted error of the outputs. Statistics of layers above it are wrong."""

_MIN_ERROR = 1e-3
"""Smaller errors of the outputs, in nats or relative, do not count."""

_ERROR_PHOTOS = 64
"""Maximum number of photos that measure the error of the outputs."""

_UNBALANCED = "channels are not balanced: the network's outputs would change"


def minimize_cost(
    options: RateDistortionPass,
    model: Model,
    context: Context,
    compress_layer: CompressLayer,
    bias_precision: BiasPrecision,
    *,
    kernel_transform: bool = False,
    has_coarse_trellis: bool = False,
) -> Model:
    """Return the compressed model, whose `reference` is the float model with balanced channels.

    Args:
        options: `lambda` or `bytes`, and the statistics.
        model: with plain weights.
        context: of the pass.
        compress_layer: called with a layer, lambda, and whether this is the last compression or one that is only
            measured.
        bias_precision: precision of the biases in the file.
        kernel_transform: compress the transform coefficients of 3x3 kernels.
        has_coarse_trellis: compressions that are only measured use a coarse trellis, in a fraction of the time.
    Raises:
        PassError: no lambda makes the file as small as `bytes`, or `bytes` is `smallest` and the context has no limits.
    """
    weights = model.parameter_count(model.weight_names())
    lambda_ = options.lambda_ or FIRST_LAMBDA
    if isinstance(options.bytes, int):
        lambda_ = initial_lambda(options.bytes, weights)
    links = channel_links(context.network(model), model.weight_names())
    layer_quantizers = partial(_layer_quantizers, options, model, context, lambda_, kernel_transform=kernel_transform)
    balanced, layers = balance_channels(model, layer_quantizers(), links)
    if not context.has_same_outputs(model, balanced):
        # Balancing has changed the statistics in place.
        links, balanced, layers = (), replace(model, notes=(_UNBALANCED,)), layer_quantizers()

    def compress(layers: Layers, lambda_: float, *, final: bool) -> tuple[Model, float]:
        def compress_at(trial: float, *, last: bool = final) -> Model:
            how = partial(compress_layer, final=last)
            return _compressed(balanced, layers, how, bias_precision, context.processes, trial)

        if options.bytes is None:
            return compress_at(lambda_), lambda_
        if options.bytes == "smallest":
            step = NEAR_STEP if final and options.sensitivity_photos > 0 else FAR_STEP
            return find_smallest(compress_at, lambda_, _MAX_GAP if final else _MAX_FIRST_GAP, context, step)
        coarse = replace(context, codecs=coarse_writers(context.codecs))
        if not final:
            return _fill_bytes(compress_at, options.bytes, lambda_, _MIN_FIRST_FILL, weights, coarse)
        if has_coarse_trellis:
            coarse_at, coarse_bytes = partial(compress_at, last=False), int(_COARSE_RATIO * options.bytes)
            with suppress(PassError):  # the last search says what is not possible
                _, lambda_ = _fill_bytes(coarse_at, coarse_bytes, lambda_, _MIN_COARSE_FILL, weights, coarse)
        return _fill_bytes(compress_at, options.bytes, lambda_, _MIN_FILL, weights, context)

    if options.sensitivity_photos > 0:
        first, lambda_ = compress(layers, lambda_, final=False)
        layers = _corrected(options, layers, first, balanced, links, context)
    compressed, _ = compress(layers, lambda_, final=True)
    return replace(compressed, reference=balanced)


def _layer_quantizers(
    options: RateDistortionPass, model: Model, context: Context, lambda_: float, *, kernel_transform: bool
) -> Layers:
    statistics = context.fisher.row_statistics(
        options.statistics_photos,
        options.augmentations,
        options.row_block_memory,
        half_precision=options.half_precision,
    )
    samples = context.fisher.samples(options.statistics_photos, options.augmentations)
    last = list(statistics)[-1]
    working_bytes = statistics_memory(context.reference, options.row_block_memory).working_bytes
    layers: dict[str, LayerQuantizer] = {}
    for name in model.weight_names():
        layers[name] = regularized_quantizer(
            name, model.tensors[name], statistics[name], samples, lambda_,
            is_classifier=name == last, kernel_transform=kernel_transform,
        )  # fmt: skip
        if resident_bytes() + working_bytes > context.memory_bytes:
            layers[name] = _on_disk(layers[name], context)
    return layers


def _on_disk(layer: LayerQuantizer, context: Context) -> LayerQuantizer:
    """Return the layer with its factors in a file."""
    try:
        factors = mapped(layer.inverse_cholesky, context.store)
    except OSError as error:
        raise DataError(
            f"cannot write {layer.inverse_cholesky.nbytes / 1e9:.1f} GB, which do not fit into memory, to "
            f"{context.store}: {error.strerror or error}; free disk space, choose another cache folder, or allow more "
            "memory"
        ) from error
    release_pages(factors)
    return replace(layer, inverse_cholesky=factors)


def _corrected(
    options: RateDistortionPass,
    layers: Layers,
    compressed: Model,
    balanced: Model,
    links: Sequence[ChannelLink],
    context: Context,
) -> Layers:
    """Return the layers with measured instead of predicted error costs, and with dead weights pruned."""
    contributions = context.fisher.layer_contributions(
        compressed, balanced, options.sensitivity_photos, context.stage_seed
    )
    weights = {name: compressed.tensors[name].to_dense() for name in layers}
    biases = {name: compressed.tensors[bias].to_dense() for name, bias in compressed.bias_names().items()}
    predicted = {name: layer.predicted_divergence(weights[name]) for name, layer in layers.items()}
    photos = min(options.sensitivity_photos, _ERROR_PHOTOS)
    underestimated = _underestimated(compressed, balanced, predicted, photos, context)
    corrections = sensitivity_corrections(contributions, predicted) | underestimated
    weights |= {name: layers[name].weights for name in underestimated}  # channels that only their errors kill are alive
    dead = dead_weights(weights, biases, links)
    return {
        name: replace(layer, row_fisher=layer.row_fisher * corrections[name], mask=layer.mask & ~dead[name])
        for name, layer in layers.items()
    }


def _underestimated(
    compressed: Model, balanced: Model, predicted: Mapping[str, float], photos: int, context: Context
) -> dict[str, float]:
    """Return the factor of the error cost of each layer whose error changes the outputs far more than predicted.

    The gradients of a gate are nearly 0 where its sigmoid or softmax is nearly 0 or 1. An error that is large enough
    moves it all the same.
    """

    def error_of(*names: str) -> float:
        changed = {name: compressed.tensors[name] for name in names}
        return context.fisher.measured_error(balanced.with_tensors(changed), photos)

    def is_underestimated(error: float, prediction: float) -> bool:
        return error > max(_MAX_ERROR_RATIO * prediction, _MIN_ERROR)

    if not is_underestimated(error_of(*predicted), sum(predicted.values())):
        return {}
    errors = {name: error_of(name) for name in predicted}
    tiny = np.finfo(np.float64).tiny
    return {
        name: error / max(predicted[name], tiny)
        for name, error in errors.items()
        if is_underestimated(error, predicted[name])
    }


def _compressed(
    model: Model,
    layers: Layers,
    compress_layer: Callable[[LayerQuantizer, float], Shared],
    bias_precision: BiasPrecision,
    processes: ProcessGroup,
    lambda_: float,
) -> Model:
    """Return the model with compressed layers, which the processes share."""

    def compress(layer: LayerQuantizer) -> Shared | PassError:
        try:
            return compress_layer(layer, lambda_)
        except PassError as error:  # for all processes
            return error

    own = [layer for index, layer in enumerate(layers.values()) if processes.owns(index)]
    sizes = [layer.weights.size for layer in own]
    compressed = processes.gather_interleaved(map_heaviest_first(compress, own, sizes, torch.get_num_threads()))
    changed: dict[str, Dense | Shared] = {}
    for name, result in zip(layers, compressed, strict=True):
        if isinstance(result, PassError):
            raise result
        changed[name] = result
    biases = {bias: layers[name] for name, bias in model.bias_names().items()}
    for name, tensor in model.tensors.items():
        if name not in layers and name not in model.uncompressed:
            values, fisher = tensor.to_dense(), biases[name].bias_fisher if name in biases else None
            if bias_precision != "levels":
                changed[name] = round_to_precision(values, bias_precision, name)
            elif fisher is None:
                changed[name] = round_to_precision(values, "float16", name)
            else:
                levels = quantize_biases(values, fisher, lambda_)
                changed[name] = levels or round_to_precision(values, "float32", name)
    return model.with_tensors(changed)


def _fill_bytes(
    compress_at: Callable[[float], Model], max_bytes: int, first: float, min_fill: float, weights: int, context: Context
) -> tuple[Model, float]:
    """Return the model whose file fills a fraction of `max_bytes`, `min_fill` at least, and its lambda.

    The search begins at the lambda `first`. The last search logs why the file stays below `min_fill`.
    """
    search = LambdaSearch(max_bytes, first, min_fill, weights)
    best: tuple[Model, float] | None = None
    best_bytes, limit = 0, "more bits for the codebooks would fill it"
    with context.progress("searching for lambda", 0) as advance:
        while (trial := search.next_lambda()) is not None:
            try:
                candidate = compress_at(trial)
                file_bytes = context.file_bytes(candidate)
            except PassError as error:  # more levels than a file can have
                search.record(trial, None)
                limit = str(error).partition(";")[0]  # without the remedy
            else:
                search.record(trial, file_bytes)
                if file_bytes <= max_bytes:
                    best, best_bytes = (candidate, trial), file_bytes
                else:
                    limit = "the file's size jumps there"
            advance(1)
    if best is None:
        raise PassError(f"no lambda makes the file as small as {max_bytes:,} bytes; allow more, or prune first")
    if min_fill == _MIN_FILL and best_bytes < min_fill * max_bytes:  # the last search only
        _LOGGER.warning(
            "%s: the file takes %s of %s bytes: no smaller lambda is possible; %s",
            context.stage, f"{best_bytes:,}", f"{max_bytes:,}", limit,
        )  # fmt: skip
    return best
