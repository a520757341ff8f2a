"""Recorded scores whose outcome is known: who was scored, and what became of them.

A customer counts once, with the first score of the period: the last one would be of those who were
not asked about again, which says something of what they did. A score that was made long after its
`as_of` is no prediction, and is left out.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sqlalchemy import select, tuple_

from churn.events import MICROSECONDS_PER_DAY, Feed, Kind
from churn.history import History
from churn.policy.chance import draw
from churn.policy.policy import ANSWERED, NONE
from service.store import pieces
from service.store.database import Database
from service.store.decisions import among, listed
from service.store.tables import decisions, scores, watermarks

MOST_CUSTOMERS = 20_000
"""Of more, a part that their ids draw: a share is then off by 1 point at most, in 95% of cases."""
LATE = 2 * MICROSECONDS_PER_DAY
PAGE_SCORES = 5_000
PAGE_CUSTOMERS = 500

_PURCHASE = Kind.PURCHASE.code
_SALT = "realised"


class Scored(NamedTuple):
    """A recorded score; instants in microseconds since 1970-01-01 UTC."""

    as_of: int
    probability: float
    horizon_days: int


class Became(NamedTuple):
    """What became of a customer.

    Attributes
    ----------
    probability : float
        What had been said.
    is_churn : bool
        No purchase in the horizon.
    treated, withheld : bool
        A retention action was decided on meanwhile, and carried out; or withheld.
    """

    probability: float
    is_churn: bool
    treated: bool
    withheld: bool


def orders_known_until(database: Database) -> int | None:
    """Until when orders have been received; None where none were."""
    with database.reading(single=True) as connection:
        row = connection.execute(
            select(watermarks).where(watermarks.c.feed == Feed.ORDERS.value)
        ).first()
    # An event that claims to be of the future must not make everybody else a leaver.
    return None if row is None else min(row.occurred_at, row.received_at)


def first_scores(
    database: Database, start: int, end: int, most: int = MOST_CUSTOMERS
) -> dict[str, Scored]:
    """The first score of each customer whose `as_of` is in ``[start, end)``.

    Parameters
    ----------
    database : Database
        Where they are; read a page at a time, each in a transaction of its own.
    start, end : int
        Microseconds since 1970-01-01 UTC.
    most : int, optional
        Of so many customers at most; which, their ids alone decide.
    """
    found: dict[str, Scored] = {}
    share = 1.0
    for page in _pages(database, start - LATE, end + LATE):
        for customer_id, scored_at, score in page:
            if not start <= score.as_of < end or scored_at - score.as_of > LATE:
                continue
            if share < 1.0 and draw(_SALT, customer_id) >= share:
                continue
            before = found.get(customer_id)
            if before is None or score.as_of < before.as_of:
                found[customer_id] = score
        while len(found) > most:
            share /= 2.0
            found = {who: one for who, one in found.items() if draw(_SALT, who) < share}
    return found


def outcomes(
    database: Database, scored: Mapping[str, Scored], lead_time_days: int
) -> Iterator[Became]:
    """What became of customers; of whom nothing was stored before their score it is not known.

    Parameters
    ----------
    database : Database
        Where their events are; read some customers at a time.
    scored : mapping of str to Scored
        Scores whose horizon has passed, by customer.
    lead_time_days : int
        Between `as_of` and the horizon.
    """
    customers = sorted(scored)
    for first in range(0, len(customers), PAGE_CUSTOMERS):
        some = customers[first : first + PAGE_CUSTOMERS]
        with database.reading() as connection:
            stored = dict(pieces.read(connection, some))
            decided = connection.execute(
                select(
                    decisions.c.customer_id, decisions.c.decided_at, decisions.c.withheld,
                    decisions.c.propensity, decisions.c.situation,
                ).where(
                    among(connection, decisions.c.customer_id, "customer_ids"),
                    decisions.c.action != NONE,
                ),
                {"customer_ids": listed(connection, some)},
            ).all()  # fmt: skip
        offers: dict[str, list[tuple[int, bool]]] = {}
        for who, at, withheld, propensity, situation in decided:
            if not (propensity == 1.0 and situation in ANSWERED):
                offers.setdefault(who, []).append((at, withheld))
        for who in some:
            score = scored[who]
            history = None if who not in stored else History.decode(stored[who])
            # Where only what came later is stored, all who are known of have bought.
            if history is None or history.first_at >= score.as_of:
                continue
            start = score.as_of + lead_time_days * MICROSECONDS_PER_DAY
            end = start + score.horizon_days * MICROSECONDS_PER_DAY
            made = [held for at, held in offers.get(who, ()) if score.as_of <= at < end]
            treated = not all(made)
            yield Became(
                score.probability,
                not _bought(history, start, end),
                treated,
                bool(made) and not treated,
            )


def _pages(database: Database, start: int, end: int) -> Iterator[list[tuple[str, int, Scored]]]:
    """Customers, when their scores were made, in that order, and the scores."""
    order = (scores.c.scored_at, scores.c.customer_id, scores.c.day, scores.c.model_version)
    wanted = (
        select(*order, scores.c.as_of, scores.c.probability, scores.c.horizon_days)
        .where(scores.c.scored_at < end, scores.c.probability.is_not(None))
        .order_by(*order)
        .limit(PAGE_SCORES)
    )
    after: tuple[object, ...] = (start, "", 0, "")
    while True:
        with database.reading(single=True) as connection:
            rows = connection.execute(
                wanted.where(scores.c.scored_at >= after[0], tuple_(*order) > after)
            ).all()
        if not rows:
            return
        yield [(row[1], row[0], Scored(*row[4:])) for row in rows]
        after = tuple(rows[-1][:4])


def _bought(history: History, start: int, end: int) -> bool:
    times, kinds = history.columns()[:2]
    return any(
        kind == _PURCHASE and start <= at < end for at, kind in zip(times, kinds, strict=True)
    )
