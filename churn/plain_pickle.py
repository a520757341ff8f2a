"""Reading a pickle that may hold built-ins and plain arrays, and nothing else.

A pickle names classes and calls them, so reading one is running it. Here every name but three is
refused before it is looked up, and those three give stand-ins: calling the real `numpy.ndarray` or
`numpy.dtype` with arguments of a stranger's choice can crash the process.
"""

import io
import pickle
from typing import Any

import numpy as np
from joblib.numpy_pickle import NumpyArrayWrapper, NumpyUnpickler

_DTYPES = {("f8", "<"), ("i8", "<"), ("b1", "|")}


class NotPlain(ValueError):
    """The pickle holds something else than built-ins and plain arrays."""


def read(content: bytes) -> Any:
    """Read what `joblib.dump` wrote.

    Raises
    ------
    NotPlain
        It names another class, or an array of another type than float64, int64 and bool.
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

    def read(self, unpickler: Any, ensure_native_byte_order: bool) -> Any:
        kind = (self.dtype.code, self.dtype.order)
        if kind not in _DTYPES:
            raise NotPlain(f"an array of type {kind[0]}")
        self.dtype = np.dtype(kind[0])
        self.subclass = np.ndarray
        self.allow_mmap = False
        return super().read(unpickler, ensure_native_byte_order)


class _Ndarray:
    """Stands where the pickle names the class of an array."""


class _Unpickler(NumpyUnpickler):  # type: ignore[misc]
    dispatch = NumpyUnpickler.dispatch.copy()

    _known = {  # noqa: RUF012 - a constant of the class
        ("joblib.numpy_pickle", "NumpyArrayWrapper"): _Array,
        ("numpy", "ndarray"): _Ndarray,
        ("numpy", "dtype"): _Dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._known[module, name]
        except KeyError:
            raise NotPlain(f"{module}.{name}") from None

    def load_build(self) -> None:
        if isinstance(self.stack[-2], type):  # would change the stand-in itself, for every reader
            raise NotPlain("a change of a class")
        super().load_build()

    dispatch[pickle.BUILD[0]] = load_build
