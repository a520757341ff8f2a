"""What goes wrong with the store.

::

    KeepwellError
    ├── ConfigError
    │   └── BadStoreUrl        KEEPWELL_STORE_URL can never work               (exit 2)
    ├── StoreUnavailable       it does not answer now; recovers by itself      (exit 1)
    │   ├── StoreReadOnly      it answers, but takes no writes
    │   └── WrongErasureKey    KEEPWELL_ERASURE_KEY is not the store's     (exit 2)
    └── StoreTooNew            a newer Keepwell wrote it                       (exit 1)

A message is one line: what is wrong, which store (never its password), and what to do about it.
"""

from churn.errors import ConfigError, KeepwellError


class BadStoreUrl(ConfigError):
    """The URL of the store can never work; the message says which would."""


class StoreUnavailable(KeepwellError):
    """The store does not answer now. Trying again later may help, without a restart."""


class StoreReadOnly(StoreUnavailable):
    """The store answers but takes no writes."""


class WrongErasureKey(StoreUnavailable):
    """The key of the store's tombstones is another one: nobody could be kept forgotten."""

    exit_code = 2


class StoreTooNew(KeepwellError):
    """The store's tables were made by a newer Keepwell."""
