"""What requests read from the store, without keeping the event loop waiting."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from churn.history import History
from churn.policy.contacts import Contact
from service.store.contacts import contacts_of
from service.store.database import Database
from service.store.errors import StoreUnavailable
from service.store.histories import Histories
from service.store.points import points
from service.store.stored import Stored

SECONDS = 5.0
"""How long a request waits for anything but one customer's history."""

T = TypeVar("T")


class Reading:
    """Reads for requests; one at a time beside single histories, which have a way of their own.

    Parameters
    ----------
    database : Database
        The store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._histories = Histories(database)
        self._points = points(database)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="keepwell-reader")

    async def stored(self, customer_id: str, since: int) -> Stored:
        """What is stored of a customer: the events, and what was delivered after an instant.

        Raises
        ------
        StoreUnavailable, StoreTooNew
            It cannot be known now.
        """
        return await self._points.read(customer_id, since)

    async def histories(self, customer_ids: Sequence[str]) -> dict[str, History]:
        """The histories of those customers who have one.

        Raises
        ------
        StoreUnavailable, StoreTooNew
            They cannot be known now.
        """
        return await self.call(partial(self._histories.read, customer_ids))

    async def contacts(self, customer_ids: Sequence[str], since: int) -> dict[str, list[Contact]]:
        """What was delivered after an instant, of those customers to whom anything was.

        Raises
        ------
        StoreUnavailable, StoreTooNew
            It cannot be known now.
        """

        def read() -> dict[str, list[Contact]]:
            with self._database.reading(single=True) as connection:
                return contacts_of(connection, customer_ids, since)

        return await self.call(read)

    async def call(self, work: Callable[[], T]) -> T:
        """Do something with the store in the reading thread.

        Raises
        ------
        StoreUnavailable, StoreTooNew
            The store does not answer, or has not for `SECONDS`.
        """
        try:
            return await asyncio.wait_for(
                asyncio.get_running_loop().run_in_executor(self._thread, work), SECONDS
            )
        except TimeoutError:
            raise StoreUnavailable(
                f"the store {self._database.shown} does not answer: it has been silent for "
                f"{SECONDS:g} s; look at its load, the server and the network"
            ) from None

    def close(self) -> None:
        """Give the connections up; what is being read is still answered."""
        self._points.close()
        self._thread.shutdown(wait=False, cancel_futures=True)
