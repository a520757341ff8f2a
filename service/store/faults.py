"""What the databases' errors mean to whoever runs the service: one sentence each.

A driver's own words may quote what it choked on, so none of them are repeated.
"""

import re
import sqlite3

from sqlalchemy.exc import DBAPIError, TimeoutError

from service.store.engine import LOCK_SECONDS
from service.store.errors import StoreReadOnly, StoreUnavailable

_SQLITE = {
    sqlite3.SQLITE_BUSY: f"another process has kept it locked for {LOCK_SECONDS} s; "
    "stop what holds it open",
    sqlite3.SQLITE_LOCKED: "another connection has it locked; try again",
    sqlite3.SQLITE_IOERR: "reading or writing its file failed; look at the disk",
    sqlite3.SQLITE_CORRUPT: "its file is damaged; put a backup in its place (and remove the files "
    "that end in -wal and -shm)",
    sqlite3.SQLITE_FULL: "there is no space left on its disk; make room",
    sqlite3.SQLITE_CANTOPEN: "its file cannot be opened or made; let this user write to its folder",
    sqlite3.SQLITE_PERM: "its file cannot be opened; let this user write to it",
    sqlite3.SQLITE_NOTADB: "its file is not a database; name another or put a backup in its place",
    sqlite3.SQLITE_NOMEM: "memory ran out",
    sqlite3.SQLITE_PROTOCOL: "another process has it locked; try again",
}

# By SQLSTATE, the longest beginning first.
_POSTGRESQL = {
    "57014": "a statement took too long; look at the server's load",
    "55P03": f"another writer has kept it locked for {LOCK_SECONDS} s; try again",
    "25P03": "a transaction was idle for too long and the server ended it; try again",
    "40": "the server gave up a transaction for another one; try again",
    "53100": "there is no space left on the server's disk; make room",
    "53300": "the server takes no more connections; raise its max_connections",
    "53": "the server lacks resources; look at its log",
    "42501": "this user may not do that; grant it the rights to create and change tables",
    "28": "the server does not let this user in; check user and password",
    "3D000": "the server has no such database; create it",
    "57P": "the server is starting or stopping; it is tried again",
    "08": "the connection was lost; it is tried again",
    "58": "the server failed to read or write; look at its log",
    "XX": "the server found its data damaged; look at its log",
}

# A failed attempt to connect has only words, and those of the client library are English.
_CONNECTING = {
    "authentication failed|no password supplied": _POSTGRESQL["28"],
    "pg_hba": "the server does not let this host in; see its pg_hba.conf",
    'database ".*" does not exist': _POSTGRESQL["3D000"],
    'role ".*" does not exist': _POSTGRESQL["28"],
    "too many clients|remaining connection slots": _POSTGRESQL["53300"],
    "starting up|shutting down|recovery": _POSTGRESQL["57P"],
    "resolve host|translate host|name or service": "no such host; check its name",
    "refused": "nothing listens there; start the server, or check host and port",
    "No such file": "nothing listens on that socket; start the server, or check its path",
    "timeout expired|timed out": "the server does not answer; check host, port and firewall",
}

_READ_ONLY = "it takes no writes: {}; what is stored can still be read"
_LACKS_TABLES = (
    "it lacks tables; one that is new is prepared within seconds, another needs its backup"
)
_GONE = "the connection was lost; it is tried again"

# The pool's connections are of no more use, even where the driver does not say so.
_REOPEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR}
_MISSING_TABLE = "no such table"
_LACKING = {"42P01", "42883"}  # a table; the function that writes to it


def explain(error: Exception, shown: str) -> StoreUnavailable | None:
    """Say what an error of the store means, or None if it is a fault of ours.

    Parameters
    ----------
    error : Exception
        As the driver, the pool or the operating system raised it.
    shown : str
        The store's URL without its password.
    """

    def unavailable(why: str) -> StoreUnavailable:
        return StoreUnavailable(f"the store {shown} does not answer: {why}")

    if isinstance(error, TimeoutError):
        return unavailable("all its connections are busy; try again")
    if isinstance(error, OSError):
        return unavailable(f"{error.strerror or 'its folder cannot be made'}; check its folder")
    if not isinstance(error, DBAPIError):
        return None
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        code = _primary(cause)
        if code == sqlite3.SQLITE_READONLY:
            why = "its file or folder is read-only"
            return StoreReadOnly(f"the store {shown}: {_READ_ONLY.format(why)}")
        if _MISSING_TABLE in str(cause):
            return unavailable(_LACKS_TABLES)
        return unavailable(_SQLITE[code]) if code in _SQLITE else None
    state = getattr(cause, "sqlstate", None)
    if state is None:
        return unavailable(_connecting(str(cause))) if _is_operational(cause) else None
    if state == "25006":
        why = "the server is a replica or set to read-only"
        return StoreReadOnly(f"the store {shown}: {_READ_ONLY.format(why)}")
    if state in _LACKING:
        return unavailable(_LACKS_TABLES)
    for length in (5, 3, 2):
        if state[:length] in _POSTGRESQL:
            return unavailable(_POSTGRESQL[state[:length]])
    return unavailable(_GONE) if error.connection_invalidated else None


def spoils_connections(error: Exception) -> bool:
    """Whether open connections should be given up and the schema looked at afresh."""
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        return _primary(error.orig) in _REOPEN or _MISSING_TABLE in str(error.orig)
    return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _LACKING


def is_away(error: Exception) -> bool:
    """Whether a failure to connect is the store's, rather than ours for using too many."""
    return not isinstance(error, TimeoutError)


def _primary(error: sqlite3.Error) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _is_operational(cause: BaseException | None) -> bool:
    return any(
        kind.__name__ in ("OperationalError", "InterfaceError") for kind in type(cause).__mro__
    )


def _connecting(words: str) -> str:
    for pattern, why in _CONNECTING.items():
        if re.search(pattern, words, re.IGNORECASE):
            return why
    return _GONE
