"""What the tables hold about one person, removed in one transaction."""

from typing import NamedTuple

from sqlalchemy import Connection, delete, select

from churn.events import MICROSECONDS_PER_DAY
from service.store import cleaning
from service.store import histories as stored
from service.store.tables import decisions, erasures, histories, scores
from service.store.tombstones import bury
from service.store.upsert import upsert


class Forgotten(NamedTuple):
    """What was removed, and before which instant nothing is taken again."""

    events: int
    scores: int
    decisions: int
    erased_at: int


def forget(connection: Connection, customer_id: str, now: int) -> Forgotten:
    """Remove a customer's rows, leave a tombstone, and note that files are to be gone through.

    The tombstone comes with the removal, in the store's only write, so that nothing slips in
    between. Events may lie somewhat ahead of the clock: those that were stored stay out as well.

    Parameters
    ----------
    connection : Connection
        Of `Database.writing`.
    now : int
        Microseconds since 1970-01-01 UTC.
    """
    last = connection.scalar(
        select(histories.c.last_at).where(histories.c.customer_id == customer_id)
    )
    erased_at = now if last is None else min(max(now, last + 1), now + MICROSECONDS_PER_DAY)
    bury(connection, customer_id, erased_at)
    events = stored.erase(connection, customer_id)
    recorded = connection.execute(delete(scores).where(scores.c.customer_id == customer_id))
    # What came of them goes with them.
    decided = connection.execute(delete(decisions).where(decisions.c.customer_id == customer_id))
    removed = events + recorded.rowcount + decided.rowcount
    cleaning.note(connection, now, removed=removed > 0)
    note = {"customer_id": customer_id, "erased_at": erased_at}
    upsert(connection, erasures, [note], keys=("customer_id",))
    return Forgotten(events, recorded.rowcount, decided.rowcount, erased_at)


def unfinished(connection: Connection) -> list[str]:
    """Whose files are still to be gone through, the earliest erasure first."""
    return list(
        connection.scalars(
            select(erasures.c.customer_id).order_by(erasures.c.erased_at, erasures.c.customer_id)
        )
    )


def finish(connection: Connection, customer_id: str, now: int) -> None:
    """Note that nothing is left of a customer; the note itself goes with it.

    Parameters
    ----------
    now : int
        Microseconds since 1970-01-01 UTC.
    """
    connection.execute(delete(erasures).where(erasures.c.customer_id == customer_id))
    cleaning.note(connection, now, removed=False)
