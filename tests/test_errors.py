from __future__ import annotations

import pytest

from compress.errors import (
    ConfigError,
    DataError,
    FormatError,
    GoalMissed,
    PassError,
    SqueezeError,
    WeightsError,
    nearest,
)


@pytest.mark.parametrize(
    ("kind", "exit_code"),
    [(ConfigError, 2), (GoalMissed, 3), (PassError, 1), (DataError, 1), (FormatError, 1), (WeightsError, 1)],
)
def test_each_error_has_the_common_root_and_its_exit_code(kind, exit_code):
    error = kind("the problem")
    assert isinstance(error, SqueezeError)
    assert error.exit_code == exit_code
    assert str(error) == "the problem"


def test_a_config_error_has_file_line_key_problem_and_allowed_values():
    error = ConfigError("is 1.5", file="p.yaml", line=7, key="stages.prune.sparsity", allowed="0 to 1")
    assert str(error) == "p.yaml:7: stages.prune.sparsity: is 1.5 (allowed: 0 to 1)"
    assert (error.file, error.line, error.key) == ("p.yaml", 7, "stages.prune.sparsity")
    assert (error.problem, error.allowed) == ("is 1.5", "0 to 1")


def test_a_config_error_without_a_file_has_the_key_alone():
    assert str(ConfigError("is unknown", key="data.calibation")) == "data.calibation: is unknown"


def test_a_pass_error_names_stage_and_tensor():
    assert str(PassError("is NaN", stage="prune", tensor="conv.weight")) == "stage prune, tensor conv.weight: is NaN"
    assert str(PassError("is NaN", tensor="conv.weight")) == "tensor conv.weight: is NaN"


def test_a_format_error_has_offset_and_expectation():
    error = FormatError("the file ends", offset=12345, expected="4 more bytes")
    assert str(error) == "at byte 12,345: the file ends; expected 4 more bytes"
    assert str(FormatError("the file ends", offset=0)) == "at byte 0: the file ends"


def test_the_most_similar_name_is_suggested_if_it_is_similar():
    assert nearest("prnue", ["share", "prune"]) == "; did you mean 'prune'?"
    assert nearest("zzz", ["share", "prune"]) == ""
    assert nearest("prune", []) == ""
