"""Reading a pickle that may hold built-ins and plain arrays, and nothing else.

A pickle is a program: it names classes, calls them and changes what they made. Here only the steps
that `joblib.dump` needs for such content are carried out, and only so many of them. Every name but
three is refused before it is looked up, and those three give stand-ins: calling the real
`numpy.ndarray` or `numpy.dtype` with arguments of a stranger's choice can crash the process. Keys
are text: hashing a tuple that holds one tuple twice, that another twice and so on never ends.
"""

import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
from joblib.numpy_pickle import NumpyArrayWrapper, NumpyUnpickler

MOST_STEPS = 2_000_000
"""A model takes some thousands; those with many categories some hundred thousand."""
_MOST_DIMENSIONS = 2
_OF_AN_ARRAY = {
    "subclass", "shape", "order", "dtype", "allow_mmap", "numpy_array_alignment_bytes",
}  # fmt: skip
_DTYPES = {("f8", "<"), ("i8", "<"), ("b1", "|")}
_STEPS = (
    "PROTO", "FRAME", "STOP", "MARK", "MEMOIZE", "BINGET", "LONG_BINGET",
    "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT",
    "SHORT_BINUNICODE", "BINUNICODE",
    "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "TUPLE", "EMPTY_LIST", "APPEND", "APPENDS",
    "EMPTY_DICT", "SETITEM", "SETITEMS", "STACK_GLOBAL", "NEWOBJ", "REDUCE", "BUILD",
)  # fmt: skip


class NotPlain(ValueError):
    """The pickle holds something else than built-ins and plain arrays."""


def read(content: bytes) -> Any:
    """Read what `joblib.dump` wrote.

    Raises
    ------
    NotPlain
        It names another class, or an array of another type than float64, int64 and bool, or takes
        steps that built-ins do not need.
    Exception
        Whatever joblib raises where the bytes are no pickle.
    """
    return _Unpickler("", io.BytesIO(content), ensure_native_byte_order=False).load()


class _Dtype:
    """What the pickle says of an array's type; nothing is made of it but a key of `_DTYPES`."""

    def __init__(self, code: str, align: bool, copy: bool) -> None:
        self.code = code
        self.order = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class _Array(NumpyArrayWrapper):  # type: ignore[misc]
    """An array whose bytes follow in the stream."""

    dtype: Any

    def __setstate__(self, state: dict[str, Any]) -> None:
        # The keys of every dict here are text; hashing what is no dict might never end.
        if type(state) is not dict or not state.keys() <= _OF_AN_ARRAY:
            raise NotPlain("an array with more to it")
        self.dtype, self.shape, self.order = state["dtype"], state["shape"], state["order"]
        self.numpy_array_alignment_bytes = state.get("numpy_array_alignment_bytes")
        self.subclass = np.ndarray
        self.allow_mmap = False

    def read(self, unpickler: Any, ensure_native_byte_order: bool) -> Any:
        kind = (self.dtype.code, self.dtype.order)
        if not all(isinstance(part, str) for part in kind) or kind not in _DTYPES:
            raise NotPlain(f"an array of type {_shown(kind[0])}")
        if not (
            isinstance(self.shape, tuple)
            and len(self.shape) <= _MOST_DIMENSIONS
            and all(type(length) is int and length >= 0 for length in self.shape)
        ):
            raise NotPlain("an array of no shape")
        self.dtype = np.dtype(kind[0])
        return super().read(unpickler, ensure_native_byte_order)


class _Ndarray:
    """Stands where the pickle names the class of an array."""


class _Unpickler(NumpyUnpickler):  # type: ignore[misc]
    _known = {  # noqa: RUF012 - a constant of the class
        ("joblib.numpy_pickle", "NumpyArrayWrapper"): _Array,
        ("numpy", "ndarray"): _Ndarray,
        ("numpy", "dtype"): _Dtype,
    }
    taken = 0

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._known[module, name]
        except KeyError:
            raise NotPlain(f"{_shown(module)}.{_shown(name)}") from None

    def load_newobj(self) -> None:
        if self.stack[-2] is not _Array:
            raise NotPlain("an object that is no array")
        super().load_newobj()

    def load_reduce(self) -> None:
        if self.stack[-2] is not _Dtype:
            raise NotPlain("a call")
        super().load_reduce()

    def load_build(self) -> None:
        if type(self.stack[-2]) not in (_Array, _Dtype):
            raise NotPlain("a change of what is no array")
        super().load_build()

    def load_setitem(self) -> None:
        self._check_keys(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self) -> None:
        self._check_keys(self.stack[::2])  # what lies on the stack since the mark
        super().load_setitems()

    def _check_keys(self, keys: list[Any]) -> None:
        if not all(type(key) is str for key in keys):
            raise NotPlain("a key that is no text")

    def refuse(self) -> None:
        raise NotPlain("a step that no array and no built-in needs")


def _counted(step: Callable[[_Unpickler], None]) -> Callable[[_Unpickler], None]:
    def counted(unpickler: _Unpickler) -> None:
        unpickler.taken += 1
        if unpickler.taken > MOST_STEPS:
            raise NotPlain("more values than a model has")
        step(unpickler)

    return counted


def _shown(name: object) -> str:
    return name[:64] if isinstance(name, str) and name.isprintable() else "something unnamed"


_OWN = {
    getattr(pickle, step.upper())[0]: getattr(_Unpickler, f"load_{step}")
    for step in ("newobj", "reduce", "build", "setitem", "setitems")
}
_Unpickler.dispatch = {code: _Unpickler.refuse for code in range(256)} | {
    code: _counted(_OWN.get(code, NumpyUnpickler.dispatch[code]))
    for code in (getattr(pickle, step)[0] for step in _STEPS)
}
