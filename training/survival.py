"""How long until a customer buys again, from gaps that have ended and gaps that are still open.

A customer who is still silent has a gap that is only known to be longer than the silence (it is
censored). Counting ended gaps alone makes customers look faster than they are, most of all in a
short log; Kaplan and Meier's estimator uses both.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from churn.compiled import Floats, Integers

QUANTILES = (0.25, 0.5, 0.75, 0.8, 0.85, 0.9, 0.95)
FEWEST_AT_RISK = 30
"""Beyond the day on which fewer gaps are still followed, a curve is hearsay."""


@dataclass(frozen=True, slots=True)
class Survival:
    """Share of gaps that are longer than so many days, by Kaplan and Meier.

    Attributes
    ----------
    longer : ndarray of float64, shape (n_days,)
        For 0, 1, 2, ... days.
    at_risk : ndarray of int64, shape (n_days,)
        Gaps that had neither ended nor gone out of sight before that day.

    References
    ----------
    Kaplan & Meier (1958), Nonparametric estimation from incomplete observations, JASA 53.
    """

    longer: Floats
    at_risk: Integers

    @classmethod
    def of(cls, ended: Counter[int], silent: Counter[int]) -> "Survival":
        """Estimate from gaps that ended after so many days, and gaps that had not by then.

        Examples
        --------
        >>> Survival.of(Counter({1: 1, 3: 1}), Counter({2: 2})).longer.tolist()
        [1.0, 0.75, 0.75, 0.0]
        """
        n_days = max([*ended, *silent], default=0) + 1
        events, leaving = np.zeros(n_days, dtype=np.int64), np.zeros(n_days, dtype=np.int64)
        for days, n in ended.items():
            events[days] += n
        for days, n in silent.items():
            leaving[days] += n
        at_risk = np.cumsum((events + leaving)[::-1])[::-1]
        longer: Floats = np.cumprod(1.0 - events / np.maximum(at_risk, 1), dtype=np.float64)
        return cls(longer, at_risk)

    @property
    def seen_days(self) -> int:
        """The last day on which at least `FEWEST_AT_RISK` gaps are still followed; 0 if none."""
        return int(np.flatnonzero(self.at_risk >= FEWEST_AT_RISK).max(initial=0))

    def ended_within(self, days: int) -> float:
        """Share of gaps of at most so many days; 0 of none."""
        if days < 0:
            return 0.0
        return float(1.0 - self.longer[min(days, len(self.longer) - 1)])

    def ends_soon(self, silent_days: int, from_days: int, to_days: int) -> float:
        """Probability that a gap, open for `silent_days`, ends within ``[from, to)`` days more."""
        # A gap of exactly the silence ends today, so the day before is the last without a return.
        still, before, after = (
            1.0 - self.ended_within(silent_days + days - 1) for days in (0, from_days, to_days)
        )
        return (before - after) / still if still > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Returns:
    """When those who come back, within `limit_days`, do so."""

    survival: Survival
    limit_days: int

    @property
    def share(self) -> float:
        """Share of customers who come back at all, in [0, 1]."""
        return self.survival.ended_within(self.limit_days)

    def within(self, days: int) -> float:
        """Of those who come back, the share that has by then."""
        share = self.share
        back = self.survival.ended_within(min(days, self.limit_days))
        return back / share if share > 0 else 0.0

    def quantile(self, q: float) -> int:
        """Days within which at least a share `q` of those who come back does."""
        enough = q * self.share - 1e-12  # a rounding error is not a day
        back = 1.0 - self.survival.longer[: self.limit_days + 1]
        return int(np.argmax(back >= enough))

    def to_dict(self) -> dict[str, Any]:
        """The share that comes back, and the quantiles of when, as plain values."""
        return {"come_back": self.share} | {
            f"p{q * 100:.0f}": self.quantile(q) if self.share > 0 else None for q in QUANTILES
        }
