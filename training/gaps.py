"""How soon customers come back: the gaps between their purchase days, those still open included.

A one-time buyer has one gap, still open; so has everybody since their last purchase.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from churn.events import MICROSECONDS_PER_DAY
from training.survival import QUANTILES, Returns, Survival
from training.tally import Tally

WITHIN_DAYS = (7, 14, 30, 45, 60, 90, 120, 180, 365)
_WEEKLY_SHARE, _MONTHLY_SHARE, _ENOUGH_FOR_A_RHYTHM = 0.25, 0.5, 100


@dataclass(frozen=True, slots=True)
class Gaps:
    """The gaps of a log.

    Attributes
    ----------
    ended : Counter of int
        Gaps that ended, by their days.
    own : Counter of int
        The median gap of each customer who came back.
    after_any, after_first, after_later : Returns
        When customers come back after any purchase, after a first one and after a later one.
    silent : int
        Gaps still open.
    limit_days : int
        Who comes back later than this is not counted as coming back.
    """

    ended: Counter[int]
    own: Counter[int]
    after_any: Returns
    after_first: Returns
    after_later: Returns
    silent: int
    limit_days: int

    @classmethod
    def of(cls, total: Tally, complete_until: int, observation_window_days: int) -> "Gaps":
        """Gaps of a log, as of where it is complete (exclusive, microseconds).

        A purchase further back than the observation window is forgotten by the model, so who
        comes back after it comes anew.
        """
        last_day = complete_until // MICROSECONDS_PER_DAY - 1
        once, repeat = (
            Counter({max(last_day - day, 0): n for day, n in silent.items()})
            for silent in (total.silent_once, total.silent_repeat)
        )
        later = total.gaps - total.first_gaps
        everything = Survival.of(total.gaps, once + repeat)
        limit = min(everything.seen_days, observation_window_days)
        return cls(
            ended=total.gaps,
            own=total.own_gaps,
            after_any=Returns(everything, limit),
            after_first=Returns(Survival.of(total.first_gaps, once), limit),
            after_later=Returns(Survival.of(later, repeat), limit),
            silent=once.total() + repeat.total(),
            limit_days=limit,
        )

    @property
    def raw(self) -> dict[str, int]:
        """Quantiles of the gaps that ended, in days; empty if nobody came back."""
        if not self.ended:
            return {}
        return {f"p{q * 100:.0f}": quantile(self.ended, q) for q in QUANTILES}

    @property
    def rhythm(self) -> str | None:
        """``weekly`` or ``monthly`` where many more gaps are whole weeks or months than by chance.

        By chance a seventh of the gaps up to 13 weeks would be whole weeks, and a third of those
        around a month 29 to 31 days.
        """
        around = {days: n for days, n in self.ended.items() if 4 <= days <= 94}
        weekly = sum(n for days, n in around.items() if days % 7 == 0)
        if _is_evident(weekly, sum(around.values()), _WEEKLY_SHARE):
            return "weekly"
        near = sum(self.ended[days] for days in (25, 26, 27, 29, 30, 31, 33, 34, 35))
        monthly = sum(self.ended[days] for days in (29, 30, 31))
        return "monthly" if _is_evident(monthly, near, _MONTHLY_SHARE) else None

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain values for JSON."""
        total = self.ended.total()
        return {
            "ended": total,
            "silent": self.silent,
            "limit_days": self.limit_days,
            "raw": self.raw,
            "own_median": quantile(self.own, 0.5) if self.own else None,
            "after_any": self.after_any.to_dict(),
            "after_first": self.after_first.to_dict(),
            "after_later": self.after_later.to_dict(),
            "within": [
                {
                    "days": days,
                    "of_returning": self.after_any.within(days),
                    "of_everybody": self.after_any.survival.ended_within(days),
                    "of_ended": sum(n for gap, n in self.ended.items() if gap <= days) / total,
                }
                for days in WITHIN_DAYS
                if total and days <= self.limit_days
            ],
            "rhythm": self.rhythm,
        }

    def sentences(self) -> Iterator[str]:
        """What the gaps say."""
        returns = self.after_any
        if not self.ended or returns.share == 0:
            return
        raw, whole = self.raw["p85"], returns.quantile(0.85)
        alone = f" (the gaps that have ended alone would say {raw})" if raw != whole else ""
        yield (
            f"{returns.share:.0%} of purchases are followed by another within {self.limit_days} "
            f"days: half of these within {returns.quantile(0.5)} days, 85% within {whole}{alone}"
        )
        if self.rhythm:
            unit = {"weekly": "weeks", "monthly": "months"}[self.rhythm]
            yield f"the rhythm is {self.rhythm}: many more gaps are whole {unit} than by chance"

    def table(self) -> Iterator[str]:
        """When customers come back after a first and after a later purchase, for a terminal."""
        if not self.ended or self.after_any.share == 0:
            return
        yield f"days until customers buy again, of those who do within {self.limit_days} days:"
        yield "  after           do so    25%    50%    75%    85%    95% by day"
        for name, returns in (
            ("any purchase", self.after_any),
            ("a first one", self.after_first),
            ("a later one", self.after_later),
        ):
            if returns.share > 0:
                days = "".join(f"{returns.quantile(q):>7}" for q in (0.25, 0.5, 0.75, 0.85, 0.95))
                yield f"  {name:<14} {returns.share:>6.0%}{days}"


def days_in_words(n: int) -> str:
    """Return ``"1 day"``, ``"2 days"`` and so on."""
    return f"{n} day" if n == 1 else f"{n} days"


def quantile(counts: Counter[int], q: float) -> int:
    """Return the smallest value that at least a share `q` of the counted values does not exceed.

    Examples
    --------
    >>> quantile(Counter({1: 3, 10: 1}), 0.75)
    1
    """
    needed = q * counts.total()
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= needed:
            return value
    raise ValueError("no values to take a quantile of")


def _is_evident(found: int, among: int, share: float) -> bool:
    return among >= _ENOUGH_FOR_A_RHYTHM and found >= share * among
