"""Who was forgotten, and when, without saying who.

A tombstone is a keyed hash of the customer's id, so that a copy of the store does not tell who
asked to be forgotten to anyone who can guess ids but lacks the key. It stops events from before
the erasure from coming back with the next import.

The key lies in the store, or, better, outside: then the store has only its fingerprint, by which
another key is known as such.
"""

import hashlib
import hmac
import secrets as randomness
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, select

from service.store.errors import WrongErasureKey
from service.store.tables import secrets, tombstones
from service.store.upsert import upsert

OPTION = "erasure_key"
"""Execution option of a connection: the key, where it is kept outside of the store."""

KEY, FINGERPRINT = "tombstones", "tombstones-fingerprint"
_KEY_BYTES = 32

_ANY = "SELECT 1 FROM tombstones LIMIT 1"  # asked with every write: without being compiled


class Erasures(NamedTuple):
    """How many people were forgotten, and when the last of them was; None where nobody was."""

    people: int
    last_at: int | None


def erasures(connection: Connection) -> Erasures:
    """What another erasure, by whatever process, changes."""
    counted = select(func.count(), func.max(tombstones.c.erased_at))
    people, last_at = connection.execute(counted).one()
    return Erasures(people, last_at)


def digest(connection: Connection, customer_id: str) -> bytes:
    """The keyed hash that stands for a customer."""
    return _digest(_key(connection), customer_id)


def bury(connection: Connection, customer_id: str, now: int) -> None:
    """Leave a tombstone; of two erasures the later counts.

    Parameters
    ----------
    now : int
        Microseconds since 1970-01-01 UTC; what happened before it stays out.
    """
    before = buried(connection, [customer_id]).get(customer_id, now)
    row = {"digest": digest(connection, customer_id), "erased_at": max(now, before)}
    upsert(connection, tombstones, [row], keys=("digest",))


def buried(connection: Connection, customer_ids: Collection[str]) -> dict[str, int]:
    """When each of these customers was forgotten, of those who were."""
    if connection.exec_driver_sql(_ANY).first() is None:
        return {}
    key = _key(connection)
    by_digest = {_digest(key, customer_id): customer_id for customer_id in customer_ids}
    found: dict[str, int] = {}
    asked = list(by_digest)
    for at in range(0, len(asked), 500):
        rows = connection.execute(
            select(tombstones.c.digest, tombstones.c.erased_at).where(
                tombstones.c.digest.in_(asked[at : at + 500])
            )
        )
        found.update((by_digest[bytes(row.digest)], row.erased_at) for row in rows)
    return found


def known_key(connection: Connection) -> bytes | None:
    """The key in use, if there is one yet."""
    return _given(connection) or _secret(connection, KEY)


def digests(key: bytes, customer_ids: Collection[str]) -> list[bytes]:
    """What tombstones of these customers would be known by."""
    return [_digest(key, customer_id) for customer_id in customer_ids]


def is_settled(connection: Connection) -> bool:
    """Whether the key in use is the one that this store's tombstones were made with."""
    given, kept = _given(connection), _secret(connection, FINGERPRINT)
    return kept is None if given is None else kept == _fingerprint(given)


def settle(connection: Connection, shown: str) -> None:
    """Take the key in use for this store's own, unless its tombstones were made with another.

    A key that lies in the store and is given from outside from now on is removed from the store.

    Parameters
    ----------
    connection : Connection
        Of `Database.writing`.
    shown : str
        The store's URL without its password.

    Raises
    ------
    WrongErasureKey
        They were.
    """
    if is_settled(connection):
        return
    given, inside = _given(connection), _secret(connection, KEY)
    is_empty = connection.execute(select(tombstones.c.digest).limit(1)).first() is None
    if not is_empty and (given is None or given != inside):
        if given is None:
            raise WrongErasureKey(
                f"the store {shown} was given its erasure key from outside: set the same "
                "KEEPWELL_ERASURE_KEY"
            )
        raise WrongErasureKey(
            f"the store {shown} has tombstones of another erasure key: set the "
            "KEEPWELL_ERASURE_KEY that was used before"
            + ("" if inside is None else ", here none at all")
        )
    connection.execute(delete(secrets).where(secrets.c.name.in_([KEY, FINGERPRINT])))
    if given is not None:
        kept = {"name": FINGERPRINT, "value": _fingerprint(given)}
        connection.execute(secrets.insert().values(kept))


def _digest(key: bytes, customer_id: str) -> bytes:
    return hmac.digest(key, customer_id.encode(), hashlib.sha256)


def _fingerprint(key: bytes) -> bytes:
    return hmac.digest(key, b"\x00fingerprint of the erasure key", hashlib.sha256)


def _given(connection: Connection) -> bytes | None:
    key: bytes | None = connection.get_execution_options().get(OPTION)
    return key


def _key(connection: Connection) -> bytes:
    """The key in use; one of the store's own is made when it is first needed, within a write."""
    found = known_key(connection)
    if found is not None:
        return found
    key = randomness.token_bytes(_KEY_BYTES)
    connection.execute(secrets.insert().values(name=KEY, value=key))
    return key


def _secret(connection: Connection, name: str) -> bytes | None:
    found = connection.scalar(select(secrets.c.value).where(secrets.c.name == name))
    return None if found is None else bytes(found)
