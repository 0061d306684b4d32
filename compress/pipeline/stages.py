"""Running the stages of a pipeline one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from compress.configuration.config import Pipeline, Stage
from compress.context import Context, Quality, QualityTarget
from compress.errors import ConfigError, PassError, SqueezeError
from compress.model import Model
from compress.networks.factory import needs_trust
from compress.pipeline.inputs import RunInputs
from compress.pipeline.invariants import check_invariants
from compress.pipeline.resource_meter import ResourceUsage, measure_usage
from compress.pipeline.stage_cache import StageCache
from compress.runtime.memory import release_free_memory
from compress.tensors.forms import Dense


@dataclass(frozen=True, eq=False)
class StageResult:
    """The result of a stage.

    Attributes:
        stage: the stage.
        model: its output.
        usage: its time and memory.
        context: of the next stage.
        is_float: the model is a float network: no stage compressed it.
        is_reference: the stage trained the float network, which later stages are compared with.
        from_cache: the model and its usage are of an earlier run.
    """

    stage: Stage
    model: Model
    usage: ResourceUsage
    context: Context
    is_float: bool
    is_reference: bool
    from_cache: bool


def run_stages(
    pipeline: Pipeline,
    inputs: RunInputs,
    measure: Callable[[Model], Quality] | None = None,
    *,
    only_cached: bool = False,
) -> Iterator[StageResult]:
    """Run the stages of a pipeline in order, or read their results from the cache.

    Args:
        pipeline: has the stages.
        inputs: of this pipeline, or of one that differs in nothing but stages and coding.
        measure: returns whether a model meets the goal, for a stage that `needs_goal`; None: none may run.
        only_cached: run nothing, and end before the first stage whose result is not in the cache.
    Yields:
        the result of each stage; the next stage runs when its result is requested.
    Raises:
        SqueezeError: a stage failed; names the stage.
    """
    context = replace(inputs.context, codecs=pipeline.encode.codecs)
    model = inputs.reference
    is_float = is_uncompressed(model)
    identity = {"goal": asdict(pipeline.goal), "validation": inputs.validation.fingerprint}
    for stage in pipeline.stages:
        quality = QualityTarget(identity, measure) if stage.pass_.needs_goal else None
        result = _load_or_run(stage, model, replace(context, quality=quality), inputs.cache, only_cached=only_cached)
        if result is None:
            return
        model, usage, from_cache = result
        is_float &= is_uncompressed(model) or stage.pass_.keeps_float
        is_reference = is_float and stage.pass_.needs_labels
        if is_reference or stage.pass_.preserves_outputs:
            context = replace(context, reference=model)
        elif model.reference and model.reference is not context.reference:
            context = replace(context, reference=model.reference)
        yield StageResult(stage, model, usage, context, is_float, is_reference, from_cache)


def is_uncompressed(model: Model) -> bool:
    """Return whether all tensors of a model are dense float32 values."""
    return all(isinstance(tensor, Dense) and tensor.stored_as == "float32" for tensor in model.tensors.values())


def _load_or_run(
    stage: Stage, model: Model, context: Context, cache: Path, *, only_cached: bool
) -> tuple[Model, ResourceUsage, bool] | None:
    """Return the output of a stage, its resource usage and whether they are from the cache, as is preferred.

    None: they are not there, and with `only_cached` nothing may run.
    """
    stage_cache, processes = StageCache(cache, stage, model, context), context.processes
    if cached := processes.broadcast(stage_cache.read() if processes.is_first else None):
        with context.progress(f"{stage.name}: read from the cache", 0):
            return *cached, True
    if only_cached:
        return None
    release_free_memory()  # of decoded photos
    with measure_usage() as usage:
        changed = _run(stage, model, context)
        check_invariants(model, changed, stage.name)
    # Machines may round differently. All processes continue with the model of the first.
    changed = processes.broadcast(changed)
    if processes.is_first:
        stage_cache.write(changed, usage)
    return changed, usage, False


def _run(stage: Stage, model: Model, context: Context) -> Model:
    """Call the pass of a stage; add the stage's name to its errors."""
    try:
        return stage.pass_(replace(model, notes=(), training=None), replace(context, stage=stage.name))
    except PassError as error:
        raise PassError(error.problem, stage=stage.name, tensor=error.tensor) from error
    except ConfigError as error:
        key = ".".join(["stages", stage.name, *([error.key] if error.key else [])])
        raise ConfigError(error.problem, key=key, allowed=error.allowed) from error
    except Exception as error:  # torch's, about the network's code
        if isinstance(error, SqueezeError | MemoryError | OSError) or not needs_trust(model.architecture):
            raise
        problem, _, _ = f"{type(error).__name__}: {error}".partition("\n")
        raise PassError(
            f"the network's code does not support this pass: {problem} (squeeze-compress -v prints where)",
            stage=stage.name,
        ) from error
