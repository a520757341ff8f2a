"""Giving back to the system what is not needed any more."""

import ctypes
import gc
from contextlib import suppress
from pathlib import Path

COLLECT_AFTER = (10_000, 20, 20)
"""Objects made before the collector looks, and how often it looks at older ones. A request makes a
few hundred, none in cycles: Python's own 700 would have it look with every other request."""

LARGE_BYTES = 1 << 20
"""A buffer of so many bytes, such as the body of a list, is the system's again when it is done
with, and grows where it is."""

_COMPILER = "libllvmlite"
_MAPS = Path("/proc/self/maps")
_MADV_DONTNEED = 4
_M_MMAP_THRESHOLD = -3


def return_large() -> None:
    """Have large buffers come from the system itself, and go back to it at once.

    The C library's own rule is that the first one that goes raises the limit to its size: later
    ones lie among small objects, are copied as they grow, and leave holes three times their size.
    """
    with suppress(OSError, AttributeError):  # another C library may have no such call
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)


def settle() -> None:
    """Take what is loaded now for lasting.

    The collector walks it no more while requests run: a walk over all objects of the libraries and
    the model takes a tenth of a second, in which no request is answered. What loading freed, 8 MB,
    and the compiler's code, 50 MB, leave the process.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    with suppress(OSError, AttributeError):  # another C library may have no such call
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError, AttributeError, ValueError):  # another system may have no such file
        _forget_compiler(_MAPS.read_text())


def _forget_compiler(maps: str) -> None:
    """Let go of the pages of LLVM's code, which loading Numba's library has touched.

    Kernels are machine code already. Code is never written to, so the system reads a page anew
    from the library's file should it run once more.
    """
    library = ctypes.CDLL(None)
    library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for line in maps.splitlines():
        where, access, *rest = line.split(maxsplit=5)
        if access == "r-xp" and _COMPILER in rest[-1]:
            first, end = (int(address, 16) for address in where.split("-"))
            library.madvise(first, end - first, _MADV_DONTNEED)
