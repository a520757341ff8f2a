"""Asking for a piece of memory before it is read.

Where a loop reads a large table may depend on what it has just found out, so that the processor
cannot know it ahead and waits for one piece after another. Told of all of them first, it fetches
them side by side.
"""

import importlib
from typing import Any

from churn.compiled import Floats, numba

NUMBERS_A_LINE = 8
"""How many numbers of 8 bytes are fetched together: a cache line."""


def prefetch(array: Floats, at: int) -> None:
    """Have the cache line with ``array[at]`` fetched; without Numba there is nothing to do."""


def _make_compiled() -> None:
    """Tell Numba what `prefetch` is in machine code: LLVM's instruction of that name."""
    extending, cgutils, types, ir = map(
        importlib.import_module,
        ("numba.extending", "numba.core.cgutils", "numba.core.types", "llvmlite.ir"),
    )

    @extending.intrinsic  # type: ignore[untyped-decorator]
    def fetch(typing_context: Any, array: Any, at: Any) -> Any:
        def write(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            start = context.make_array(array)(context, builder, given[0]).data
            place = builder.bitcast(builder.gep(start, [given[1]]), cgutils.voidptr_t)
            number = ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number])
            called = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            to_read, into_every_cache, data = number(0), number(3), number(1)
            builder.call(called, [place, to_read, into_every_cache, data])
            return context.get_dummy_value()

        return types.none(array, at), write

    # Without annotations: Numba compares the two signatures.
    extending.overload(prefetch)(lambda array, at: lambda array, at: fetch(array, at))


if numba is not None:
    _make_compiled()
