"""Pipelines: a YAML file describes a run, and `run` executes it.

In comes a pipeline file, with overrides. `config` checks it and turns it into a `Pipeline`; `inputs` loads weights and
photos; `stages` runs the passes, with a cache; `runner` writes `model.sqz`, reads it back in a new process, and writes
the report. Out come the file and the record of the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compress.pipeline.config import Pipeline, read_pipeline

if TYPE_CHECKING:
    from compress.pipeline.runner import RunResult, run

__all__ = ["Pipeline", "RunResult", "read_pipeline", "run"]


def __getattr__(name: str) -> Any:
    """Import `run` and `RunResult` when they are used: a mistake in a pipeline file is found without torch."""
    if name in {"run", "RunResult"}:
        from compress.pipeline import runner  # noqa: PLC0415

        return getattr(runner, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
