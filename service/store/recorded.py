"""Scores that were asked to be remembered: one for each customer, day and model.

The day is that of `as_of`. The first of a day stays, so that asking again, or from another
process, changes nothing that somebody may have acted on.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import orjson
from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select

from churn.events import MICROSECONDS_PER_DAY
from churn.scores import CustomerScore
from service.store import decisions
from service.store.database import Database
from service.store.decisions import Decided
from service.store.held import Held
from service.store.inserting import documents, insert_new
from service.store.tables import decisions as decisions_table
from service.store.tables import scores
from service.store.tombstones import buried, digests, known_key

_REMEMBER = "SELECT keepwell_remember(%s::json, %s::json, %s::bytea[])"

KEYS = ("customer_id", "day", "model_version")


class Remembered(NamedTuple):
    """A row of the table; instants in microseconds since 1970-01-01 UTC, `reasons` as JSON."""

    customer_id: str
    day: int
    model_version: str
    as_of: int
    scored_at: int
    probability: float | None
    status: str
    band: str | None
    reasons: str
    horizon_days: int

    @classmethod
    def of(cls, score: CustomerScore, scored_at: int) -> Self:
        """What is remembered of an answer."""
        reasons = [
            {
                "code": reason.code,
                "family": reason.family,
                "direction": reason.direction,
                "contribution": reason.contribution,
                "share": reason.share,
            }
            for reason in score.reasons
        ]
        return cls(
            customer_id=score.customer_id,
            day=score.as_of // MICROSECONDS_PER_DAY,
            model_version=score.model_version,
            as_of=score.as_of,
            scored_at=scored_at,
            probability=score.churn_probability,
            status=score.status,
            band=score.risk_band,
            reasons=orjson.dumps(reasons).decode(),
            horizon_days=score.horizon_days,
        )


class Place(NamedTuple):
    """A place in a customer's scores, newest first."""

    day: int
    model_version: str


class Scores:
    """The recorded scores of all customers.

    Parameters
    ----------
    database : Database
        Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # The key of the erased, and the connection over which it was asked for: another may be one
        # to another store in the same place.
        self._known: tuple[Held | None, bytes | None] = (None, None)

    def record(
        self, rows: Sequence[Remembered], decided: Sequence[Decided] = ()
    ) -> dict[tuple[str, int], Decided]:
        """Remember scores, and what was decided on them.

        Of the scores of one customer, day and model the first is kept, and so is the decision
        about one customer on one day. When this returns they are on disk. A customer who has been
        erased since is left out.

        Returns
        -------
        dict
            The decisions that stand, by customer and day.

        Raises
        ------
        StoreUnavailable
            It cannot be known what was kept, if anything was: do the same again.
        """
        if self._database.dialect == "sqlite":
            with self._database.at_once() as held:
                return held.call(_in_sqlite, held, rows, decided)
        held, new = self._at_once(rows, decided)
        if new is not None:
            return new
        with self._database.writing() as connection:
            self._known = (held, known_key(connection))
            return _kept(connection, rows, decided)

    def _at_once(
        self, rows: Sequence[Remembered], decided: Sequence[Decided]
    ) -> tuple[Held, dict[tuple[str, int], Decided] | None]:
        """Remember what is new, in one journey to PostgreSQL; None where not all of it was new.

        Or somebody in it was erased once: which of it counts has then to be looked at. Each journey
        costs an event loop that is busy, and is waited for, more than what is done at its end, and
        each statement the driver more than sending its rows does.
        """
        scored = {row[: len(KEYS)]: row for row in reversed(rows)}
        new = {one.key: one for one in reversed(decided)}
        whose = {row.customer_id for row in rows} | {one.customer_id for one in decided}
        with self._database.at_once() as held:
            known_of, key = self._known
            given = (
                documents(scores, [scored[key] for key in sorted(scored)]),
                documents(decisions_table, [new[key] for key in sorted(new)]),
                None if key is None or held is not known_of else digests(key, whose),
            )
            written = held.call(_remember, held.driver, given)
        return held, new if written == len(scored) + len(new) else None

    def of_customer(
        self,
        customer_id: str,
        *,
        limit: int,
        before: Place | None = None,
        model_version: str | None = None,
    ) -> list[Any] | None:
        """A customer's scores, newest first, each beside the one before of the same model.

        Returns
        -------
        list of rows, or None
            Columns as in `Remembered`, and `previous_as_of`, `previous_probability` and
            `previous_reasons`; None where nothing at all is recorded of the customer.
        """
        theirs = scores.c.customer_id == customer_id
        chosen = theirs
        if model_version is not None:
            chosen = and_(theirs, scores.c.model_version == model_version)
        in_order: dict[str, Any] = {
            "partition_by": scores.c.model_version,
            "order_by": scores.c.day,
        }
        told = (
            select(
                scores,
                *(
                    func.lag(scores.c[name]).over(**in_order).label(f"previous_{name}")
                    for name in ("as_of", "probability", "reasons")
                ),
            )
            .where(chosen)
            .subquery()
        )
        wanted = select(told).order_by(told.c.day.desc(), told.c.model_version.desc())
        if before is not None:
            earlier = and_(told.c.day == before.day, told.c.model_version < before.model_version)
            wanted = wanted.where(or_(told.c.day < before.day, earlier))
        with self._database.reading() as connection:
            rows = list(connection.execute(wanted.limit(limit)))
            if not rows and not connection.scalar(select(exists().where(theirs))):
                return None
        return rows


def _in_sqlite(
    held: Held, rows: Sequence[Remembered], decided: Sequence[Decided]
) -> dict[tuple[str, int], Decided]:
    held.driver.execute("BEGIN IMMEDIATE")
    standing = _kept(held.connection, rows, decided)
    held.driver.execute("COMMIT")
    return standing


def _kept(
    connection: Connection, rows: Sequence[Remembered], decided: Sequence[Decided]
) -> dict[tuple[str, int], Decided]:
    whose = {row.customer_id for row in rows} | {one.customer_id for one in decided}
    forgotten = buried(connection, whose)
    kept: dict[tuple[Any, ...], Remembered] = {}
    for row in rows:
        if min(row.scored_at, row.as_of) > forgotten.get(row.customer_id, -1):
            kept.setdefault(row[: len(KEYS)], row)
    insert_new(connection, scores, [kept[key] for key in sorted(kept)])
    return decisions.keep(connection, decided, forgotten)


def _remember(driver: Any, given: Sequence[Any]) -> int:
    return int(driver.execute(_REMEMBER, given, prepare=True).fetchone()[0])


def recorded_before(instant: int) -> ColumnElement[bool]:
    """The condition on `scores` of being older: retention goes by when a score was made."""
    return scores.c.scored_at < instant
