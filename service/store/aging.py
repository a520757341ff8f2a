"""What is too old, taken out of the store in short transactions."""

from sqlalchemy import delete, select

from churn.history import History
from service.store import pieces
from service.store.database import Database
from service.store.decisions import decided_before
from service.store.histories import put
from service.store.recorded import recorded_before
from service.store.tables import decisions, histories, imports, scores

AT_ONCE = 500


def remove_events(database: Database, before: int) -> int:
    """Remove events that happened before an instant, microseconds since 1970-01-01 UTC.

    Returns
    -------
    int
        How many; of what repeated another, each.
    """
    removed = 0
    last = ""
    while True:
        with database.reading(single=True) as connection:
            found = connection.scalars(
                select(histories.c.customer_id)
                .where(histories.c.customer_id > last, histories.c.first_at < before)
                .order_by(histories.c.customer_id)
                .limit(AT_ONCE)
            )
            customers = list(found)
        if not customers:
            return removed
        last = customers[-1]
        with database.writing() as connection:
            shorter: dict[str, History] = {}
            gone: list[str] = []
            # Read again: events may have come since, and the writer is alone.
            for customer_id, piece in list(pieces.read(connection, customers)):
                history = History.decode(piece)
                left = history.without_before(before)
                removed += len(history) - len(left)
                if not len(left):
                    gone.append(customer_id)
                elif len(left) < len(history):
                    shorter[customer_id] = left
            put(connection, shorter)
            if shorter or gone:
                # What an import has put in is not there any more: done again, it is done in full.
                connection.execute(delete(imports))
            if gone:
                connection.execute(delete(histories).where(histories.c.customer_id.in_(gone)))


def remove_scores(database: Database, before: int) -> int:
    """Remove scores that were recorded before an instant, microseconds since 1970-01-01 UTC."""
    removed = 0
    old = recorded_before(before)
    some = select(scores.c.customer_id).where(old).distinct().limit(AT_ONCE)
    while True:
        with database.reading(single=True) as connection:
            customers = list(connection.scalars(some))
        if not customers:
            return removed
        with database.writing() as connection:
            done = connection.execute(
                delete(scores).where(old, scores.c.customer_id.in_(customers))
            )
            removed += done.rowcount


def remove_decisions(database: Database, before: int) -> int:
    """Remove decisions from before an instant, microseconds since 1970-01-01 UTC.

    What came of them goes with them.
    """
    removed = 0
    some = select(decisions.c.decision_id).where(decided_before(before)).limit(AT_ONCE)
    while True:
        with database.reading(single=True) as connection:
            old = list(connection.scalars(some))
        if not old:
            return removed
        with database.writing() as connection:
            done = connection.execute(delete(decisions).where(decisions.c.decision_id.in_(old)))
            removed += done.rowcount
