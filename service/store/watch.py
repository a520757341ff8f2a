"""Looks after the store beside the requests: prepares it, and says when it comes and goes."""

import asyncio
import logging

from service import logs
from service.store.database import Database
from service.store.errors import StoreTooNew, StoreUnavailable

SECONDS = 2.0
"""How often the store is asked whether it answers: how soon it is back after it was away."""

_log = logging.getLogger(f"{logs.ROOT}.store")


async def watch(database: Database, seconds: float = SECONDS) -> None:
    """Prepare the store at once and then for ever, so that a request finds it ready.

    Parameters
    ----------
    database : Database
        Not opened yet.
    seconds : float
        Time between looks.
    """
    said: str | None = None
    while True:
        state = await asyncio.to_thread(_look, database)
        if state != said:
            if state == "":
                _log.info("store ready", extra={"fields": {"store": database.shown}})
            else:
                _log.error(state)
            said = state
        await asyncio.sleep(seconds)


def _look(database: Database) -> str:
    """Return why the store cannot be used; nothing where it can."""
    try:
        database.prepare()
    except (StoreUnavailable, StoreTooNew) as error:
        return str(error)
    except Exception as error:  # a fault of ours must not end the watch
        _log.exception("the store could not be prepared")
        return f"the store could not be prepared: {type(error).__name__}"
    return ""
