"""What was delivered to customers: when, and which action.

An action counts against the cooldown and the contact caps from the moment of which an outcome says
that it reached the customer, whatever was decided meanwhile.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, literal_column, select

from churn.policy.contacts import Contact
from service.store.decisions import among, listed
from service.store.outcomes import Outcome
from service.store.tables import decisions, outcomes

SINCE = "since"
"""The parameter of `delivered`: deliveries after this instant count."""

_DELIVERED: ColumnElement[Any] = literal_column(f"'{Outcome.DELIVERED.value}'")


def delivered(whose: ColumnElement[bool]) -> Select[Any]:
    """Customers, actions and instants of what was delivered after `SINCE`.

    Parameters
    ----------
    whose : condition
        On `outcomes.c.customer_id`.
    """
    return (
        select(outcomes.c.customer_id, decisions.c.action, outcomes.c.at)
        .join_from(outcomes, decisions)
        .where(whose, outcomes.c.outcome == _DELIVERED, outcomes.c.at > bindparam(SINCE))
    )


def contacts_of(
    connection: Connection,
    customer_ids: Sequence[str],
    since: int,
    told_by: int | None = None,
) -> dict[str, list[Contact]]:
    """What was delivered after an instant, of those customers to whom anything was.

    Parameters
    ----------
    connection : Connection
        Of `Database.reading`.
    customer_ids : sequence of str
        Whose.
    since : int
        The instant, microseconds since 1970-01-01 UTC.
    told_by : int, optional
        Only what had been told by then, likewise.
    """
    found: dict[str, list[Contact]] = {}
    wanted = delivered(among(connection, outcomes.c.customer_id, "customer_ids"))
    if told_by is not None:
        wanted = wanted.where(outcomes.c.received_at <= told_by)
    rows = connection.execute(
        wanted, {"customer_ids": listed(connection, customer_ids), SINCE: since}
    )
    for row in rows:
        found.setdefault(row.customer_id, []).append(Contact(row.at, row.action))
    return found
