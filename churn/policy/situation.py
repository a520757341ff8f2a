"""What a customer's case is: from the features, the loss category and the reasons of the risk.

The first that applies counts (`churn.policy.policy.SITUATIONS`): an open complaint, one that came
again or was badly resolved, trouble with goods or delivery, then the loss category, then what else
raises the risk most. Only reasons that raise the risk are looked at, and at most the three largest.
A reason alone is not enough where features can bear it out: a cheque that never fell is not a
decline, however much it adds to the risk.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from churn.compiled import Codes, Floats, Integers
from churn.events import MICROSECONDS_PER_DAY
from churn.features import Family
from churn.policy.policy import SITUATIONS, Situation
from churn.schema import Schema

MOST_REASONS = 3
RECENT_DAYS = 90
"""What is older is no case any more."""
SLOW_DAYS = 7
"""A complaint that took longer to resolve was badly resolved."""
DECLINED = 0.8
"""A cheque below this share of those before has declined (ADR 14)."""
BARGAINS = 0.5
"""Who bought more than this share of orders with a discount buys on promotion."""

CODE: dict[str, int] = {situation: at for at, situation in enumerate(SITUATIONS)}

# Columns of one customer are numbers, of many arrays: what is asked of one is asked of the other.
Numbers = Mapping[str, Any]
Ask = Callable[[Numbers], Any]


def _returned(row: Numbers) -> Any:
    return (row["returns_90d"] > 0) | (row["cancellations_90d"] > 0)


def _rated_low(row: Numbers) -> Any:
    return (row["rating_change"] < 0) & (row["days_since_last_rating"] <= RECENT_DAYS)


def _declined(row: Numbers) -> Any:
    return (row["last_3_cheques_ratio"] < DECLINED) | (row["last_cheque_ratio"] < DECLINED)


def _visits_less(row: Numbers) -> Any:
    return row["visits_30d"] < row["earlier_visits_30d"]


def _buys_on_promotion(row: Numbers) -> Any:
    return row["discounted_share"] > BARGAINS


def _bought_once(row: Numbers) -> Any:
    return row["is_one_time_buyer"] == 1


def _buys_again(row: Numbers) -> Any:
    return row["is_one_time_buyer"] == 0


_QUALITY: dict[str, Ask] = {Family.RETURNS: _returned, Family.SATISFACTION: _rated_low}
_OTHERS: dict[str, tuple[tuple[Situation, Ask], ...]] = {
    Family.CHEQUE: (("cheque_decline", _declined),),
    Family.ENGAGEMENT: (("engagement_drop", _visits_less),),
    Family.DISCOUNT: (("promotion_only", _buys_on_promotion),),
}
# What stands for the loss category where a model has no limits for it.
_INSTEAD: dict[str, tuple[tuple[Situation, Ask], ...]] = {
    Family.SILENCE: (("one_time", _bought_once), ("periodic_switched", _buys_again)),
    Family.FREQUENCY: (("one_time", _bought_once), ("active_shift", _buys_again)),
    Family.TENURE: (("one_time", _bought_once),),
}
_OWN: dict[str, Situation] = {
    Family.COMPLAINTS: "repeated_complaint",
    Family.RETURNS: "quality",
    Family.SATISFACTION: "quality",
    Family.CHEQUE: "cheque_decline",
    Family.ENGAGEMENT: "engagement_drop",
    Family.DISCOUNT: "promotion_only",
}


class Situations:
    """Finds the situations of one model's customers.

    Parameters
    ----------
    schema : Schema
        The model's columns.
    low_rating : float
        A complaint whose resolution was rated lower was badly resolved; NaN where customers'
        ratings are not known.
    """

    def __init__(self, schema: Schema, low_rating: float) -> None:
        self._schema = schema
        self._low_rating = low_rating
        self._category: dict[str | None, Situation] = {
            name: name
            for name in ("high_cheque_stopped", "active_shift", "periodic_switched", "one_time")
        }
        # A column of the user's own bears out itself: it is no reason within its norm.
        self._own = {
            family: situation
            for family, situation in _OWN.items()
            if family in schema.own_columns or not schema.loop
        }

    def of(self, row: Numbers, main: Sequence[str], category: str | None) -> Situation:
        """The situation of one customer.

        Parameters
        ----------
        row : mapping of str to float
            Input columns by name; NaN is missing.
        main : sequence of str
            Families of the main reasons that raise the risk, the largest first.
        category : str or None
            Loss category, None where it is not known.
        """
        if self._schema.loop:
            if row["open_complaints"] > 0:
                return "open_complaint"
            if self._complains(row):
                return "repeated_complaint"
        own = self._own
        if own:
            for family in main:
                if own.get(family) == "repeated_complaint":
                    return "repeated_complaint"
        for family in main:
            ask = _QUALITY.get(family)
            if ask is not None and (own.get(family) or (self._schema.loop and ask(row))):
                return "quality"
        by_category = self._category.get(category)
        if by_category is not None:
            return by_category
        for family in main:
            if family in own:
                return own[family]
            if not self._schema.loop:
                continue
            for situation, asks in self._asked(family, category is not None):
                if asks(row):
                    return situation
        return "unknown"

    def of_many(
        self,
        columns: Mapping[str, Floats],
        families: Sequence[str],
        main: Integers,
        category: Sequence[str | None],
        category_at: Integers,
    ) -> Codes:
        """The same of n customers, as positions in `SITUATIONS`.

        Parameters
        ----------
        columns : mapping of str to ndarray of float64, shape (n,)
            Input columns by name.
        families : sequence of str
            What `main` counts.
        main : ndarray of int64, shape (n, k)
            Families of the main reasons, the largest first; -1 where there are fewer.
        category : sequence of str or None
            What `category_at` counts.
        category_at : ndarray of int64, shape (n,)
            Loss category.
        """
        out: Codes = np.full(len(main), CODE["unknown"], dtype=np.int8)
        is_known = np.array([one is not None for one in category], dtype=np.bool_)[category_at]
        # From what counts least to what counts most, each over what was there.
        for place in range(main.shape[1] - 1, -1, -1):
            for at, family in enumerate(families):
                rows = np.flatnonzero(main[:, place] == at)
                if len(rows):
                    self._put(out, rows, family, columns, is_known)
        for at, name in enumerate(category):
            situation = self._category.get(name)
            if situation is not None:
                out[category_at == at] = CODE[situation]
        for at, family in enumerate(families):
            ask = _QUALITY.get(family)
            if ask is not None:
                found = (main == at).any(axis=1)
                if family not in self._own:
                    found &= ask(columns) if self._schema.loop else False
                out[found] = CODE["quality"]
        for at, family in enumerate(families):
            if self._own.get(family) == "repeated_complaint":
                out[(main == at).any(axis=1)] = CODE["repeated_complaint"]
        if self._schema.loop:
            out[self._complains(columns)] = CODE["repeated_complaint"]
            out[columns["open_complaints"] > 0] = CODE["open_complaint"]
        return out

    def owed_since(self, situation: Situation, row: Numbers, as_of: int) -> int | None:
        """Since when service is owed, microseconds since 1970-01-01 UTC; None if not known."""
        if not self._schema.loop:
            return None
        if situation == "open_complaint":
            ago = row["days_since_open_complaint"]
        elif situation == "repeated_complaint":
            ago = row["days_since_last_complaint"]
        elif situation == "quality":
            known = [row[name] for name in _OF_QUALITY if row[name] == row[name]]
            ago = min(known, default=np.nan)
        else:
            return None
        return as_of - round(ago * MICROSECONDS_PER_DAY) if ago == ago else None

    def _complains(self, row: Numbers) -> Any:
        """Whether complaints came again lately, or the last was badly resolved."""
        return (row["days_since_last_complaint"] <= RECENT_DAYS) & (
            (row["complaints_365d"] >= 2)
            | (row["last_resolution_days"] > SLOW_DAYS)
            | (row["last_resolution_rating"] < self._low_rating)
        )

    def _asked(self, family: str, has_category: bool) -> tuple[tuple[Situation, Ask], ...]:
        found = _OTHERS.get(family, ())
        return found if has_category else found or _INSTEAD.get(family, ())

    def _put(
        self,
        out: Codes,
        rows: Integers,
        family: str,
        columns: Mapping[str, Floats],
        is_known: NDArray[np.bool_],
    ) -> None:
        """Give rows that have a family as a reason the situation that it comes to, if it does."""
        if family in self._own:
            out[rows] = CODE[self._own[family]]
            return
        if not self._schema.loop:
            return
        for has_category in (True, False):
            some = rows[is_known[rows] == has_category]
            for situation, asks in reversed(self._asked(family, has_category)):
                out[some[asks(columns)[some]]] = CODE[situation]


_OF_QUALITY = ("days_since_last_return", "days_since_last_cancellation", "days_since_last_rating")
