"""Pipelines: a YAML file describes a run, and `run` executes it.

In comes a pipeline file, with overrides. `config` checks it and turns it into a `Pipeline`; `inputs` loads weights and
photos; `stages` runs the passes, with a cache; `run` writes `model.sqz`, reads it back in a new process, and writes the
report. Out come the file and the record of the run.
"""

from __future__ import annotations

from compress.pipeline.config import Pipeline, read_pipeline
from compress.pipeline.run import RunResult, run

__all__ = ["Pipeline", "RunResult", "read_pipeline", "run"]
