"""What came of decisions, as it is told: each outcome once, and none that cannot be.

Somebody has to carry an action out and tell that it was delivered: the cooldown counts from then.
An outcome of a decision that is not there, or not any more, is not kept.
"""

from collections.abc import Container
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Connection, exists, select

from churn.policy.policy import NONE
from service.store.database import Database
from service.store.decisions import CameOf, Decided, outcomes_of
from service.store.tables import decisions, outcomes


class Outcome(StrEnum):
    """What may come of a decision."""

    DELIVERED = "delivered"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    IGNORED = "ignored"
    RETAINED = "retained"
    LOST = "lost"


class Fault(StrEnum):
    """Why an outcome cannot be one of its decision."""

    WITHHELD = "withheld"
    NOTHING_TO_DELIVER = "nothing_to_deliver"
    BEFORE_DECISION = "before_decision"
    CONTRADICTS = "contradicts"


OF_DELIVERY = frozenset({Outcome.DELIVERED, Outcome.ACCEPTED, Outcome.REJECTED, Outcome.IGNORED})
"""What can only come of an action that reached the customer."""

_OPPOSITE = {
    Outcome.ACCEPTED: Outcome.REJECTED,
    Outcome.REJECTED: Outcome.ACCEPTED,
    Outcome.RETAINED: Outcome.LOST,
    Outcome.LOST: Outcome.RETAINED,
}


class UnknownDecision(Exception):
    """There is no such decision: there never was, or it went with its customer or with age."""


class Contradiction(Exception):
    """The outcome cannot be one of this decision."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


class Kept(NamedTuple):
    """The outcome that stands, and whether it was told before."""

    came_of: CameOf
    is_repeat: bool


class Outcomes:
    """What came of all decisions.

    Parameters
    ----------
    database : Database
        Where it is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, decision_id: str, outcome: Outcome, at: int, *, now: int, allowance: int) -> Kept:
        """Keep an outcome; one that is there already stays as it was told first.

        When this returns it is on disk.

        Parameters
        ----------
        decision_id : str
            Of which decision.
        outcome : Outcome
            What came of it.
        at, now : int
            When it happened, and when it was told; microseconds since 1970-01-01 UTC.
        allowance : int
            By how many microseconds clocks may differ.

        Raises
        ------
        UnknownDecision
            There is no such decision.
        Contradiction
            It cannot have come of this one.
        StoreUnavailable
            It was not kept, or that cannot be known: tell it again.
        """
        with self._database.writing() as connection:
            row = connection.execute(
                select(decisions).where(decisions.c.decision_id == decision_id)
            ).first()
            if row is None:
                raise UnknownDecision
            decided = Decided(*row)
            came = outcomes_of(connection, [decision_id]).get(decision_id, [])
            known = {one.outcome: one for one in came}
            if outcome in known:
                return Kept(known[outcome], True)
            _hold(decided, outcome, at, allowance, known)
            new = CameOf(outcome.value, at, now)
            connection.execute(
                outcomes.insert().values(
                    decision_id=decision_id, customer_id=decided.customer_id, **new._asdict()
                )
            )
        return Kept(new, False)


def any_delivered(connection: Connection) -> bool:
    """Whether anything was delivered to anybody."""
    wanted = exists().where(outcomes.c.outcome == Outcome.DELIVERED.value)
    return bool(connection.scalar(select(wanted)))


def _hold(
    decided: Decided, outcome: Outcome, at: int, allowance: int, known: Container[str]
) -> None:
    """Hold an outcome against its decision.

    Raises
    ------
    Contradiction
        It cannot have come of it.
    """
    if outcome in OF_DELIVERY:
        if decided.action == NONE:
            raise Contradiction(Fault.NOTHING_TO_DELIVER)
        if decided.withheld:
            raise Contradiction(Fault.WITHHELD)
    # A decision for a day in the past may have been acted on before it was recorded.
    if at < min(decided.as_of, decided.decided_at) - allowance:
        raise Contradiction(Fault.BEFORE_DECISION)
    if _OPPOSITE.get(outcome) in known:
        raise Contradiction(Fault.CONTRADICTS)
