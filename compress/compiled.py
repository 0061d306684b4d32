"""Loops that numpy cannot express, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(signature: Any, *, inline: bool = False) -> Callable[[Function], Function]:
    """Compile a function for `signature` alone, cached on disk where there is a place to write to.

    The cache knows of the function's own file alone: whoever changes a compiled function in one file that another
    calls has to touch the other, too.

    Args:
        signature: numba's types of the result and the arguments.
        inline: take its statements into functions that call it; worth it where a call costs as much as the work.
    """
    where: Literal["always", "never"] = "always" if inline else "never"

    def compile_function(function: Function) -> Function:
        try:
            machine_code: Any = numba.njit(signature, cache=True, nogil=True, inline=where)(function)
        except RuntimeError:  # numba found no folder that it may write its cache to
            machine_code = numba.njit(signature, nogil=True, inline=where)(function)
        return cast("Function", machine_code)

    return compile_function
