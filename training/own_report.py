"""What the `[features]` query gave: rows, customers, what was set aside, how much is known."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.own_columns import LONGEST_CATEGORY
from training.rules import ADVICE as EVENT_ADVICE

_ADVICE = {
    "customer_id_missing": "a row of nobody tells nothing: check the join",
    "customer_id_not_whole": EVENT_ADVICE["customer_id_not_whole"],
    "known_at_missing": "a row counts from when it was known: map another column to known_at",
    "known_at_unparseable": EVENT_ADVICE["known_at_unparseable"],
    "known_before_1970": EVENT_ADVICE["occurred_before_1970"],
    "known_in_the_future": EVENT_ADVICE["known_in_the_future"],
}
_ADVICE_OF_ENDING = {
    "unparseable": 'not a number: cast it in the query, or declare kind = "categorical"',
    "not_finite": "infinite: look for a division by zero in the query",
    "too_large": "beyond what any real number is: check its unit",
    "too_long": f"a category of more than {LONGEST_CATEGORY} characters: group free text",
}


@dataclass(frozen=True, slots=True)
class OwnReport:
    """What the analyst should know of the rows.

    Attributes
    ----------
    rows, accepted : int
        Rows that the query gave, and those that can be used.
    quarantined : mapping of str to int
        Rejected rows by reason.
    customers, matched, log_customers : int
        Who has a row; who of them is in the event log; who is in the log at all.
    ambiguous : int
        Instants at which a customer has rows that differ.
    known : mapping of str to int
        Rows with a value, by column.
    categories : mapping of str to int
        How many there are, by column.
    quarantine : Path or None
        Parquet file of the rejected rows: reason, customer_id, known_at, row (JSON).
    """

    rows: int
    accepted: int
    quarantined: Mapping[str, int]
    customers: int
    matched: int
    log_customers: int
    ambiguous: int
    known: Mapping[str, int]
    categories: Mapping[str, int]
    quarantine: Path | None

    @property
    def rejected(self) -> int:
        """Number of rows that cannot be used."""
        return self.rows - self.accepted

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain values for JSON."""
        return {
            "rows": self.rows,
            "accepted": self.accepted,
            "quarantined": dict(self.quarantined),
            "advice": {reason: advice(reason) for reason in self.quarantined},
            "customers": self.customers,
            "matched_customers": self.matched,
            "coverage": self.matched / max(self.log_customers, 1),
            "ambiguous": self.ambiguous,
            "columns": {
                name: {"known_share": n / self.accepted, "categories": self.categories.get(name)}
                for name, n in self.known.items()
            },
        }

    def lines(self) -> list[str]:
        """Return the report for a terminal, a fact per line."""
        share = self.matched / max(self.log_customers, 1)
        return [
            f"[features] {self.rows:,} rows: {self.accepted:,} usable of {self.customers:,} "
            f"customers, {self.rejected:,} quarantined",
            *(f"  {n:,} {reason} ({advice(reason)})" for reason, n in self.quarantined.items()),
            f"  {self.matched:,} of the log's {self.log_customers:,} customers ({share:.0%}) "
            "have a row",
            *(
                f"  {name}: {self._what(name)}, known in {n / self.accepted:.0%} of the rows"
                for name, n in self.known.items()
            ),
            *self._ambiguous_lines(),
        ]

    def _what(self, name: str) -> str:
        n = self.categories.get(name)
        return "a number" if n is None else f"{n:,} {'category' if n == 1 else 'categories'}"

    def _ambiguous_lines(self) -> list[str]:
        if not self.ambiguous:
            return []
        return [
            f"note: {self.ambiguous:,} times a customer has different [features] rows of one "
            "known_at; the one that compares highest counts"
        ]


def advice(reason: str) -> str:
    """What to do about rows of `[features]` that were rejected for a reason."""
    known = _ADVICE.get(reason)
    if known is not None:
        return known
    return next(text for ending, text in _ADVICE_OF_ENDING.items() if reason.endswith(ending))
