"""Whether a ready table can carry a model: what it holds, and what looks suspicious."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import numpy as np

from churn.columns import Column
from churn.compiled import Floats
from training.calendar import date_of
from training.config import Problem
from training.fit import MIN_OF_EACH_CLASS, MIN_ROWS
from training.own_report import advice
from training.table.dates import window_of
from training.table.rows import Read, Rows, row_numbers

MOSTLY_MISSING = 0.5
MANY_COPIES = 0.01
MOSTLY_DISTINCT = 0.5
"""Where a larger share of rows differ from each other, equal ones are copies, not coincidences."""
_LARGE = 200  # rows; of fewer, all different says nothing
_ANCHORS = 400  # rows that are compared with all others
_SHIFTED_SHARE = 0.5

_ADVICE = {
    "is_churn_missing": "a row without a label teaches nothing; `score` takes it",
    "is_churn_not_yes_or_no": "give true or false, 1 or 0, yes or no",
    "as_of_missing": "every row needs the date it was made, or leave out [table] as_of",
    "as_of_unparseable": "give a date or timestamp",
    "as_of_before_1970": "look for placeholder dates such as 0001-01-01",
    "as_of_in_the_future": "correct the clock or the import",
}


@dataclass(frozen=True, slots=True)
class ColumnUse:
    """What one column holds.

    Attributes
    ----------
    name, kind : str
        Its name; ``numeric`` or ``categorical``.
    missing_share : float
        Share of rows without a value, in [0, 1].
    values : int
        How many different ones there are.
    """

    name: str
    kind: str
    missing_share: float
    values: int


@dataclass(frozen=True, slots=True)
class TableUsability:
    """What the table holds and what it can answer.

    Attributes
    ----------
    rows, accepted : int
        Rows that the query gave, and those that can be used.
    quarantined : mapping of str to int
        Rejected rows by reason, most frequent first.
    customers, churned, groups : int
        Of the usable rows.
    repeats : int
        Rows the same as another of the same customer, left out.
    copies, shifted : int
        Rows of the same values as another customer's; whether whole rows come back with every
        number moved by the same amounts, in how many of `_ANCHORS` rows.
    first, last : str or None
        The dates of the rows.
    unripe : int
        Rows younger than the lead time and the horizon: their label may not be final.
    columns : tuple of ColumnUse
    identifiers : mapping of str to int
        Columns that have a value of their own in nearly every row, and how many.
    left_out : frozenset of str
        Those of them that cannot be learnt from.
    """

    rows: int
    accepted: int
    quarantined: Mapping[str, int]
    customers: int
    churned: int
    groups: int
    repeats: int
    copies: int
    shifted: float
    first: str | None
    last: str | None
    unripe: int
    columns: tuple[ColumnUse, ...]
    identifiers: Mapping[str, int]
    left_out: frozenset[str]

    @property
    def churn_rate(self) -> float:
        """Share of the usable rows that churned, in [0, 1]."""
        return self.churned / self.accepted

    def warnings(self) -> tuple[str, ...]:
        """What makes a model of this table impossible, or too good to be true."""
        return tuple(self._warnings())

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain values for JSON."""
        return {
            "rows": self.rows,
            "accepted": self.accepted,
            "quarantined": dict(self.quarantined),
            "advice": {reason: _advice(reason) for reason in self.quarantined},
            "customers": self.customers,
            "churned": self.churned,
            "churn_rate": self.churn_rate,
            "groups": self.groups,
            "repeats": self.repeats,
            "copies": self.copies,
            "first": self.first,
            "last": self.last,
            "columns": {
                use.name: {
                    "kind": use.kind,
                    "missing_share": use.missing_share,
                    "values": use.values,
                }
                for use in self.columns
            },
            "identifiers": dict(self.identifiers),
            "warnings": list(self.warnings()),
        }

    def lines(self) -> list[str]:
        """Return the report for a terminal, a fact per line."""
        numeric = sum(use.kind == "numeric" for use in self.columns)
        dates = [] if self.first is None else [f"made from {self.first} to {self.last}"]
        missing = sorted(
            (use for use in self.columns if use.missing_share > 0),
            key=lambda use: -use.missing_share,
        )
        shown = ", ".join(f"{use.name} {use.missing_share:.1%}" for use in missing[:5])
        rest = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        return [
            f"{self.rows:,} rows: {self.accepted:,} usable of {self.customers:,} customers, "
            f"{self.rows - self.accepted - self.repeats:,} quarantined",
            *(f"  {n:,} {reason} ({_advice(reason)})" for reason, n in self.quarantined.items()),
            f"{self.churned:,} churned ({self.churn_rate:.1%})",
            *dates,
            f"{len(self.columns)} columns: {numeric} numbers, "
            f"{len(self.columns) - numeric} with categories",
            *([f"missing values: {shown}{rest}"] if missing else []),
            *(
                [f"note: {self.repeats:,} rows repeat another and were left out"]
                if self.repeats
                else []
            ),
            *(f"warning: {warning}" for warning in self.warnings()),
        ]

    def _warnings(self) -> Iterator[str]:
        if self.accepted < MIN_ROWS:
            yield f"too few rows to learn from ({self.accepted}); bring at least {MIN_ROWS}"
        few = min(self.churned, self.accepted - self.churned)
        if few < MIN_OF_EACH_CLASS:
            yield (
                f"too few rows of one outcome ({few}) to learn the difference; bring at least "
                f"{MIN_OF_EACH_CLASS}"
            )
        if self.copies > MANY_COPIES * self.accepted:
            yield (
                f"{self.copies:,} rows ({self.copies / self.accepted:.0%}) have the same values as "
                "another customer's: if they are copies, remove them or name what they share in "
                "[table] group, or the figures will flatter"
            )
        if self.shifted > _SHIFTED_SHARE and self.groups == self.customers:
            yield (
                f"{self.shifted:.0%} of the rows come back with every number moved by the same "
                "amounts: the table holds its customers more than once; give what they share as "
                "[table] group, or the figures will be fiction"
            )
        for name, n in self.identifiers.items():
            told = (
                "cannot be learnt from and is left out" if name in self.left_out else "leave it out"
            )
            yield f"column {name!r} has {n:,} different values: if it is an identifier, {told}"
        for use in self.columns:
            if use.values == 0:
                yield f"column {use.name!r} has no value at all; leave it out"
            elif use.values == 1 and use.missing_share == 0:
                yield f"column {use.name!r} has the same value in every row; it says nothing"
            elif use.missing_share > MOSTLY_MISSING:
                yield f"column {use.name!r} is missing in {use.missing_share:.0%} of the rows"
        if self.unripe:
            yield (
                f"{self.unripe:,} rows are younger than the lead time and the horizon of [problem]:"
                " their label cannot be final"
            )


