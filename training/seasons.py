"""How the churn rate moves with the date: the seasons and the drift a model will meet."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

import numpy as np

from churn.events import MICROSECONDS_PER_DAY
from training.calendar import date_of
from training.config import Problem
from training.ingest import Ingested
from training.progress import Progress
from training.snapshots import count_outcomes

MOST_DATES = 24
LEAST_RANGE = 0.03
"""Less than three points between the highest and the lowest rate is steady."""
TREND_SHARE = 0.6
"""Of the range that a straight line must explain to be called a trend."""


@dataclass(frozen=True, slots=True)
class Seasons:
    """Churn rates of one problem at many dates.

    Attributes
    ----------
    problem : Problem
        Whose labels were counted.
    counts : dict of int to (int, int)
        Eligible customers and churners, by date (microseconds since 1970-01-01 UTC), ascending.
    zone : tzinfo
        In which dates are named.
    """

    problem: Problem
    counts: dict[int, tuple[int, int]]
    zone: tzinfo

    @property
    def rates(self) -> dict[int, float]:
        """Churn rate by date, of dates with any customer."""
        return {as_of: churned / n for as_of, (n, churned) in self.counts.items() if n}

    @property
    def trend_per_month(self) -> float | None:
        """Change of the churn rate in 30 days, where most of its movement is a straight line."""
        rates = self.rates
        if len(rates) < 3 or not self._moves:
            return None
        months = np.array(list(rates)) / (30 * MICROSECONDS_PER_DAY)
        values = np.array(list(rates.values()))
        slope = float(np.polyfit(months - months.mean(), values, 1)[0])
        explained = abs(slope) * float(months[-1] - months[0])
        return slope if explained >= TREND_SHARE * float(np.ptp(values)) else None

    @property
    def _moves(self) -> bool:
        rates = list(self.rates.values())
        fewest = min(n for n, _ in self.counts.values() if n)
        mean = float(np.mean(rates))
        noise = 4 * math.sqrt(mean * (1 - mean) / fewest)
        return max(rates) - min(rates) > max(LEAST_RANGE, noise)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain values for JSON."""
        return {
            "horizon_days": self.problem.horizon_days,
            "trend_per_month": self.trend_per_month,
            "by_date": [
                {
                    "as_of": str(date_of(as_of, self.zone)),
                    "customers": n,
                    "churn_rate": churned / n if n else None,
                }
                for as_of, (n, churned) in self.counts.items()
            ],
        }

    def lines(self) -> Iterator[str]:
        """What the rates say, in a sentence."""
        rates = self.rates
        if len(rates) < 3:
            return
        low, high = min(rates, key=lambda d: rates[d]), max(rates, key=lambda d: rates[d])
        said = (
            f"churn rate at {self.problem.horizon_days} days, on {len(rates)} dates: from "
            f"{rates[low]:.1%} ({date_of(low, self.zone)}) to {rates[high]:.1%} "
            f"({date_of(high, self.zone)})"
        )
        trend = self.trend_per_month
        if not self._moves:
            yield f"{said}: steady"
        elif trend is None:
            yield f"{said}: it moves with the season or by events; judge the model on several dates"
        else:
            way, off = ("rises", "low") if trend > 0 else ("falls", "high")
            yield (
                f"{said}: it {way} by {100 * abs(trend):.1f} points a month; as long as it does, "
                f"probabilities learnt from earlier dates are too {off}"
            )


def seasons(sample: Ingested, problem: Problem, zone: tzinfo, progress: Progress) -> Seasons:
    """Churn rates at up to `MOST_DATES` dates whose outcomes the log holds.

    Parameters
    ----------
    sample : Ingested
        The log, or a part of its customers.
    problem : Problem
        Whose labels are counted.
    zone : tzinfo
        In which dates are named.
    progress : Progress
        Told of each bucket.
    """
    day = MICROSECONDS_PER_DAY
    latest = sample.complete_until - (problem.lead_time_days + problem.horizon_days) * day
    earliest = sample.first_event + problem.horizon_days * day
    range_days = (latest - earliest) // day
    step = max(7, -(-range_days // (MOST_DATES - 1))) * day
    dates = list(range(latest, earliest - 1, -step))[::-1]
    counts = count_outcomes(sample, dates, problem, progress=progress)[0] if dates else {}
    return Seasons(problem, counts, zone)
