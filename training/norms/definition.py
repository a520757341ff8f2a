"""What the norm of a feature is made of: the customer's own row, changed feature by feature."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from churn.compiled import Booleans, Floats

ROUND_OFF = 1e-9


@dataclass(frozen=True, slots=True)
class Rows:
    """n customers, one of whose families is being set to its norm.

    Attributes
    ----------
    was, now : dict of str to ndarray, shape (n,)
        Loop features by name: as they were, and as far as they are changed.
    told : dict of str to ndarray of bool, shape (n,)
        By code, whether the family's reason is that one.
    horizon_days : float
        Length of the outcome window.
    """

    was: dict[str, Floats]
    now: dict[str, Floats]
    told: dict[str, Booleans]
    horizon_days: float

    def added(self, feature: str) -> Floats:
        """How much a feature was raised by, 0 where it is missing."""
        return np.nan_to_num(self.now[feature] - self.was[feature])


How = Callable[[Rows], Floats]


@dataclass(frozen=True, slots=True)
class Norm:
    """The customer's own norm of one feature.

    Attributes
    ----------
    feature : str
        Its name.
    words : str
        Its norm, for people.
    how : callable
        Its value; may look at changed features that stand before it in the table.
    """

    feature: str
    words: str
    how: How


def at_most(feature: str, words: str, norm: How) -> Norm:
    """A feature that must not lie above a norm; what is missing stays missing."""
    return Norm(feature, words, lambda rows: _known(rows, feature, np.fmin, norm))


def at_least(feature: str, words: str, norm: How) -> Norm:
    """A feature that must not lie below a norm; what is missing stays missing."""
    return Norm(feature, words, lambda rows: _known(rows, feature, np.fmax, norm))


def stays(feature: str) -> Norm:
    """A feature that tells the norm itself, or nothing that could be off it."""
    return Norm(feature, "stays", lambda rows: rows.was[feature])


def always(feature: str, number: float, words: str) -> Norm:
    """A feature whose norm is the same for everybody; what is missing stays missing."""
    return Norm(feature, words, lambda rows: np.where(np.isnan(rows.was[feature]), np.nan, number))


def quotient(above: Floats, below: Floats) -> Floats:
    """A ratio, missing where there is nothing to divide by."""
    safe = np.where(below > 0.0, below, np.nan)
    return np.asarray(above / safe)


def rounded_up(number: Floats) -> Floats:
    """The least whole number that is not below."""
    return np.asarray(np.ceil(number - ROUND_OFF))


def _known(rows: Rows, feature: str, of: Callable[..., Floats], norm: How) -> Floats:
    was = rows.was[feature]
    return np.where(np.isnan(was), np.nan, of(was, norm(rows)))
