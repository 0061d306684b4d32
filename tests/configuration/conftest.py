from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from compress.configuration.config import Pipeline
from compress.errors import ConfigError

WHOLE = """\
# A pipeline with every kind of value.
# In two lines.
seed: 3

model:
  source: embedded

data:
  calibration: {source: samples, count: 4}
  validation:
    source: folder
    path: photos
    limit: 10

stages:
  - pass: prune
    sparsity: 0.5
    layers:
      3x3: {sensitivity: 0.7}
  - pass: share
    bits: 5
    layers:
      classifier.1.weight: 4
  - name: again
    pass: distill
    steps: 3

encode:
  coding: huffman

goal:
  bytes: 500 kB
  max_top1_drop: 1.5
"""


@pytest.fixture
def whole() -> str:
    return WHOLE


@pytest.fixture
def fault(tmp_path: Path, read: Callable[..., Pipeline]) -> Callable[..., str]:
    """Return a function that gives the error message of a wrong pipeline, without the folder."""

    def message(text: str | bytes, *overrides: str) -> str:
        with pytest.raises(ConfigError) as caught:
            read(text, *overrides)
        assert "\n" not in str(caught.value)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return message
