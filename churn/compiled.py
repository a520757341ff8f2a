"""Compiling a kernel with Numba where it is installed, and running the same source without it.

Numba turns the per-customer loops into machine code that gives the same bits as the Python
source: no fastmath, no `**`, no prefix sums (ADR 0001).
"""

import contextlib
import hashlib
import importlib
import os
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Unsigned = NDArray[np.uint64]
Codes = NDArray[np.int8]
Booleans = NDArray[np.bool_]

F = TypeVar("F", bound=Callable[..., Any])

numba: Any = None
if os.environ.get("KEEPWELL_NUMBA", "1") != "0":
    with contextlib.suppress(ImportError):
        numba = importlib.import_module("numba")

HAS_NUMBA = numba is not None
unsigned: Any = np.uint64 if HAS_NUMBA else int  # Python's own integers are faster in plain Python


def compiled(function: F) -> F:
    """Compile a kernel on first use, release the GIL in it, and keep the machine code on disk.

    Code that lies in a folder that cannot be written is used, and nothing is added to it. Where
    there is no folder at all, kernels are compiled again in each process.
    """
    if numba is None:
        return function
    if KEPT_IN is None:
        return cast(F, numba.njit(nogil=True)(function))
    elsewhere, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(KEPT_IN)
    try:
        if not os.access(KEPT_IN, os.W_OK):
            kernel = numba.njit(nogil=True)(function)
            kernel._cache = _only_read(function)
            return cast(F, kernel)
        return cast(F, numba.njit(nogil=True, cache=True)(function))
    except RuntimeError:  # Numba cannot tell where the source lies
        return cast(F, numba.njit(nogil=True)(function))
    finally:
        numba.config.CACHE_DIR = elsewhere


def _only_read(function: Callable[..., Any]) -> Any:
    """Numba's cache of a kernel for a folder that cannot be written, which Numba would refuse."""
    caching = importlib.import_module("numba.core.caching")

    class Locator(caching.UserProvidedCacheLocator):  # type: ignore[misc, name-defined]
        def ensure_cache_path(self) -> None:
            pass

    class Stored(caching.CompileResultCacheImpl):  # type: ignore[misc, name-defined]
        _locator_classes = (Locator,)

    class Cache(caching.FunctionCache):  # type: ignore[misc, name-defined]
        _impl_class = Stored

        def save_overload(self, sig: Any, data: Any) -> None:
            pass

    return Cache(function)


def _kept_in() -> Path | None:
    """Where machine code is kept: a folder of its own for each state of this package's sources.

    Numba looks for changes only in the file of the kernel that is called, not in the files of the
    kernels that it calls in turn: after a change in one of these it would run the old code.
    """
    here = Path(__file__).resolve().parent
    sources = hashlib.sha256()
    for path in sorted(here.rglob("*.py")):
        sources.update(path.read_bytes())
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    for base in [Path(chosen)] if chosen else [here / "__pycache__", _user_cache()]:
        folder = base / f"kernels-{sources.hexdigest()[:16]}"
        with contextlib.suppress(OSError):
            if folder.is_dir() and any(folder.iterdir()):
                return folder  # filled before, by an image's build perhaps: reading is enough
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder
    return None


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "keepwell"


KEPT_IN = _kept_in() if HAS_NUMBA else None
"""The folder of the machine code; None where nothing is kept."""


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
