"""Why a row cannot be an event: every reason, the SQL that finds it and the way out.

A row is rejected for the first reason that applies. Nothing is silently dropped: a rejected row is
counted, and kept as it came in the quarantine file.
"""

from dataclasses import dataclass

from churn.events import LARGEST_NUMBER, Kind

EARLIEST_US = 0
"""Events before 1970 are taken for placeholders such as 1900-01-01."""

MONEY_KINDS = (Kind.PURCHASE, Kind.RETURN, Kind.CANCELLATION)

DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Rule:
    """A reason to reject a row.

    Attributes
    ----------
    reason : str
        Stable name, as in the report and the quarantine file.
    column : str
        The event column it is about; the rule is skipped where the query does not give it.
    condition : str
        SQL over the typed columns (see `training.mapping`), true for a row to reject.
    advice : str
        What to do about it.
    """

    reason: str
    column: str
    condition: str
    advice: str


def _codes(kinds: tuple[Kind, ...]) -> str:
    return ", ".join(f"'{kind.value}'" for kind in kinds)


def _number(column: str) -> list[Rule]:
    return [
        Rule(
            f"{column}_unparseable",
            column,
            f"{column}_given AND {column} IS NULL",
            f"{column} is not a number: cast it in the query, "
            f"for instance replace(x, ',', '.')::DOUBLE",
        ),
        Rule(
            f"{column}_not_finite",
            column,
            f"NOT isfinite({column})",
            f"{column} is infinite: look for a division by zero in the query",
        ),
        Rule(
            f"{column}_too_large",
            column,
            f"abs({column}) > {LARGEST_NUMBER:.0f}",
            f"{column} is beyond {LARGEST_NUMBER:.0e}, which no real one is: check its unit",
        ),
    ]


RULES: tuple[Rule, ...] = (
    Rule(
        "customer_id_missing",
        "customer_id",
        "customer_id IS NULL",
        "events of nobody teach nothing: expected of guest purchases, otherwise check the join",
    ),
    Rule(
        "customer_id_not_whole",
        "customer_id",
        "customer_id_broken",
        "customer_id is a number with a fraction or too large to be exact: give it as text",
    ),
    Rule(
        "occurred_at_missing",
        "occurred_at",
        "NOT occurred_at_given",
        "an event needs its time: map another column to occurred_at",
    ),
    Rule(
        "occurred_at_unparseable",
        "occurred_at",
        "occurred_at IS NULL",
        "occurred_at is not an ISO date: use strptime(x, '%d.%m.%Y %H:%M') in the query",
    ),
    Rule(
        "occurred_before_1970",
        "occurred_at",
        f"occurred_at < {EARLIEST_US}",
        "dates before 1970 are usually placeholders for an unknown date",
    ),
    Rule(
        "occurred_in_the_future",
        "occurred_at",
        "occurred_at >= $now",
        "check the clock and the [events] timezone, or leave out planned events",
    ),
    Rule("kind_missing", "kind", "kind IS NULL", "map every row to a kind, such as 'purchase'"),
    Rule(
        "kind_unknown",
        "kind",
        f"kind NOT IN ({_codes(tuple(Kind))})",
        "use CASE in the query to map it to a known kind, or leave such rows out",
    ),
    Rule(
        "known_at_unparseable",
        "known_at",
        "known_at_given AND known_at IS NULL",
        "known_at is not an ISO date: use strptime(x, '%d.%m.%Y %H:%M') in the query",
    ),
    Rule(
        "known_before_it_occurred",
        "known_at",
        "known_at < occurred_at",
        "known_at is when the business learned of it, never earlier than occurred_at",
    ),
    Rule(
        "known_in_the_future",
        "known_at",
        "known_at >= $now",
        "nobody knows it yet: leave such rows out or correct known_at",
    ),
    *_number("amount"),
    Rule(
        "amount_negative",
        "amount",
        f"amount < 0 AND kind IN ({_codes(MONEY_KINDS[1:])})",
        "the amount of a return or cancellation is positive: use abs(amount)",
    ),
    Rule(
        "amount_not_positive",
        "amount",
        f"amount <= 0 AND kind IN ({_codes(MONEY_KINDS)})",
        "nothing was paid: gifts and corrections are not purchases; give returns the kind 'return'",
    ),
    *_number("value"),
    *_number("quantity"),
    Rule(
        "quantity_not_positive",
        "quantity",
        "quantity <= 0 AND kind = 'purchase'",
        "nothing was bought: corrections are not purchases; give returns the kind 'return'",
    ),
    *_number("discount"),
    Rule(
        "discount_negative",
        "discount",
        "discount < 0",
        "discount is the money taken off, zero or more",
    ),
)

ADVICE: dict[str, str] = {rule.reason: rule.advice for rule in RULES} | {
    DUPLICATE: (
        "the same event twice; if these are separate events, tell them apart by an event_id, "
        "order_id, category or quantity"
    )
}


def verdict(columns: frozenset[str]) -> str:
    """SQL for the first reason to reject a row, NULL for a good one.

    Parameters
    ----------
    columns : frozenset of str
        The event columns that the query gives.
    """
    cases = [
        f"WHEN {rule.condition} THEN '{rule.reason}'" for rule in RULES if rule.column in columns
    ]
    return f"CASE {' '.join(cases)} END"
