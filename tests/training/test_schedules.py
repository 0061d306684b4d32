"""Learning rate schedules."""

from __future__ import annotations

import pytest

from compress.training.trained_network import cosine_schedule


def test_the_learning_rate_falls_along_a_cosine():
    rates = [cosine_schedule(step, 100) for step in (0, 50, 99)]
    assert rates == pytest.approx([1, 0.5, 0.000247], rel=1e-2)


def test_the_warmup_is_linear():
    rates = [cosine_schedule(step, 100, warmup_steps=4) for step in range(5)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(0 < cosine_schedule(step, 10, warmup_steps=10) < 1 for step in range(10))