def assess(read: Read, problem: Problem, now_us: int) -> TableUsability:
    """Look through what the query gave.

    Parameters
    ----------
    read : Read
        What it gave.
    problem : Problem
        How long after its date the outcome of a row is known.
    now_us : int
        The present, microseconds since 1970-01-01 UTC.
    """
    rows = read.rows
    numbers = row_numbers(rows.X)
    distinct = int(numbers.max()) + 1
    copies = len(rows) - int((np.bincount(numbers) == 1).sum())
    uses = tuple(_use(column, rows.X[:, at]) for at, column in enumerate(rows.columns))
    whole = {
        use.name: use.values
        for at, use in enumerate(uses)
        if use.kind == "numeric"
        and len(rows) >= _LARGE
        and use.values > 0.98 * len(rows)
        and _is_whole(rows.X[:, at])
    }
    dates = None if rows.as_of is None else (int(rows.as_of.min()), int(rows.as_of.max()))
    return TableUsability(
        rows=read.given,
        accepted=len(rows),
        quarantined=read.quarantined,
        customers=len(set(rows.customer_id.tolist())),
        churned=int(rows.is_churn.sum()),
        groups=len(np.unique(rows.group)),
        repeats=read.repeats,
        copies=copies if distinct > MOSTLY_DISTINCT * len(rows) else 0,
        shifted=shifted_share(rows),
        first=None if dates is None else str(date_of(dates[0], UTC)),
        last=None if dates is None else str(date_of(dates[1], UTC)),
        unripe=0 if rows.as_of is None else int((rows.as_of + window_of(problem) > now_us).sum()),
        columns=uses,
        identifiers=dict(read.identifiers) | whole,
        left_out=frozenset(read.identifiers),
    )


def shifted_share(rows: Rows) -> float:
    """The largest share of rows that come back with all their numbers moved by the same amounts.

    Rows of the same categories are compared: of the differences between their numbers, the most
    frequent one is counted, by the rows that have it to some other row. In a table without copies
    no difference is frequent, as long as one column tells most rows apart.
    """
    coded = [column.kind == "categorical" for column in rows.columns]
    numbers = rows.X[:, [not one for one in coded]]
    telling = any(
        len(np.unique(column[~np.isnan(column)])) > 0.1 * len(rows) for column in numbers.T
    )
    if len(rows) < _LARGE or not telling:
        return 0.0
    alike = row_numbers(np.column_stack([rows.X[:, coded], np.isnan(numbers)]))
    known = np.nan_to_num(numbers)
    anchors = np.linspace(0, len(rows) - 1, _ANCHORS).round().astype(np.int64)
    found: dict[bytes, int] = {}
    for anchor in anchors:
        others = np.flatnonzero(alike == alike[anchor])
        moved = np.abs(np.round(known[others[others != anchor]] - known[anchor], 6)) + 0.0
        for difference in {row.tobytes() for row in moved if row.any()}:
            found[difference] = found.get(difference, 0) + 1
    return max(found.values(), default=0) / len(anchors)


def _use(column: Column, numbers: Floats) -> ColumnUse:
    known = numbers[~np.isnan(numbers)]
    share = 1.0 - len(known) / len(numbers)
    return ColumnUse(column.name, column.kind, share, len(np.unique(known)))


def _is_whole(numbers: Floats) -> bool:
    known = numbers[~np.isnan(numbers)]
    return bool((known == np.floor(known)).all())


def _advice(reason: str) -> str:
    return _ADVICE.get(reason) or advice(reason)
