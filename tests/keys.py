"""Keys with known secrets, and the file that has them."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from service import instants
from service.access.keys import Key, KeyScope

LATER = instants.parse("2027-11-21T12:00:00Z")


def key(
    key_id: str, scopes: Iterable[KeyScope], *, client: str = "crm", expires_at: int = LATER
) -> Key:
    """A key whose secret everybody knows: a hash of its id."""
    digest = hashlib.sha256(_secret(key_id).encode()).digest()
    return Key(key_id, client, frozenset(scopes), expires_at, digest)


def header(key_id: str) -> str:
    """What a caller sends to show a key."""
    return f"Bearer kw_{key_id}_{_secret(key_id)}"


def write(path: Path, *keys: Key) -> Path:
    """Write a file of keys as an editor saves: another file under the same name."""
    new = path.with_suffix(".new")
    new.write_text("\n".join(one.entry() for one in keys), encoding="utf-8")
    new.rename(path)
    return path


def _secret(key_id: str) -> str:
    return hashlib.sha256(key_id.encode()).hexdigest()
