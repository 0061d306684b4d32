"""One YAML file describes a run; a run leaves a file, and what is known of it."""

from __future__ import annotations

from compress.pipeline.config import Pipeline, read_pipeline
from compress.pipeline.run import Result, run

__all__ = ["Pipeline", "Result", "read_pipeline", "run"]
