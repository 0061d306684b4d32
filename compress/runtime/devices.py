"""Devices that networks run on."""

from __future__ import annotations

import torch

from compress.errors import ConfigError


def find_device(name: str | None) -> torch.device:
    """Return the torch device `name`; if it is None, a GPU where there is one, else the CPU.

    Raises:
        ConfigError: torch does not know the device, or this machine does not have it.
    """
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError) as error:  # NotImplementedError is a RuntimeError
        allowed = ", ".join(["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))])
        raise ConfigError(f"cannot run on {name!r}", key="--device", allowed=allowed) from error
    return device
