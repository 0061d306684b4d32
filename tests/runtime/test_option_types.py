"""Byte counts as people write them, in pipeline files and on the command line."""

from __future__ import annotations

import click
import pytest
from pydantic import TypeAdapter, ValidationError

from compress.cli.options import FileBytes
from compress.runtime.option_types import Bytes

IN_PIPELINES = TypeAdapter(Bytes)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("500000", 500_000),
        ("500,000", 500_000),
        ("500 000", 500_000),
        ("1\u202f234\u00a0567 bytes", 1_234_567),
        ("500kB", 500_000),
        ("500 KB", 500_000),
        ("0.47MB", 470_000),
        ("460KiB", 471_040),
        ("0.5 MiB", 524_288),
        ("1GiB", 2**30),
        ("4.7007 kB", 4_701),
    ],
)
def test_pipelines_and_options_take_the_same_units(written, expected):
    assert IN_PIPELINES.validate_python(written) == expected
    assert FileBytes().convert(written, None, None) == expected


@pytest.mark.parametrize(
    "written",
    ["", "kB", "0", "0.0001 kB", "-5", "500.000", "5 TB", "5 iB", "5 k", "5 kb/s", "1.2.3", "five", "50 00", "1 2 kB"],
)
def test_anything_else_is_refused_with_the_allowed_units(written):
    with pytest.raises(ValidationError):
        IN_PIPELINES.validate_python(written)
    with pytest.raises(click.BadParameter):
        FileBytes().convert(written, None, None)


def test_the_message_shows_the_units():
    with pytest.raises(click.BadParameter, match=r"'5 TB' is not a number of bytes .*500 kB, 0\.47 MB, 460 KiB"):
        FileBytes().convert("5 TB", None, None)
