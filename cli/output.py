"""What goes to stdout and stderr: one JSON document, or lines for people."""

import ctypes
import dataclasses
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import typer


def complain(message: str) -> None:
    """Say on stderr, in one line, what went wrong."""
    typer.echo(f"keepwell: {' '.join(message.split())}", err=True)


def say(lines: Iterable[str]) -> None:
    """Print lines on stdout."""
    for line in lines:
        typer.echo(line)


def print_json(value: Any) -> None:
    """Print one JSON document on stdout; what is not a number is null, never NaN."""
    typer.echo(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))


@contextmanager
def libraries_to_stderr() -> Iterator[None]:
    """Send to stderr what compiled libraries print: HiGHS leaves a line on stdout now and then."""
    library = ctypes.CDLL(None)
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        library.fflush(None)
        os.dup2(kept, 1)
        os.close(kept)


def plain(value: Any) -> Any:
    """Return a value made of what JSON knows.

    Parameters
    ----------
    value
        Dataclasses, named tuples, pydantic models, mappings, sequences, sets, paths, dates, NumPy
        scalars and plain values, in any depth.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(plain(item) for item in value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if hasattr(value, "model_dump"):
        return plain(value.model_dump())
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return [plain(item) for item in value]
