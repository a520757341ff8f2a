"""Keys: what a caller shows, what is kept of it, and what it allows.

A key is ``kw_<id>_<secret>``. The file has, under the id, a SHA-256 of the secret: of 256 random
bits, so that nobody finds them by trying, however fast the hash is.
"""

import hashlib
import re
import secrets
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hmac import compare_digest
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from churn.errors import ConfigError
from service import instants
from service.followed import text_of

PREFIX = "kw"
_PREFIX = PREFIX.encode()
ID_BYTES = 6
SECRET_BYTES = 32
LONGEST = 256
"""Bytes of an `Authorization` header that may be a key at all."""

Refusal = Literal["missing", "malformed", "unknown", "expired"]


class KeyScope(StrEnum):
    """What a key may do."""

    SCORE = "score"
    BATCH = "batch"
    EVENTS = "events"
    METRICS = "metrics"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Key:
    """One key, without its secret.

    Attributes
    ----------
    key_id : str
        Which it is; not secret.
    client : str
        Whose it is: keys of one client see the same jobs.
    scopes : frozenset of KeyScope
        What it may do; never empty.
    expires_at : int
        From when it is refused, microseconds since 1970-01-01 UTC.
    digest : bytes
        SHA-256 of the secret.
    """

    key_id: str
    client: str
    scopes: frozenset[KeyScope]
    expires_at: int
    digest: bytes

    def entry(self) -> str:
        """The key as a file has it."""
        scopes = ", ".join(f'"{scope}"' for scope in sorted(self.scopes))
        return (
            f"[keys.{self.key_id}]\n"
            f'client = "{self.client}"\n'
            f"scopes = [{scopes}]\n"
            f"expires = {instants.text(self.expires_at)}\n"
            f'sha256 = "{self.digest.hex()}"\n'
        )


class Keys:
    """The keys in force; immutable.

    Parameters
    ----------
    keys : collection of Key
        Each of another id.
    """

    def __init__(self, keys: Collection[Key]) -> None:
        self.all = tuple(keys)
        self._by_id = {key.key_id.encode(): key for key in keys}

    def told(self) -> list[dict[str, object]]:
        """What may be told of each, in the order of their ids: nothing of its secret."""
        return [
            {
                "id": key.key_id,
                "client": key.client,
                "scopes": sorted(key.scopes),
                "expires": instants.text(key.expires_at),
            }
            for key in sorted(self.all, key=lambda key: key.key_id)
        ]

    def judge(self, authorization: bytes | None, now: int) -> Key | Refusal:
        """Tell whose key an `Authorization` header has, or why it has none that counts.

        Takes as long for an id that nobody has as for a wrong secret.
        """
        if authorization is None:
            return "missing"
        scheme, _, shown = authorization.partition(b" ")
        prefix, _, rest = shown.partition(b"_")
        key_id, _, secret = rest.partition(b"_")
        well_formed = scheme.lower() == b"bearer" and prefix == _PREFIX and secret
        if not well_formed or len(authorization) > LONGEST:
            return "malformed"
        key = self._by_id.get(key_id, _NOBODYS)
        if not compare_digest(hashlib.sha256(secret).digest(), key.digest):
            return "unknown"
        return "expired" if key.expires_at <= now else key


# No secret has this digest that anybody could find.
_NOBODYS = Key("", "", frozenset(), 0, bytes(hashlib.sha256().digest_size))


def new(client: str | None, scopes: Collection[KeyScope], expires_at: int) -> tuple[str, Key]:
    """Make a key; what a caller is to show, and what is kept of it.

    Without a client the key is its own: its id names it.
    """
    key_id, secret = secrets.token_hex(ID_BYTES), secrets.token_hex(SECRET_BYTES)
    digest = hashlib.sha256(secret.encode()).digest()
    key = Key(key_id, client or key_id, frozenset(scopes), expires_at, digest)
    return f"{PREFIX}_{key_id}_{secret}", key


_EARLIEST, _LATEST = (
    datetime.fromtimestamp(limit / 1e6, UTC) for limit in (instants.EARLIEST, instants.LATEST)
)
CLIENT_PATTERN = r"^[A-Za-z0-9._-]{1,64}$"
ID_PATTERN = r"^[0-9a-z]{1,32}$"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    client: Annotated[str, Field(strict=True, pattern=CLIENT_PATTERN)]
    scopes: Annotated[frozenset[KeyScope], Field(min_length=1)]
    expires: Annotated[AwareDatetime, Field(strict=True, ge=_EARLIEST, lt=_LATEST)]
    sha256: Annotated[str, Field(strict=True, pattern=r"^[0-9a-f]{64}$")]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    keys: dict[Annotated[str, Field(pattern=ID_PATTERN)], _Entry] = Field(default_factory=dict)


_MUST = {
    "client": "must be 1 to 64 letters, digits, dots, hyphens and underscores, in quotes",
    "scopes": f"must be a list of one or more of {', '.join(KeyScope)}",
    "expires": "must be a time before 2200 with its offset, such as 2027-02-20T12:00:00Z",
    "sha256": "must be the 64 hexadecimal digits that `keepwell keys new` wrote",
}


def parse(text: str, path: Path) -> Keys:
    """Check the text of a file of keys that lies at `path`.

    Raises
    ------
    ConfigError
        It is not TOML, or an entry is wrong. The message never repeats a value: somebody may have
        put a whole key where its hash belongs.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    try:
        file = _File.model_validate(tables)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_explained(error)}") from None
    return Keys(
        [
            Key(
                key_id,
                entry.client,
                entry.scopes,
                round(entry.expires.astimezone(UTC).timestamp()) * 1_000_000,
                bytes.fromhex(entry.sha256),
            )
            for key_id, entry in file.keys.items()
        ]
    )


def read(path: Path) -> Keys:
    """Read and check a file of keys.

    Raises
    ------
    ConfigError
        It cannot be read, or is wrong; the message says where and what to do.
    """
    return parse(text_of(path, ConfigError, "`keepwell keys new` writes one"), path)


def _explained(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    place = [str(part) for part in first["loc"]]
    if len(place) == 1:
        if first["type"] == "extra_forbidden":
            return "has more than [keys.<id>] tables"
        return "[keys] must hold one table for each key, [keys.<id>]"
    if not re.search(ID_PATTERN, place[1]):
        return "an id is wrong: it must be 1 to 32 lower-case letters and digits, [keys.<id>]"
    table = f"[keys.{place[1]}]"
    if len(place) == 2:
        return f"{table} must be a table"
    if first["type"] == "extra_forbidden":
        return f"{table} has a key that is not known; known are {', '.join(_MUST)}"
    if first["type"] == "missing":
        return f"{table} {place[2]} is missing"
    return f"{table} {place[2]} {_MUST[place[2]]}"
