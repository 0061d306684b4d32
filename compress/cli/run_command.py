"""The command `run`, and its result as text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compress.cli import console, options
from compress.cli.dry_run import show_forecast

if TYPE_CHECKING:
    from compress.pipeline.runner import RunResult
    from compress.report.record import PhotoExample, RunRecord, StageRecord


@click.command()
@options.pipeline
@click.option("-o", "--out", type=options.FOLDER, help="Folder for the results. [default: out/NAME]")
@click.option("--fresh", is_flag=True, help="Neither read nor write the cache.")
@click.option("--dry-run", is_flag=True, help="Say what would run, how long and with how much memory. Run nothing.")
@options.memory
@options.max_drop
def run(
    pipeline: str, overrides: tuple[str, ...], seed: int | None, device: str | None, out: Path | None, as_json: bool,
    dry_run: bool, max_drop: float | None, **more: Any,
) -> None:  # fmt: skip
    """Compress a network as a pipeline describes it.

    PIPELINE is a YAML file or the name of a built-in pipeline; ./pipeline.yaml by default. The results of stages are
    cached: after a change of the pipeline, a run starts at the first stage that changed. With --max-drop, the last
    stage `quantize` or `share` searches for the smallest file, and the drop replaces the goal of the pipeline.

    Exit codes: 0 done, 1 failed, 2 bad configuration, 3 the goal was missed.

    Example: squeeze-compress run squeezenet --set stages.share.bytes=480kB --set goal.bytes=480kB
    """
    goal = () if max_drop is None else (f"goal={{max_top1_drop: {max_drop:g}}}",)  # a stage may need it already
    spec = options.read_pipeline(pipeline, (*overrides, *goal), seed)  # before the slow imports
    if max_drop is not None:
        from compress.configuration.recipes import smallest_within  # noqa: PLC0415

        smallest = smallest_within(spec, max_drop)
        spec, overrides = spec.with_overrides(smallest), (*overrides, *smallest)
    out = out or Path("out") / spec.name
    options.warn_of_goal(spec)
    if dry_run:
        show_forecast(spec, out, device, as_json=as_json, **more)
        return
    from compress.pipeline import runner  # noqa: PLC0415
    from compress.pipeline.environment import run_command  # noqa: PLC0415
    from compress.report.goal_shortfall import check_goals  # noqa: PLC0415
    from compress.runtime import distributed  # noqa: PLC0415
    from compress.runtime.devices import find_device  # noqa: PLC0415

    own_device = find_device(device)
    with distributed.join_process_group(own_device) as processes:
        if not processes.is_first:
            console.set_verbosity(quiet=True, verbose=False)
        with console.follow_run() as (progress, watch):
            result = runner.run(
                spec,
                out,
                command=run_command(pipeline, seed, overrides),
                device=str(own_device),
                progress=progress,
                watch=watch,
                processes=processes,
                **more,
            )
    if processes.is_first:
        show_result(result, as_json=as_json)
        check_goals(result.record.goals)


def show_result(result: RunResult, *, as_json: bool = False) -> None:
    """Print the record as JSON, or the stages of a run, its goals with the causes of misses, and the paths."""
    from compress.report.report_json import to_json  # noqa: PLC0415  `compress.report` imports jinja2 and scipy: slow

    if as_json:
        click.echo(to_json(result.record), nl=False)
        return
    _show_stages(result.record)
    console.say("")
    _show_bytes(result.record)
    _show_data(result.record)
    _show_goals(result.record)
    console.say(f"model:  {result.model_path}")
    console.say(f"report: {result.report_path}")


def _show_stages(record: RunRecord) -> None:
    labeled = _is_labeled(record)
    fidelity = record.stages[-1].fidelity
    accuracy = ("top-1", "top-5") if labeled else ()
    agreement = ("agreement",) if fidelity.agreement else ()
    columns = ("stage", "bytes", "zeros", "bits/weight", *accuracy, *agreement, fidelity.error_name, "seconds")
    console.show_table(columns, [_stage_row(stage, labeled=labeled) for stage in record.stages])
    if cached := [stage.name for stage in record.stages if stage.from_cache]:
        console.say(f"from the cache: {', '.join(cached)}; seconds are those of the run that computed them")
    for stage in record.stages:
        for text in stage.notes:
            console.say(f"{stage.name}: {text}")
    if fidelity.agreement:
        console.say("KL: how far the class probabilities are from those of the float network; 0 is the same")
    else:
        console.say("relative MSE: mean squared error over the variance of the float network's outputs; 0 is the same")


def _is_labeled(record: RunRecord) -> bool:
    return record.stages[0].accuracy is not None


def _show_bytes(record: RunRecord) -> None:
    from compress.report.record import ALEXNET_BYTES  # noqa: PLC0415

    file_bytes = record.file.file_bytes
    alexnet = f", {ALEXNET_BYTES / file_bytes:.0f} than AlexNet" if record.is_imagenet_classifier else ""
    console.say(f"{file_bytes:,} bytes: {record.float_bytes / file_bytes:.1f} times smaller than float32{alexnet}")
    if left := record.uncompressed_parameters:
        parameters = f"{left:,} of {record.parameters:,} parameters ({left / record.parameters:.1%})"
        console.say(f"No pass compresses {parameters}: they take {record.uncompressed_bytes:,} bytes as they are.")


def _show_data(record: RunRecord) -> None:
    for data in record.data:
        console.say(f"{data.role}: {data.description}")
        if data.skipped:
            console.say(f"  skipped {len(data.skipped):,}, such as {data.skipped[0]}")
    if record.compared:
        console.say(f"Compared with the float network: {record.compared}.")
    elif not _is_labeled(record):
        console.say("These photos have no labels: fidelity to the float network was measured, not accuracy.")
    if record.example:
        _show_example(record.example)


def _show_goals(record: RunRecord) -> None:
    from compress.report.formatting import to_ascii  # noqa: PLC0415
    from compress.report.goal_shortfall import explain_miss, goal_line  # noqa: PLC0415

    for goal in record.goals:
        console.say(goal_line(goal))
        if cause := explain_miss(record, goal):
            console.say(f"  {to_ascii(cause)}")


def _show_example(example: PhotoExample) -> None:
    console.say("")
    console.say(f"{example.photo}:")
    rows = [
        (f"{before.probability:.1%}", before.name, f"{after.probability:.1%}", after.name)
        for before, after in zip(example.before, example.after, strict=True)
    ]
    console.show_table(("", "float network", "", "the file"), rows, text_columns=4)
    console.say("")


def _stage_row(stage: StageRecord, *, labeled: bool) -> list[str]:
    accuracy = [""] * 2 if labeled else []
    if stage.accuracy:
        accuracy = [console.in_percent(stage.accuracy.top1), console.in_percent(stage.accuracy.top5)]
    agreement, error = stage.fidelity.agreement, stage.fidelity.error
    return [
        stage.name, f"{stage.file_bytes:,}", f"{stage.sparsity:.1%}", f"{stage.bits_per_weight:.2f}", *accuracy,
        *([f"{agreement.value:.1%}"] if agreement else []), f"{error.value:.4f}", f"{stage.seconds:.1f}",
    ]  # fmt: skip
