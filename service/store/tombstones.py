"""Who was forgotten, and when, without saying who.

A tombstone is a keyed hash of the customer's id, so that a copy of the store does not tell who
asked to be forgotten to anyone who can guess ids but lacks the key. It stops events from before
the erasure from coming back with the next import.
"""

import hashlib
import hmac
import secrets as randomness
from collections.abc import Collection

from sqlalchemy import Connection, select

from service.store.tables import secrets, tombstones
from service.store.upsert import upsert

KEY = "tombstones"
_KEY_BYTES = 32


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
    row = {"digest": digest(connection, customer_id), "erased_at": now}
    upsert(connection, tombstones, [row], keys=("digest",))


def buried(connection: Connection, customer_ids: Collection[str]) -> dict[str, int]:
    """When each of these customers was forgotten, of those who were."""
    if connection.execute(select(tombstones.c.digest).limit(1)).first() is None:
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


def _digest(key: bytes, customer_id: str) -> bytes:
    return hmac.digest(key, customer_id.encode(), hashlib.sha256)


def _key(connection: Connection) -> bytes:
    """The store's own key, made when it is first needed (in a writing transaction)."""
    found = connection.scalar(select(secrets.c.value).where(secrets.c.name == KEY))
    if found is not None:
        return bytes(found)
    key = randomness.token_bytes(_KEY_BYTES)
    connection.execute(secrets.insert().values(name=KEY, value=key))
    return key
