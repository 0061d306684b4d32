"""Loops that numpy cannot express, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(signature: object) -> Callable[[Function], Function]:
    """Compile a function for `signature` alone, cached on disk where there is a place to write to."""

    def compile_function(function: Function) -> Function:
        try:
            machine_code: Any = numba.njit(signature, cache=True, nogil=True)(function)
        except RuntimeError:  # numba found no folder that it may write its cache to
            machine_code = numba.njit(signature, nogil=True)(function)
        return cast("Function", machine_code)

    return compile_function
