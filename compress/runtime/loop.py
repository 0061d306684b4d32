"""A loop in Python code that is to be compiled, and the layout of arrays in its annotations."""

from __future__ import annotations

from dataclasses import dataclass
from types import FunctionType
from typing import NamedTuple


class Contiguous(NamedTuple):
    """The layout of an array in the annotation `Annotated[NDArray[...], Contiguous(...)]`: row-major.

    Attributes:
        dimensions: of the array.
        readonly: the loop does not write to it, and takes arrays that may not be written.
    """

    dimensions: int
    readonly: bool = False


@dataclass(frozen=True)
class Loop:
    """A function to compile for its annotations; `jit.compiled` describes the options."""

    function: FunctionType
    inline: bool
    allocates: bool
