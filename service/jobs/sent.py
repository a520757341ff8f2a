"""What readers make of a list, whatever its format: places in it, rows and columns."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from churn.compiled import Floats, Integers
from service.columns import Told
from service.problems import Problem


class Place(NamedTuple):
    """A place between two rows: how many rows, bytes and lines are before it."""

    rows: int = 0
    byte: int = 0
    line: int = 0


class Row(NamedTuple):
    """One row as it was sent: a customer as in a batch, or what is wrong with it.

    A value of bytes is JSON. `line` is told with what is wrong, where a row is found by it.
    """

    value: Any
    problem: Problem | None = None
    line: int | None = None


class Table(NamedTuple):
    """Checked feature columns of n customers.

    Attributes
    ----------
    customer_id : list of str, length n
        Identifiers.
    as_of : ndarray of int64, shape (n,)
        Microseconds since 1970-01-01 UTC.
    numbers : ndarray of float64, shape (n, n_inputs)
        The model's input columns, settled.
    told : Told
        How all rows are to be told.
    warnings : list of tuple of str, length n
        What should be known of each row.
    missing : mapping of str to int
        How many rows lack a column that was expected, by name of the column.
    channels : list of frozenset of str or None, length n, or None
        Those that each customer allows; None where nobody was asked.
    """

    customer_id: list[str]
    as_of: Integers
    numbers: Floats
    told: Told
    warnings: list[tuple[str, ...]]
    missing: Mapping[str, int]
    channels: list[frozenset[str] | None] | None = None


class Chunk(NamedTuple):
    """Some rows in a row, and where they end."""

    rows: list[Row] | Table
    end: Place


class Reader(Protocol):
    """Reads one list."""

    def chunks(self, start: Place, size: int) -> Iterator[Chunk]:
        """The rest of the list from a place on, `size` rows at a time; what is before is skipped.

        Raises
        ------
        JobFailed
            The input is not of its format, or not whole.
        """
        ...
