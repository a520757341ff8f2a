"""Everything that a score of one customer needs of the store, in one statement.

The events are one value; each delivery of late is a row more.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    CompoundSelect,
    LargeBinary,
    Text,
    any_,
    bindparam,
    cast,
    null,
    select,
    union_all,
)

from churn.policy.contacts import Contact
from service.store.contacts import delivered
from service.store.tables import decisions, histories, outcomes


class Stored(NamedTuple):
    """What is stored of one customer.

    Attributes
    ----------
    events : bytes or None
        As `History.decode` reads them; None where there are none.
    contacts : tuple of Contact
        What was delivered after the instant that was asked for.
    """

    events: bytes | None = None
    contacts: tuple[Contact, ...] = ()


NOTHING = Stored()

Row = tuple[str, bytes | None, str | None, int | None]
"""A row of the statements: customer_id, events, action, at."""


def _statement(mine: Callable[[Any], ColumnElement[bool]]) -> CompoundSelect[Any]:
    events = select(
        histories.c.customer_id,
        histories.c.events,
        cast(null(), Text).label("action"),
        cast(null(), BigInteger).label("at"),
    ).where(mine(histories.c.customer_id))
    contacts = delivered(mine(outcomes.c.customer_id)).with_only_columns(
        outcomes.c.customer_id, cast(null(), LargeBinary), decisions.c.action, outcomes.c.at
    )
    return union_all(events, contacts)


OF_ONE = _statement(lambda column: column == bindparam("customer_id"))
"""Asks for `customer_id`, and for deliveries after `since`."""
OF_MANY = _statement(lambda column: column == any_(bindparam("customer_ids", type_=ARRAY(Text))))
"""Asks for `customer_ids`, and for deliveries after `since`; PostgreSQL's."""


def of_one(rows: Iterable[Row]) -> Stored:
    """What the rows of `OF_ONE` come to."""
    found: Stored = NOTHING
    for _, events, action, at in rows:
        if action is None or at is None:
            found = found._replace(events=events)
        else:
            found = found._replace(contacts=(*found.contacts, Contact(at, action)))
    return found


def of_many(rows: Iterable[Row]) -> dict[str, Stored]:
    """What the rows of `OF_MANY` come to, by customer; those of whom nothing is stored are out."""
    together: dict[str, list[Row]] = {}
    for row in rows:
        together.setdefault(row[0], []).append(row)
    return {customer_id: of_one(theirs) for customer_id, theirs in together.items()}
