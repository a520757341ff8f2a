"""Keys of the environment and of files: what is published is signed, what is read is trusted."""

import os
import stat
from pathlib import Path

from churn.errors import ConfigError
from churn.signing import Keys, SigningKey


def keys(signing: Path | None = None) -> Keys:
    """The keys to read models with, as the service's settings name them, and to publish with.

    Parameters
    ----------
    signing : Path, optional
        A private key's file.

    Raises
    ------
    ConfigError
        A key cannot be read, or is none.
    """
    from service import settings, trust

    trusted = trust.trusted(settings.Trust())
    return Keys(trusted, None if signing is None else signing_key(signing))


def signing_key(file: Path) -> SigningKey:
    """Read a private key that strangers cannot.

    Raises
    ------
    ConfigError
        It cannot be read, is no key, or anybody on this machine may read it.
    """
    try:
        with file.open("rb") as opened:
            if os.fstat(opened.fileno()).st_mode & stat.S_IRWXO:
                raise ConfigError(
                    f"{file}: anybody on this machine may use this private key: chmod 600 it, and "
                    "if others could read it, make a new one (`keepwell models keygen`)"
                )
            pem = opened.read(65_536)
    except OSError as error:
        raise ConfigError(f"{file}: the signing key cannot be read: {error.strerror}") from None
    return SigningKey.parse(pem, str(file))


def write_key(file: Path, key: SigningKey) -> None:
    """Write a private key to a new file that nobody else may read.

    Raises
    ------
    ConfigError
        The file is there already, or cannot be made.
    """
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ConfigError(f"{file}: exists already; keys are never overwritten") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from None
    with os.fdopen(handle, "wb") as out:
        out.write(key.pem())
        out.flush()
        os.fsync(handle)
