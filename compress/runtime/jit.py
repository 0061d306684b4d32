"""Loops that numpy cannot express, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(signature: Any, *, inline: bool = False) -> Callable[[Function], Function]:
    """Compile a function for `signature` alone, cached on disk where there is a place to write to.

    The cache knows of the function's own file alone: whoever changes a compiled function in one file that another
    calls has to touch the other, too.

    Args:
        signature: numba's types of the result and the arguments.
        inline: put its machine code into that of every function that calls it; worth it where a call costs as much
            as the work. The compiler does not do so by itself. Such a function makes no arrays: those that it is given
            are its caller's, and are not counted as referred to once more, which would take a third of the time.
    """
    options: dict[str, Any] = {"nogil": True, "forceinline": inline, "_nrt": not inline}

    def compile_function(function: Function) -> Function:
        try:
            machine_code: Any = numba.njit(signature, cache=True, **options)(function)
        except RuntimeError:  # numba found no folder that it may write its cache to
            machine_code = numba.njit(signature, **options)(function)
        return cast("Function", machine_code)

    return compile_function
