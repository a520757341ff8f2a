"""Whose models are loaded: the public keys of the settings, and those of a file."""

from churn.errors import ConfigError
from churn.signing import TrustedKeys
from service.settings import PREFIX, Trust


def trusted(settings: Trust) -> TrustedKeys | None:
    """The keys that are trusted now; None where none are configured. The file is read anew.

    Raises
    ------
    ConfigError
        What is configured cannot be read or names no key: nothing is loaded then, for a list of
        keys that was lost is no reason to trust everybody.
    """
    found: list[TrustedKeys] = []
    if settings.trusted_keys is not None:
        found.append(TrustedKeys.parse(settings.trusted_keys, f"{PREFIX}TRUSTED_KEYS"))
    file = settings.trusted_keys_file
    if file is not None:
        where = f"{PREFIX}TRUSTED_KEYS_FILE: {file}"
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{where}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{where}: is not text") from None
        found.append(TrustedKeys.parse(text, where))
    return TrustedKeys(frozenset().union(*(one.keys for one in found))) if found else None
