"""Labelled photos, and interrupted trainings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compress.training.distillation import Distillation
from compress.training.supervised import SupervisedTraining


@pytest.fixture
def labelled(context, patchwork):
    """120 photos, each tinted in one of six colors, which is its label."""
    photos, labels = patchwork(120, seed=3), np.random.default_rng(3).permutation(np.arange(120) % 6)
    tints = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 0], [0, 200, 200], [200, 0, 200]])
    pixels = (photos.pixels // 5 + tints[labels][:, None, None]).astype(np.uint8)
    return replace(context, calibration=replace(photos, pixels=pixels, labels=labels))


@pytest.fixture
def stop_at(monkeypatch):
    """Return a function that interrupts all trainings at a step, as Ctrl-C does, and returns the list of steps done."""
    steps = {kind: kind.step for kind in (Distillation, SupervisedTraining)}

    def stop(last):
        done = []
        for kind, step in steps.items():

            def interrupted(self, number, photos, step=step):
                if number == last:
                    raise KeyboardInterrupt
                done.append(number)
                return step(self, number, photos)

            monkeypatch.setattr(kind, "step", interrupted)
        return done

    return stop
