"""Distillation from another network than the float one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from own_networks import mobilenet
from torch import nn

from compress.data.digits import Digits
from compress.data.transforms import to_input
from compress.errors import ConfigError
from compress.model import CAFFE, TORCHVISION
from compress.networks.user_network import Own
from compress.passes import Context, Distill
from compress.training.teacher_adapter import teacher_for

STUDENT = Own(factory="own_networks:mobilenet", size=32, resize="squash")


@pytest.mark.parametrize("wanted", [replace(CAFFE, height=32, width=32), replace(TORCHVISION, height=48, width=40)])
def test_a_teacher_sees_what_the_network_sees_in_its_own_way(wanted):
    student = STUDENT.load()
    seen: list[torch.Tensor] = []

    class Watching(nn.Module):
        def forward(self, x):
            seen.append(x)
            return x.mean((2, 3))

    teacher = replace(student, preprocessing=wanted)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    network = teacher_for(student, teacher)
    network.network = Watching()
    network(torch.from_numpy(to_input(pixels, student.preprocessing)))
    assert seen[0].shape[2:] == (wanted.height, wanted.width)
    same_size = replace(wanted, height=32, width=32)
    mean = to_input(pixels, same_size).mean((2, 3))
    np.testing.assert_allclose(seen[0].mean((2, 3)).numpy(), mean, rtol=1e-2, atol=0.02 * np.abs(mean).max())


def test_what_is_distilled_comes_nearer_to_the_teacher(tmp_path):
    torch.manual_seed(5)
    torch.save({name: value * 1.5 for name, value in mobilenet().state_dict().items()}, tmp_path / "teacher.pth")
    student = STUDENT.load()
    photos = Digits(limit=40).load(student.preprocessing, "calibration", classes=10)
    context = Context(student, photos)
    source = replace(STUDENT, checkpoint=str(tmp_path / "teacher.pth"), size=40)
    inputs = context.inputs(np.arange(40))
    teacher = teacher_for(student, source.load())

    def apart(model):
        with torch.inference_mode():
            wanted, got = teacher(inputs).log_softmax(1), context.network(model)(inputs).log_softmax(1)
        return float((wanted.exp() * (wanted - got)).sum(1).mean())

    distilled = Distill(steps=20, batch=20, learning_rate=0.1, teacher=source)(student, context)
    assert apart(distilled) < 0.5 * apart(student)


def test_a_teacher_of_other_classes_is_refused():
    with pytest.raises(ConfigError, match="the teacher tells 7 classes apart, and the network 10"):
        teacher_for(STUDENT.load(), replace(STUDENT, args={"classes": 7}).load())
