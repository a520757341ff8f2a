"""Adding a key to a file of keys: the file is whole at every moment, and nobody else reads it."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from churn.errors import ConfigError, KeepwellError
from service.access.keys import Key, Keys, parse, read

MOST_LIVE = 2
"""Keys of one client at a time: the one in use, and the one that takes its place."""

_ONLY_OWNER = 0o600


def add(path: Path, key: Key, now: int) -> None:
    """Add a key to a file, which is made if there is none.

    Parameters
    ----------
    path : Path
        The file; where it is a link, what that leads to.
    key : Key
        The new one.
    now : int
        Tells which others have expired, microseconds since 1970-01-01 UTC.

    Raises
    ------
    ConfigError
        The file is wrong, or the client has two keys in force.
    KeepwellError
        It cannot be written.
    """
    path = path.resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone_in(path.parent):
            known = read_if_there(path).all
            live = [one.key_id for one in known if _rivals(one, key, now)]
            if len(live) >= MOST_LIVE:
                raise ConfigError(
                    f"{path}: client {key.client} has two keys in force, {' and '.join(live)}; "
                    "take one of them out first"
                )
            before = path.read_text(encoding="utf-8").rstrip() if path.exists() else ""
            text = f"{before}\n\n{key.entry()}".lstrip()
            parse(text, path)
            _replace(path, text)
    except OSError as error:
        raise KeepwellError(f"{path}: cannot be written: {error.strerror}") from None


def read_if_there(path: Path) -> Keys:
    """Read a file of keys; no keys where there is no file.

    Raises
    ------
    ConfigError
        The file is wrong.
    """
    return read(path) if path.exists() else Keys([])


def _rivals(one: Key, key: Key, now: int) -> bool:
    return one.client == key.client and one.expires_at > now


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
        os.fsync(handle)
    finally:
        os.close(handle)


def _replace(path: Path, text: str) -> None:
    """Write a file anew, with the owner and the permissions that it has."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _ONLY_OWNER)
    try:
        with open(handle, "w", encoding="utf-8") as out:
            with contextlib.suppress(FileNotFoundError):
                was = path.stat()
                os.fchmod(handle, was.st_mode & 0o777)
                if (was.st_uid, was.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(handle, was.st_uid, was.st_gid)
            out.write(text)
            out.flush()
            os.fsync(handle)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
