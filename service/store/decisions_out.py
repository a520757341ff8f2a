"""Decisions and what came of them as columns, for whoever learns from them.

A row says what was decided and told, and, of customers whose events are stored, whether they bought
within the horizon, which begins where the lead time ends. It is told as of when the orders had been
received, so that nobody counts as lost because an import is late. Nothing here asks the time.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import func, select, tuple_

from churn.events import MICROSECONDS_PER_DAY, Feed, Kind
from churn.history import History
from service.store import pieces
from service.store.database import Database
from service.store.decisions import CameOf, Decided, outcomes_of
from service.store.outcomes import Outcome
from service.store.tables import decisions, watermarks

PAGE_DECISIONS = 2000

_AS_THEY_ARE = (
    "decision_id", "customer_id", "decided_at", "as_of", "action", "withheld", "explored",
    "propensity", "situation", "reason", "segment", "band", "probability", "value",
    "expected_value", "cost", "model_version", "policy_version", "horizon_days",
)  # fmt: skip
_OUTCOMES = tuple(f"{outcome.value}_at" for outcome in Outcome)
COLUMNS = (*_AS_THEY_ARE, *_OUTCOMES, "purchased", "revenue", "facts")
"""Names of the columns; instants in microseconds since 1970-01-01 UTC, `facts` as JSON."""

Page = dict[str, list[Any]]
"""Rows as columns, by name."""

_PURCHASE, _SENT_BACK = Kind.PURCHASE.code, (Kind.RETURN.code, Kind.CANCELLATION.code)


class DecisionsOut:
    """Reads all decisions, by customer (by bytes of the id) and day.

    Parameters
    ----------
    database : Database
        Where they are.

    Attributes
    ----------
    count : int
        How many there are.
    known_until : int or None
        Until when orders have been received; None where none were.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.reading() as connection:
            counted = select(func.count()).select_from(decisions)
            self.count: int = connection.execute(counted).scalar_one()
            orders = connection.execute(
                select(watermarks).where(watermarks.c.feed == Feed.ORDERS.value)
            ).first()
        # An event that claims to be of the future must not make everybody else a leaver.
        self.known_until = None if orders is None else min(orders.occurred_at, orders.received_at)

    def pages(self) -> Iterator[Page]:
        """All decisions, a page at a time, each read in a transaction of its own."""
        after: tuple[str, int] | None = None
        while True:
            wanted = select(decisions).order_by(decisions.c.customer_id, decisions.c.day)
            if after is not None:
                wanted = wanted.where(tuple_(decisions.c.customer_id, decisions.c.day) > after)
            with self._database.reading() as connection:
                found = connection.execute(wanted.limit(PAGE_DECISIONS))
                rows = [Decided(*row) for row in found]
                if not rows:
                    return
                came = outcomes_of(connection, [row.decision_id for row in rows])
                whose = list(dict.fromkeys(row.customer_id for row in rows))
                stored = dict(pieces.read(connection, whose))
            after = rows[-1].key
            yield self._page(rows, came, stored)

    def _page(
        self,
        rows: Sequence[Decided],
        came: dict[str, list[CameOf]],
        stored: dict[str, bytes],
    ) -> Page:
        page: Page = {name: [getattr(row, name) for row in rows] for name in _AS_THEY_ARE}
        at = [{one.outcome: one.at for one in came.get(row.decision_id, ())} for row in rows]
        for outcome, name in zip(Outcome, _OUTCOMES, strict=True):
            page[name] = [one.get(outcome.value) for one in at]
        money = _Money(stored, self.known_until)
        paid = [money.within(row) for row in rows]
        page["purchased"] = [None if one is None else one[0] for one in paid]
        page["revenue"] = [None if one is None else one[1] for one in paid]
        page["facts"] = [row.facts for row in rows]
        return page


class _Money:
    """What customers paid within the horizons of decisions."""

    def __init__(self, stored: dict[str, bytes], known_until: int | None) -> None:
        self._stored = stored
        self._known_until = known_until
        self._last: tuple[str, Sequence[Sequence[Any]]] | None = None

    def within(self, row: Decided) -> tuple[bool, float] | None:
        """Whether they bought, and for how much less what was sent back; None if not known yet."""
        start = row.as_of + row.lead_time_days * MICROSECONDS_PER_DAY
        end = start + row.horizon_days * MICROSECONDS_PER_DAY
        if self._known_until is None or end > self._known_until:
            return None
        events = self._events(row.customer_id)
        if events is None:
            return None
        bought, revenue = False, 0.0
        for at, kind, amount in events:
            if start <= at < end:
                if kind == _PURCHASE:
                    bought = True
                    revenue += amount or 0.0
                elif kind in _SENT_BACK:
                    revenue -= amount or 0.0
        return bought, revenue

    def _events(self, customer_id: str) -> Sequence[Sequence[Any]] | None:
        """Instants, kinds and amounts; None where nothing is stored."""
        if self._last is None or self._last[0] != customer_id:
            piece = self._stored.get(customer_id)
            if piece is None:
                return None
            columns = History.decode(piece).columns()
            self._last = customer_id, list(zip(columns[0], columns[1], columns[3], strict=True))
        return self._last[1]
