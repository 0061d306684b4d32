"""Devices that networks run on."""

from __future__ import annotations

import os

import torch

from compress.errors import ConfigError

_BFLOAT16_INSTRUCTIONS = "avx512_bf16", "amx_bf16"
"""Extensions of x86 processors that multiply numbers in bfloat16."""


def find_device(name: str | None) -> torch.device:
    """Return a torch device by name; None: a GPU if there is one, else the CPU.

    Raises:
        ConfigError: torch does not know the device, or this machine does not have it.
    """
    name = device_name(name)
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError) as error:  # NotImplementedError is a RuntimeError
        allowed = ", ".join(["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))])
        raise ConfigError(f"cannot run on {name!r}", key="--device", allowed=allowed) from error
    return device


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device computes in bfloat16 itself, so that half precision is faster than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):  # older torch
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in _BFLOAT16_INSTRUCTIONS)


def device_name(name: str | None) -> str:
    """Return the name of a device; `cuda` and None select the own GPU of a process that `torchrun` started."""
    if name not in {None, "cuda"} or not torch.cuda.is_available():
        return name or "cpu"
    local_rank = os.environ.get("LOCAL_RANK")
    return f"cuda:{int(local_rank) % torch.cuda.device_count()}" if local_rank else "cuda"
