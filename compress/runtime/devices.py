"""Where networks run."""

from __future__ import annotations

import torch

from compress.errors import ConfigError


def find_device(name: str | None) -> torch.device:
    """Return the device of this name; without a name a GPU if there is one, else the CPU.

    Raises:
        ConfigError: torch knows no such device, or it is not there.
    """
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError) as error:  # NotImplementedError is a RuntimeError
        allowed = ", ".join(["cpu", *(f"cuda:{place}" for place in range(torch.cuda.device_count()))])
        raise ConfigError(f"cannot run on {name!r}", key="--device", allowed=allowed) from error
    return device
