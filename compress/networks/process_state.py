"""What the user's code changes for the whole process, and what it must not see of it."""

from __future__ import annotations

import logging
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

_PACKAGE = __name__.partition(".")[0]


def _logging_settings() -> tuple[Any, ...]:
    """Return which messages are shown, and by whom, of this package's loggers and of the root."""
    loggers = [each for name, each in logging.root.manager.loggerDict.items() if name.partition(".")[0] == _PACKAGE]
    shown = [each for each in (logging.root, *loggers) if isinstance(each, logging.Logger)]  # others: placeholders
    each_shows = [(each, each.level, each.disabled, each.propagate, [*each.handlers]) for each in shown]
    return logging.root.manager.disable, each_shows


def _set_logging(settings: tuple[Any, ...]) -> None:
    disabled_level, each_shows = settings
    logging.disable(disabled_level)
    for logger, level, disabled, propagate, handlers in each_shows:
        logger.setLevel(level)
        logger.disabled, logger.propagate, logger.handlers[:] = disabled, propagate, handlers


_SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], object]], ...] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_default_device, lambda device: torch.set_default_device(None if device.type == "cpu" else device)),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (np.geterr, lambda errors: np.seterr(**errors)),
    (os.getcwd, os.chdir),
    (_logging_settings, _set_logging),
    (lambda: torch.compile, lambda function: setattr(torch, "compile", function)),
)
"""Functions that return and change a setting of the process."""

_NO_COMPILER = "TORCHDYNAMO_DISABLE"
"""Environment variable with which `torch.compile` returns the function or the module that it gets."""

_COMPILE = torch.compile


def _wrap(model: Any = None, **options: Any) -> Any:
    """Wrap a module as `torch.compile` does, which changes the names of its tensors, and compile nothing.

    The user's module may have imported this function, and may call it later: then it is `torch.compile`.
    """
    if os.environ.get(_NO_COMPILER) != "1" or options.get("disable"):
        return _COMPILE(model, **options)
    if model is None:
        return partial(_wrap, **options)
    if not isinstance(model, nn.Module):
        return model
    from torch._dynamo import OptimizedModule  # noqa: PLC0415  slow

    uncompiled: Any = lambda function: function  # noqa: E731  torch's type is private
    return OptimizedModule(model, uncompiled)


@contextmanager
def settings_restored() -> Iterator[None]:
    """Restore the settings of the process after code of the user ran in the block, such as the default precision.

    The code sees no arguments of the command line, which are not its own, and compiles nothing: compiled functions
    compute the same, hide their operations, and need a compiler.
    """
    before = [read() for read, _ in _SETTINGS]
    arguments, compiler = sys.argv, os.environ.get(_NO_COMPILER)
    sys.argv, os.environ[_NO_COMPILER] = arguments[:1], "1"
    if compiler != "1":
        torch.compile = _wrap
    try:
        with warnings.catch_warnings():
            yield
    finally:
        sys.argv = arguments
        os.environ.pop(_NO_COMPILER)
        if compiler is not None:
            os.environ[_NO_COMPILER] = compiler
        for (read, change), value in zip(_SETTINGS, before, strict=True):
            if read() != value:
                change(value)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of torch, numpy and Python in the block, and restore them afterwards."""
    with torch.random.fork_rng(devices=[]), seeded_without_torch(seed):
        torch.manual_seed(seed)
        yield


@contextmanager
def seeded_without_torch(seed: int) -> Iterator[None]:
    """Seed the global generators of numpy and Python in the block, and restore them afterwards."""
    states = np.random.get_state(), random.getstate()  # noqa: NPY002  the generator that user code draws from
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(states[0])  # noqa: NPY002
        random.setstate(states[1])
