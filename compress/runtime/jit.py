"""Compile loops that numpy cannot express, at their first use.

numba is imported then: its import takes as long as decoding a file, which needs no loop of this package.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from types import FunctionType
from typing import Any, TypeVar, cast

from compress.runtime.loop import Contiguous, Loop

__all__ = ["CompiledLoop", "Contiguous", "compiled"]

Function = TypeVar("Function", bound=Callable[..., Any])


class CompiledLoop(Loop):
    """A loop that Python code and other loops call."""

    @cached_property
    def machine_code(self) -> Any:
        """The dispatcher of numba, which compiles the loop at the first use."""
        from compress.runtime.machine_code import machine_code_of  # noqa: PLC0415

        return machine_code_of(self)

    @property
    def _numba_type_(self) -> Any:
        """The type that numba asks for where a loop calls this one."""
        return self.machine_code._numba_type_

    def __call__(self, *arguments: Any) -> Any:
        return self.machine_code(*arguments)


def compiled(*, inline: bool = False, allocates: bool = False) -> Callable[[Function], Function]:
    """Compile a function for its annotations at its first use, with a cache on disk where a folder is writable.

    The annotation of an array is `Annotated[NDArray[...], Contiguous(...)]`; a named tuple has annotated fields.

    Args:
        inline: insert the machine code into each caller.
        allocates: the function creates arrays, for which numba otherwise finds no implementation. It counts references,
            which takes a third of the time of an inner loop, and its first use loads numba's array functions, which
            takes 40 ms.
    """

    def compile_function(function: Function) -> Function:
        return cast("Function", CompiledLoop(cast("FunctionType", function), inline=inline, allocates=allocates))

    return compile_function
