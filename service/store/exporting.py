"""The stored log, customer by customer in the order of their ids, without holding anybody up."""

from collections.abc import Iterator

from sqlalchemy import func, select

from churn.history import History
from service.store import pieces
from service.store.database import Database
from service.store.histories import number_of
from service.store.tables import histories

PAGE_CUSTOMERS = 1000


class Exporting:
    """Reads all that had been received when it was made, whatever comes meanwhile.

    Parameters
    ----------
    database : Database
        Where the log is.

    Attributes
    ----------
    customers : int
        How many there are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.reading() as connection:
            self.received = number_of(connection)
            counted = select(func.count()).select_from(histories)
            self.customers: int = connection.execute(counted).scalar_one()

    def pages(self) -> Iterator[list[tuple[str, History]]]:
        """All histories in the order of their customers' ids (by bytes), a page at a time.

        Every page is a transaction of its own: a long one would keep the databases from tidying up
        behind the writers. `received` bounds what is seen of each.
        """
        after = ""
        while True:
            with self._database.reading(single=True) as connection:
                found = pieces.page(connection, after, PAGE_CUSTOMERS)
            if not found:
                return
            after = found[-1][0]
            yield [(who, History.decode(events)) for who, events in found]
