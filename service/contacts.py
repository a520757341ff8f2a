"""What was delivered to the customer who is scored, so that nobody is contacted too often.

A score of what is stored reads it with the events. One of a history in the body need not ask the
store at all where nothing was ever delivered to anybody: whether anything was is looked up beside
the requests. Where the store does not answer, such a score is given all the same and says that the
contacts are not known.
"""

import logging
from collections.abc import Iterable

from churn.events import MICROSECONDS_PER_DAY
from churn.policy.contacts import Contact
from churn.rows import CustomerRow
from service import logs
from service.background import always
from service.store.database import Database
from service.store.outcomes import any_delivered

LOOK_SECONDS = 2.0
"""How soon a delivery counts that was told to another process."""
UNKNOWN = "contacts_unknown"
"""The warning of a score that knows of no contacts because the store does not answer."""

_log = logging.getLogger(f"{logs.ROOT}.contacts")


def added(row: CustomerRow, delivered: Iterable[Contact], reach: int) -> CustomerRow:
    """A row that knows of what was delivered, beside what its events tell.

    An event that tells of a contact and no more, on the day of a delivery, is that delivery.

    Parameters
    ----------
    row : CustomerRow
        Of the customer.
    delivered : iterable of Contact
        What was delivered, whenever.
    reach : int
        The policy's, microseconds: what was delivered longer before `as_of` does not count.
    """
    known = joined(row.contacts, delivered, row.as_of, reach)
    return row if known is row.contacts else row._replace(contacts=known)


def joined(
    told: tuple[Contact, ...], delivered: Iterable[Contact], as_of: int, reach: int
) -> tuple[Contact, ...]:
    """What events tell of contacts, and what was delivered; parameters as `added` has them."""
    found = sorted(one for one in delivered if as_of - reach < one.at <= as_of)
    if not found:
        return told
    days = {one.at // MICROSECONDS_PER_DAY for one in found}
    others = [one for one in told if one.at // MICROSECONDS_PER_DAY not in days]
    return (*found, *others)


def unknown(row: CustomerRow) -> CustomerRow:
    """A row that says that its contacts are not known."""
    return row._replace(warnings=(*row.warnings, UNKNOWN))


class Deliveries:
    """Whether anything was delivered to anybody.

    Parameters
    ----------
    database : Database
        Where deliveries are kept.

    Attributes
    ----------
    any : bool or None
        Whether anything was; None while the store does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._found = False
        self.any: bool | None = None

    def look(self) -> None:
        """Find it out.

        Raises
        ------
        StoreUnavailable, StoreTooNew
            It cannot be known now.
        """
        try:
            with self._database.reading(single=True) as connection:
                if any_delivered(connection):
                    self._found = True
        except Exception:
            self.any = None
            raise
        self.any = self._found

    def note(self) -> None:
        """Something has just been delivered."""
        self._found = True
        self.any = True


async def look_always(deliveries: Deliveries, seconds: float = LOOK_SECONDS) -> None:
    """Look at once and then for ever, beside the requests."""
    await always(deliveries.look, seconds, _log, "what was delivered could not be looked up")
