from __future__ import annotations

from pathlib import Path

import pytest
import torch

from compress.errors import ConfigError
from compress.runtime.devices import device_name, find_device, has_bfloat16


def test_the_default_is_a_gpu_if_there_is_one():
    assert find_device(None).type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_device_is_found_by_name():
    assert find_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta", "xla", "0"])
def test_an_unknown_device_is_a_configuration_error_that_lists_the_devices(name):
    with pytest.raises(ConfigError, match=rf"^--device: cannot run on '{name}' \(allowed: cpu"):
        find_device(name)


def test_each_process_of_a_machine_has_its_own_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert device_name(None) == device_name("cuda") == "cuda"
    monkeypatch.setenv("LOCAL_RANK", "7")
    assert device_name(None) == device_name("cuda") == "cuda:3"
    assert device_name("cpu") == "cpu"
    assert device_name("cuda:1") == "cuda:1"


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="Linux lists the instructions of the processor")
def test_half_precision_needs_its_instructions():
    instructions = Path("/proc/cpuinfo").read_text().split()
    assert has_bfloat16(torch.device("cpu")) == bool({"avx512_bf16", "amx_bf16"} & set(instructions))
    assert not has_bfloat16(torch.device("meta"))
