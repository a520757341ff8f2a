"""Work that goes on beside the requests for as long as the service runs."""

import asyncio
import logging
from collections.abc import Callable

from service.store.errors import StoreTooNew, StoreUnavailable


async def always(
    work: Callable[[], object], seconds: float, log: logging.Logger, failure: str
) -> None:
    """Do work in a thread, at once and then again and again; no fault of it ends this.

    Parameters
    ----------
    work : callable
        May raise; a store that is away is passed over, since its own watch says so.
    seconds : float
        Between its end and its next start.
    log : Logger
        Told of any other fault.
    failure : str
        What to say then.
    """
    while True:
        try:
            await asyncio.to_thread(work)
        except (StoreUnavailable, StoreTooNew):
            pass
        except Exception:
            log.exception(failure)
        await asyncio.sleep(seconds)
