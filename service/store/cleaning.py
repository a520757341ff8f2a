"""The last traces of who was erased, in SQLite's files.

What is deleted is overwritten, but neither what the log beside the file holds of it nor the copies
that SQLite left in the free middle of a page when it moved a row to another (docs/adr/0018). Nobody
can tell where these are, so the file is written anew: at once where that takes no time, else once a
day, for writers wait meanwhile. That it is due stands in the store, without a name, until then.
"""

from sqlalchemy import Connection, and_, delete, select

from churn.events import MICROSECONDS_PER_DAY
from service.store.database import Database
from service.store.engine import LOCK_SECONDS
from service.store.tables import counters, erasures
from service.store.upsert import upsert

AT_ONCE_BYTES = 32 << 20
"""A file of no more is written anew with the erasure: it takes half a second at most."""

UNCLEAN = "unclean"

_LOG_PATIENCE = 250
"""Milliseconds that writers may be kept waiting for readers so that the log can be emptied."""
_HOUR = 3_600_000_000


def note(connection: Connection, now: int, *, removed: bool) -> None:
    """Note, with the removal of a customer, that the file may hold traces from now on.

    Parameters
    ----------
    connection : Connection
        Of `Database.writing`.
    now : int
        Microseconds since 1970-01-01 UTC.
    removed : bool
        Whether any rows were. Where none were, and nobody else is being erased, all that is
        written of the customer is a row in a table of its own, alone in its page: it moves nowhere.
    """
    if connection.dialect.name != "sqlite":
        return
    if not removed and connection.scalar(select(erasures.c.customer_id).limit(1)) is None:
        return
    before = _noted(connection)
    # A microsecond more for each further erasure, so that none is taken for done with another.
    value = now if before is None else before + 1
    upsert(connection, counters, [{"name": UNCLEAN, "value": value}], keys=("name",))


def noted(database: Database) -> int | None:
    """When the first erasure was whose traces may be there; None where there are none.

    Microseconds since 1970-01-01 UTC.
    """
    if database.dialect != "sqlite":
        return None
    with database.reading(single=True) as connection:
        return _noted(connection)


def due_at(database: Database, since: int, hour: int) -> int | None:
    """When the file is to be written anew, microseconds since 1970-01-01 UTC; None: at once.

    Parameters
    ----------
    since : int
        What `noted` said.
    hour : int
        Of the day in UTC: when larger files are.
    """
    with database.reading(single=True) as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        size = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
    if pages * size <= AT_ONCE_BYTES:
        return None
    day = (since - hour * _HOUR) // MICROSECONDS_PER_DAY + 1
    return day * MICROSECONDS_PER_DAY + hour * _HOUR


def rewrite(database: Database, since: int) -> None:
    """Write the file anew, so that nothing is in it but what the tables hold.

    Readers go on; writers wait, those of other processes for `LOCK_SECONDS` at most. The log has
    then to be emptied.

    Parameters
    ----------
    since : int
        What `noted` said: of an erasure that comes meanwhile the note stays.

    Raises
    ------
    StoreUnavailable
        Another writer kept the store for too long, or the disk has no room for a second file.
    """
    with database.maintaining() as connection:
        connection.exec_driver_sql("VACUUM")
    with database.writing() as connection:
        done = and_(counters.c.name == UNCLEAN, counters.c.value == since)
        connection.execute(delete(counters).where(done))


def empty_log(database: Database) -> bool:
    """Move SQLite's log into its file, so that nothing of what was overwritten stays there.

    Returns
    -------
    bool
        False where a reader or another process's writer holds it back; PostgreSQL has no such log.
    """
    if database.dialect != "sqlite":
        return True
    with database.maintaining() as connection:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={_LOG_PATIENCE}")
        try:
            row = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
        finally:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={LOCK_SECONDS * 1000}")
    return not row[0]


def _noted(connection: Connection) -> int | None:
    return connection.scalar(select(counters.c.value).where(counters.c.name == UNCLEAN))
