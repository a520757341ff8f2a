"""What was decided to do about customers: one decision for each customer and day, the first.

The day is that of `as_of`. The first of a day stands, so that asking again, or from another
process, gives the same action under the same name. An action that was withheld, and `none`, are
decisions too: without them nobody could tell what the others were worth.
"""

from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

import orjson
from sqlalchemy import ARRAY, ColumnElement, Connection, Text, any_, bindparam, func, select

from service.store.database import Database
from service.store.inserting import insert_new
from service.store.tables import decisions, outcomes


class Decided(NamedTuple):
    """A row of the table; instants in microseconds since 1970-01-01 UTC.

    Attributes
    ----------
    decision_id : str
        32 hexadecimal digits.
    customer_id : str
        Whom it is about.
    day : int
        Of `as_of`, days since 1970-01-01.
    decided_at, as_of : int
        When it was made, and for when.
    model_version, policy_version : str
        Of what made it.
    action : str
        Code of the action; ``none`` is one.
    withheld : bool
        The customer is held out: the action is not to be carried out.
    explored : bool
        It was drawn at random.
    propensity : float
        With which probability it was what it is, withheld or not.
    situation : str
        The case.
    reason, band, segment : str or None
        The main reason's code, risk band and value segment.
    probability, value : float or None
        Of churn; the margin that hangs on keeping the customer.
    expected_value, lower_bound : float or None
        Of the action, in currency; None where nothing is claimed.
    cost : float
        Expected, in currency.
    features_hash : str
        Of the input columns that were scored, hexadecimal.
    horizon_days : int
        What the probability is of.
    facts : str
        JSON: what else is needed to decide it again, and to tell it.
    """

    decision_id: str
    customer_id: str
    day: int
    decided_at: int
    as_of: int
    model_version: str
    policy_version: str
    action: str
    withheld: bool
    explored: bool
    propensity: float
    situation: str
    reason: str | None
    band: str | None
    segment: str | None
    probability: float | None
    value: float | None
    expected_value: float | None
    lower_bound: float | None
    cost: float
    features_hash: str
    horizon_days: int
    facts: str

    @property
    def key(self) -> tuple[str, int]:
        """What there is one of: the customer and the day."""
        return self.customer_id, self.day

    @property
    def lead_time_days(self) -> int:
        """Between `as_of` and the horizon; the facts of older decisions name none."""
        return int(orjson.loads(self.facts).get("lead_time_days", 0))


class CameOf(NamedTuple):
    """An outcome: what came of a decision, when, and when it was told."""

    outcome: str
    at: int
    received_at: int


class Decisions:
    """The decisions about all customers.

    Parameters
    ----------
    database : Database
        Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_customer(
        self, customer_id: str, *, limit: int, before: int | None = None
    ) -> list[tuple[Decided, list[CameOf]]]:
        """A customer's decisions, newest first, each with what came of it, earliest first.

        Parameters
        ----------
        customer_id : str
            Whose.
        limit : int
            How many at most.
        before : int, optional
            Only those of earlier days than this one.
        """
        wanted = select(decisions).where(decisions.c.customer_id == customer_id)
        if before is not None:
            wanted = wanted.where(decisions.c.day < before)
        with self._database.reading() as connection:
            rows = connection.execute(wanted.order_by(decisions.c.day.desc()).limit(limit))
            found = [Decided(*row) for row in rows]
            came = outcomes_of(connection, [one.decision_id for one in found])
        return [(one, came.get(one.decision_id, [])) for one in found]

    def standing(self, keys: Set[tuple[str, int]]) -> dict[tuple[str, int], Decided]:
        """The decisions that there are about these customers on these days."""
        with self._database.reading(single=True) as connection:
            return standing(connection, keys)


def keep(
    connection: Connection, rows: Sequence[Decided], forgotten: Mapping[str, int]
) -> dict[tuple[str, int], Decided]:
    """Put in the decisions of whom there is none yet that day.

    Parameters
    ----------
    connection : Connection
        Of `Database.writing`.
    rows : sequence of Decided
        Of several for one customer and day the first counts.
    forgotten : mapping of str to int
        When customers were erased: what was decided before, or for before, is not kept.

    Returns
    -------
    dict
        The decisions that stand now, by customer and day.
    """
    new: dict[tuple[str, int], Decided] = {}
    for row in rows:
        if min(row.decided_at, row.as_of) > forgotten.get(row.customer_id, -1):
            new.setdefault(row.key, row)
    if insert_new(connection, decisions, [new[key] for key in sorted(new)]) == len(new):
        return new  # as nearly always: nobody was asked about that day before
    return standing(connection, new.keys())


def decided_before(instant: int) -> ColumnElement[bool]:
    """The condition on `decisions` of being older: retention goes by when they were made."""
    return decisions.c.decided_at < instant


def outcomes_of(connection: Connection, decision_ids: Sequence[str]) -> dict[str, list[CameOf]]:
    """What came of each of these decisions, of those of which something did, earliest first."""
    found: dict[str, list[CameOf]] = {}
    rows = connection.execute(
        select(outcomes)
        .where(among(connection, outcomes.c.decision_id, "decision_ids"))
        .order_by(outcomes.c.at, outcomes.c.outcome),
        {"decision_ids": listed(connection, decision_ids)},
    )
    for row in rows:
        found.setdefault(row.decision_id, []).append(CameOf(row.outcome, row.at, row.received_at))
    return found


def among(connection: Connection, column: Any, name: str) -> ColumnElement[bool]:
    """The condition that a column is one of a list, which is one parameter however long it is."""
    if connection.dialect.name == "postgresql":
        wanted: ColumnElement[bool] = column == any_(bindparam(name, type_=ARRAY(Text)))
        return wanted
    values = func.json_each(bindparam(name, type_=Text)).table_valued("value")
    of_list: ColumnElement[bool] = column.in_(select(values.c.value))
    return of_list


def listed(connection: Connection, values: Sequence[str]) -> Any:
    """A list as the parameter that `among` names."""
    if connection.dialect.name == "postgresql":
        return list(values)
    return orjson.dumps(values).decode()


def standing(connection: Connection, keys: Set[tuple[str, int]]) -> dict[tuple[str, int], Decided]:
    """The decisions that there are about these customers on these days."""
    if not keys:
        return {}
    days = [day for _, day in keys]
    found = connection.execute(
        select(decisions).where(
            among(connection, decisions.c.customer_id, "customer_ids"),
            decisions.c.day.between(min(days), max(days)),
        ),
        {"customer_ids": listed(connection, sorted({who for who, _ in keys}))},
    )
    known = (Decided(*row) for row in found)
    return {one.key: one for one in known if one.key in keys}
