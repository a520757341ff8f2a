"""Everything Keepwell raises on purpose.

::

    KeepwellError
    ├── ConfigError            keepwell.toml or a setting is wrong              (exit 2)
    ├── DataError              the data cannot be used as it is                 (exit 1)
    │   ├── MappingError       the SQL mapping failed or lacks a column
    │   └── TooLittleData      too short, too few customers, one class only
    ├── RequestError           a scoring request is wrong; names the field
    │   └── UnknownFeature
    ├── PolicyError            policy.toml cannot work; names the line          (exit 2)
    └── ModelError             a model bundle cannot be used                    (exit 1)
        ├── BundleNotFound
        ├── BundleCorrupt      bytes changed, a file missing or one too many
        ├── BundleUntrusted    not signed, or by nobody who is trusted
        └── BundleUnsupported  written by a format this version cannot read

A message is one line: what is wrong, where, and what to do about it.
"""


class KeepwellError(Exception):
    """Base of all errors that Keepwell raises on purpose."""

    exit_code = 1


class ConfigError(KeepwellError):
    """A configuration file or setting is wrong; the message names the key."""

    exit_code = 2


class DataError(KeepwellError):
    """The data cannot be used as it is; the message names the file, row or column."""


class MappingError(DataError):
    """The SQL mapping of `keepwell.toml` failed or misses a required column."""


class TooLittleData(DataError):
    """The log is too short, too small or one-sided for what was asked."""


class RequestError(KeepwellError):
    """A scoring request is wrong.

    Parameters
    ----------
    message : str
        What is wrong and what to do; never holds the input's values.
    pointer : str
        JSON pointer to the field, such as ``/features/purchases_30d``.
    code : str
        Stable, machine-readable name of the problem.
    """

    def __init__(self, message: str, *, pointer: str, code: str) -> None:
        super().__init__(message)
        self.pointer = pointer
        self.code = code


class UnknownFeature(RequestError):
    """A feature name that the loaded model does not know."""


class PolicyError(KeepwellError):
    """A policy.toml cannot work; the message names the file, the line and what to do."""

    exit_code = 2


class ModelError(KeepwellError):
    """A model bundle cannot be used."""


class BundleNotFound(ModelError):
    """No bundle where one was expected."""


class BundleCorrupt(ModelError):
    """The bundle's files are not the ones its manifest was written for."""


class BundleUntrusted(ModelError):
    """None of the trusted keys signed the bundle."""


class BundleUnsupported(ModelError):
    """The bundle was written in a format that this version cannot read."""
