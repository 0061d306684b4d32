"""`bytes: smallest`: the smallest file that meets the limits of a goal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from divergence import divergence

from compress import container
from compress.context import Quality, QualityTarget
from compress.errors import PassError
from compress.passes import Quantize, Share

PASSES = [Quantize(bytes="smallest", trellis=False), Share(bits=6, bytes="smallest")]


def within(context, limit):
    """Return the context with a limit on the divergence, and the list of measured divergences."""
    measured = []

    def measure(model):
        measured.append(divergence(model, context))
        return Quality(measured[-1] <= limit, f"divergence {measured[-1]:.3g}")

    return replace(context, quality=QualityTarget({}, measure)), measured


@pytest.mark.parametrize("pass_", PASSES, ids=lambda each: each.kind)
@pytest.mark.parametrize("limit", [0.003, 0.03])
def test_the_file_meets_the_limit_and_a_tenth_less_does_not(pass_, limit, tiny, context):
    limited, measured = within(context, limit)
    smallest = pass_(tiny, limited)
    assert divergence(smallest, context) <= limit
    file_bytes = context.file_bytes(smallest)
    smaller = replace(pass_, bytes=int(0.9 * file_bytes))(tiny, context)
    assert divergence(smaller, context) > limit
    results = f"divergence {divergence(smallest, context):.3g} in {file_bytes:,} bytes"
    assert smallest.notes[0].startswith("the smallest file that meets the goal, of ")
    assert smallest.notes[0].endswith(results)
    assert len(measured) <= 30


def test_each_file_of_the_search_is_logged_with_its_bytes_and_results(tiny, context, caplog):
    caplog.set_level("INFO", "compress")
    limited, measured = within(context, 0.03)
    smallest = PASSES[0](tiny, limited)
    lines = [line for line in caplog.messages if " the goal: divergence " in line]
    assert len(lines) == len(measured)
    result = f"{divergence(smallest, context):.3g}"
    assert f"stage: a file of {context.file_bytes(smallest):,} bytes meets the goal: divergence {result}" in lines


def test_the_statistics_are_gathered_once(tiny, context, monkeypatch):
    calls = []
    statistics = type(context.fisher).row_statistics
    monkeypatch.setattr(
        type(context.fisher), "row_statistics", lambda *args, **options: calls.append(1) or statistics(*args, **options)
    )
    PASSES[0](tiny, within(context, 0.05)[0])
    assert len(calls) == 1


def test_the_same_limits_give_the_same_bytes(tiny, context):
    once, again = (container.encode(PASSES[0](tiny, within(context, 0.05)[0])) for _ in range(2))
    assert once == again


def test_if_no_file_meets_the_limit_the_largest_says_what_it_reached(tiny, context, caplog):
    limited, measured = within(context, -1.0)
    largest = PASSES[0](tiny, limited)
    assert context.file_bytes(largest) > context.file_bytes(Quantize(lambda_=1e-8, trellis=False)(tiny, context))
    note = f"divergence {divergence(largest, context):.3g} in {context.file_bytes(largest):,} bytes"
    assert largest.notes[0].startswith("no file meets the goal; the largest, of ")
    assert largest.notes[0].endswith(note)
    assert f"stage: {largest.notes[0]}" in caplog.text
    assert len(measured) <= 24


def test_without_limits_it_is_an_error(tiny, context):
    with pytest.raises(PassError, match="bytes: smallest needs the limits of a goal"):
        PASSES[0](tiny, context)
