"""How well a ranking finds those whom an action changes: Qini, with its interval.

Going down a ranking, Q is the number kept among the treated, less the number kept among the others
scaled to as many: what acting on those so far has gained. The coefficient is the area between that
curve and the straight line of a random ranking, per customer. Without an interval it says nothing:
it rests on the difference of differences.

References
----------
Radcliffe (2007), "Using control groups to target on predicted lift".
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.intervals import Interval

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
REPEATS = 400


@dataclass(frozen=True, slots=True)
class Ranked:
    """Rows sorted by a ranking once, so that each resample is one pass."""

    treated: Floats
    others: Floats
    gained: Floats
    lost: Floats
    cluster: NDArray[np.int64]
    ends_tie: Booleans

    @classmethod
    def by(
        cls,
        score: Floats,
        treated: Booleans,
        outcome: Floats,
        cluster: NDArray[np.int64],
    ) -> "Ranked":
        """Sort by `score`, the greatest first; equal scores are one step of the curve."""
        order = np.argsort(-score, kind="stable")
        t = treated[order].astype(np.float64)
        y = outcome[order]
        ends = np.append(np.diff(score[order]) != 0.0, True)
        return cls(t, 1.0 - t, t * y, (1.0 - t) * y, cluster[order], ends)

    def curve(self, drawn: Floats | None = None) -> tuple[Floats, Floats]:
        """Share of customers so far, and the gain so far per customer of all.

        Parameters
        ----------
        drawn : ndarray, shape (n_clusters,), optional
            How often each customer counts; once by default.
        """
        weight = np.ones(len(self.treated)) if drawn is None else drawn[self.cluster]

        def so_far(column: Floats) -> Floats:
            return np.asarray(np.cumsum(column * weight)[self.ends_tie])

        treated, others = so_far(self.treated), so_far(self.others)
        gained, lost = so_far(self.gained), so_far(self.lost)
        scaled = np.divide(lost * treated, others, out=np.zeros_like(lost), where=others > 0.0)
        total = max(float(treated[-1]), 1.0)
        n = treated + others
        x = np.concatenate([[0.0], n / n[-1]])
        return x, np.concatenate([[0.0], (gained - scaled) / total])

    def coefficient(self, drawn: Floats | None = None) -> float:
        """Area between the curve and the straight line to its end."""
        x, gain = self.curve(drawn)
        return float(np.trapezoid(gain, x) - 0.5 * gain[-1])


def qini(
    score: Floats,
    treated: Booleans,
    outcome: Floats,
    cluster: NDArray[np.int64],
    *,
    seed: int,
    against: Floats | None = None,
    repeats: int = REPEATS,
) -> Interval:
    """Qini coefficient of a ranking, or how much it is above another one's, with 95% interval.

    Parameters
    ----------
    score : ndarray, shape (n,)
        Expected uplift: the greatest first. It must not have been fitted on these customers.
    treated : ndarray of bool, shape (n,)
        Drawn at random.
    outcome : ndarray, shape (n,)
        1 if kept.
    cluster : ndarray of int64, shape (n,)
        Whose row it is, numbered from 0; customers are drawn with all of their rows.
    seed : int
    against : ndarray, shape (n,), optional
        Another ranking, of which the same resamples are taken.
    repeats : int
        Resamples.

    Returns
    -------
    Interval
        Share of 1 per customer: .01 is one more kept of a hundred, on average over all depths.

    Examples
    --------
    >>> half = np.repeat([1.0, 0.0], 4)
    >>> treated = np.tile([True, False], 4)
    >>> found = qini(half, treated, treated * half, np.arange(8), seed=1, repeats=50)
    >>> found.value
    0.125
    """
    ranked = Ranked.by(score, treated, outcome, cluster)
    other = None if against is None else Ranked.by(against, treated, outcome, cluster)
    rng = np.random.default_rng(seed)
    n = int(cluster.max()) + 1

    def figure(drawn: Floats | None) -> float:
        return ranked.coefficient(drawn) - (0.0 if other is None else other.coefficient(drawn))

    resampled = [
        figure(np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float64))
        for _ in range(repeats)
    ]
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Interval(figure(None), float(low), float(high))
