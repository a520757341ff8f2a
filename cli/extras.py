"""Training is an extra: say how to get it rather than that an import failed."""

from collections.abc import Iterator
from contextlib import contextmanager

from churn.errors import KeepwellError

TRAINING_ONLY = frozenset(
    {"altair", "duckdb", "lightgbm", "pyarrow", "scipy", "sklearn", "vl_convert"}
)


class ExtraMissing(KeepwellError):
    """The command needs packages that this installation was made without."""


@contextmanager
def training_extra() -> Iterator[None]:
    """Turn a missing training library into one clear line.

    Raises
    ------
    ExtraMissing
        A library that only training needs is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in TRAINING_ONLY:
            raise
        raise ExtraMissing(
            f"this command needs {error.name}, which is not installed: "
            "in Keepwell's source folder, pip install '.[train]'"
        ) from None
