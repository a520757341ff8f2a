"""Compiling a kernel with Numba where it is installed, and running the same source without it.

Numba turns the per-customer loops into machine code that gives the same bits as the Python
source: no fastmath, no `**`, no prefix sums (ADR 0001).
"""

import contextlib
import importlib
import os
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Codes = NDArray[np.int8]
Booleans = NDArray[np.bool_]

F = TypeVar("F", bound=Callable[..., Any])

numba: Any = None
if os.environ.get("KEEPWELL_NUMBA", "1") != "0":
    with contextlib.suppress(ImportError):
        numba = importlib.import_module("numba")

HAS_NUMBA = numba is not None


def compiled(function: F) -> F:
    """Compile a kernel on first use, release the GIL in it, and keep the machine code on disk.

    Where no folder can be written for the machine code, it is compiled again in each process.
    """
    if numba is None:
        return function
    try:
        return cast(F, numba.njit(nogil=True, cache=True)(function))
    except RuntimeError:  # Numba found no writable place for its cache
        return cast(F, numba.njit(nogil=True)(function))


def plain(function: F) -> F:
    """The Python source of a compiled kernel, with every kernel that it calls in plain Python too.

    Give it lists instead of arrays: reading an array element by element is slow in Python.
    """
    source = getattr(function, "py_func", function)
    called = {
        name: plain(source.__globals__[name])
        for name in source.__code__.co_names
        if hasattr(source.__globals__.get(name), "py_func")
    }
    twin = FunctionType(source.__code__, {**source.__globals__, **called}, source.__name__)
    return cast(F, twin)
