from __future__ import annotations

import pytest
import torch

from compress.errors import ConfigError
from compress.runtime.devices import find_device


def test_the_default_is_a_gpu_if_there_is_one():
    assert find_device(None).type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_device_is_found_by_name():
    assert find_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta", "xla", "0"])
def test_an_unknown_device_is_a_configuration_error_that_lists_the_devices(name):
    with pytest.raises(ConfigError, match=rf"^--device: cannot run on '{name}' \(allowed: cpu"):
        find_device(name)
