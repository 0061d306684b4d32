"""Machine code of loops, by numba. `jit.py` imports this module when the first loop runs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import CodeType, NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import numba
import numpy as np
from numba import types
from numba.core.caching import FunctionCache
from numba.core.compiler_lock import global_compiler_lock
from numba.core.runtime.nrt import rtsys
from numba.extending import is_jitted

from compress.runtime.loop import Contiguous, Loop

_config: Any = numba.config
_SCALARS = {
    int: types.int64,
    np.uint64: types.uint64,
    float: types.float64,
    bool: types.boolean,
    NoneType: types.void,
}


def machine_code_of(loop: Loop) -> Any:
    """Return numba's dispatcher of a loop, which compiles it at the first use.

    Where NUMBA_DISABLE_JIT is set, return the function.
    """
    options: dict[str, Any] = {"nogil": True, "forceinline": loop.inline, "_nrt": loop.allocates}
    machine_code: Any = numba.njit(**options)(loop.function)
    if is_jitted(machine_code):
        _compile_at_first_use(machine_code, loop)
    return machine_code


def _compile_at_first_use(machine_code: Any, loop: Loop) -> None:
    """Replace the methods that compile for the types of the first use, to compile for the annotations.

    numba calls `_compile_for_args` for a use in Python, and `compile` for a use in a compiled function. Callers then
    convert their arguments. A function that only functions from the cache call is never compiled: their machine code
    includes it.
    """

    def compile_once(*use: Any) -> Any:
        with global_compiler_lock:  # two threads may use the function first
            if not machine_code.overloads:
                _enable_cache(machine_code, loop)
                type(machine_code).compile(machine_code, _annotated_signature(loop.function))
                machine_code.disable_compile()
        return machine_code

    machine_code.compile = machine_code._compile_for_args = compile_once


def _annotated_signature(function: Callable[..., Any]) -> Any:
    *arguments, result = map(_numba_type, get_type_hints(function, include_extras=True).values())
    return result(*arguments)


def _numba_type(annotation: Any) -> Any:
    if get_origin(annotation) is Annotated:
        array, layout = get_args(annotation)
        return _array_type(array, layout)
    if get_origin(annotation) is tuple:
        return types.Tuple(tuple(map(_numba_type, get_args(annotation))))  # type: ignore[no-untyped-call]
    if hasattr(annotation, "_fields"):
        fields = map(_numba_type, get_type_hints(annotation, include_extras=True).values())
        return types.NamedTuple(list(fields), annotation)  # type: ignore[no-untyped-call]
    return _SCALARS[annotation]


def _array_type(array: Any, layout: Contiguous) -> Any:
    """Return the type of `NDArray[...]`."""
    (scalar,) = get_args(get_args(array)[1])
    dtype = numba.from_dtype(np.dtype(scalar))
    return types.Array(dtype, layout.dimensions, "C", readonly=layout.readonly)


class _MachineCodeCache(FunctionCache):
    """A cache from which machine code is loaded without numba's compiler, whose import takes most of the time."""

    def __init__(self, machine_code: Any) -> None:
        super().__init__(machine_code.py_func)  # type: ignore[no-untyped-call]
        self._allocates = machine_code.targetoptions["_nrt"]

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        if self._allocates:
            rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)  # type: ignore[no-untyped-call]


def _enable_cache(machine_code: Any, loop: Loop) -> None:
    """Cache machine code on disk, valid while the function and everything that it uses is the same.

    numba compares only the function's own file. The folder's name is therefore a hash that includes the functions and
    constants that the function uses from other modules.
    """
    with suppress(OSError, RuntimeError):  # the source is not a file, or no folder is writable
        folder = _cache_root(_source(loop)) / _cache_key(loop)
        with _numba_cache_folder(folder):
            machine_code._cache = _MachineCodeCache(machine_code)


@cache
def _cache_key(loop: Loop) -> str:
    """Return the hash of a function's source file, of its options, and of what the function uses."""
    function = loop.function
    names = sorted({*_names(function.__code__)} & {*function.__globals__} - {function.__name__})
    used = [(name, _frozen(function.__globals__[name])) for name in names]
    options = loop.inline, loop.allocates
    return hashlib.sha256(_source(loop).read_bytes() + repr((options, used)).encode()).hexdigest()


def _source(loop: Loop) -> Path:
    return Path(loop.function.__code__.co_filename)


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names of globals and attributes in a function and in the comprehensions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _cache_root(source: Path) -> Path:
    if _config.CACHE_DIR:
        return Path(_config.CACHE_DIR)
    return source.parent / "__pycache__" if os.access(source.parent, os.W_OK) else Path.home() / ".cache" / "numba"


@contextmanager
def _numba_cache_folder(folder: Path) -> Iterator[None]:
    previous, _config.CACHE_DIR = _config.CACHE_DIR, str(folder)
    try:
        yield
    finally:
        _config.CACHE_DIR = previous


def _frozen(value: Any) -> object:
    """Return the key of a compiled function or the value of a constant, both compiled into callers; None for others."""
    if isinstance(value, Loop):
        return _cache_key(value)
    if isinstance(value, np.ndarray):
        return value.tobytes()
    numbers = value if isinstance(value, tuple) else (value,)
    return value if all(isinstance(number, bool | int | float) for number in numbers) else None
