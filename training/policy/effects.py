"""What actions do, learnt from who was kept: beliefs before, outcomes, beliefs after.

Of customers with churn probability p, a share 1 - p stays by itself. An action saves a share s of
the others and drives a share h of these away::

    P(kept) = a + b (1 - p) + done * (s p - h (1 - p))

which is linear in s and h: beliefs as normal distributions with the means and variances of the
policy's, and independent outcomes, give normal beliefs after. Whoever was done nothing to teaches
a and b, so a model of churn that is somewhat off, or whose customers have changed, does not pass
for an effect. Customers of one situation may answer unlike others: there s is the action's and a
deviation, of which is believed that it is none, give or take `DEVIATES` of s.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from churn.policy.economics import Belief

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BASE_MEAN, BASE_DEVIATION = (0.0, 1.0), (0.1, 0.3)
DEVIATES, LEAST_DEVIATION = 0.7, 0.02
LEAST_VARIANCE = 0.01
PASSES = 3  # the outcomes' variance depends on what is sought; it settles at once
LARGEST_WEIGHT = 1e7
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Effects:
    """Beliefs about s and h of several actions, and what happens without any.

    Attributes
    ----------
    actions : tuple of str
    n_groups : int
        In how many situations, or other groups, s may differ; 0: it is the same everywhere.
    mean : ndarray, shape (n_parameters,)
        a, b, s of each action, h of each, then the deviations of s, by action and group.
    covariance : ndarray, square
    """

    actions: tuple[str, ...]
    n_groups: int
    mean: Floats
    covariance: Floats

    def saved(self, action: str, group: int | None = None) -> Belief:
        """The belief about s, of everybody or in one group."""
        at = 2 + self.actions.index(action)
        if group is None:
            return self._belief(at)
        start = 2 + 2 * len(self.actions)
        return self._belief(at, start + self.actions.index(action) * self.n_groups + group)

    def harm(self, action: str) -> Belief:
        """The belief about h."""
        return self._belief(2 + len(self.actions) + self.actions.index(action))

    def kept(self, p: Floats, done: Integers, group: Integers | None = None) -> Floats:
        """Expected probability of being kept.

        Parameters
        ----------
        p : ndarray, shape (n,)
            Churn probability.
        done : ndarray of int64, shape (n,)
            Position of the action in `actions`, -1 for nothing.
        group : ndarray of int64, shape (n,), optional
            As in `learn`.
        """
        X = design(p, done, len(self.actions), group, self.n_groups)
        return np.asarray(X @ self.mean)

    def _belief(self, *at: int) -> Belief:
        """About the sum of some parameters."""
        mean = float(self.mean[list(at)].sum())
        variance = float(self.covariance[np.ix_(at, at)].sum())
        return as_belief(mean, math.sqrt(max(variance, _TINY)))


def design(
    p: Floats, done: Integers, n_actions: int, group: Integers | None = None, n_groups: int = 0
) -> Floats:
    """What each parameter of `Effects` is multiplied with, shape (n, n_parameters)."""
    X = np.zeros((len(p), 2 + (2 + n_groups) * n_actions))
    X[:, 0] = 1.0
    X[:, 1] = 1.0 - p
    rows = np.flatnonzero(done >= 0)
    X[rows, 2 + done[rows]] = p[rows]
    X[rows, 2 + n_actions + done[rows]] = -(1.0 - p[rows])
    if group is not None and n_groups:
        X[rows, 2 + 2 * n_actions + done[rows] * n_groups + group[rows]] = p[rows]
    return X


def learn(
    p: Floats,
    done: Integers,
    kept: Floats,
    actions: Sequence[str],
    before: Mapping[str, tuple[Belief, Belief]],
    group: Integers | None = None,
    n_groups: int = 0,
) -> Effects:
    """Beliefs about s and h after seeing who was kept.

    Parameters
    ----------
    p : ndarray, shape (n,)
        Churn probability when it was decided.
    done : ndarray of int64, shape (n,)
        Position in `actions`, -1 where nothing was done.
    kept : ndarray, shape (n,)
        1 or 0.
    actions : sequence of str
    before : mapping of str to (Belief, Belief)
        s and h of each action until now.
    group : ndarray of int64, shape (n,), optional
        In which of `n_groups` groups the customer is.
    """
    saved = [before[action][0] for action in actions]
    harm = [before[action][1] for action in actions]
    away = [max(DEVIATES * one.mean, LEAST_DEVIATION) for one in saved for _ in range(n_groups)]
    mean = np.array([*BASE_MEAN, *(one.mean for one in (*saved, *harm)), *(0.0 for _ in away)])
    known = [math.sqrt(max(one.variance, _TINY)) for one in (*saved, *harm)]
    spread = np.array([*BASE_DEVIATION, *known, *away])
    X = design(p, done, len(actions), group, n_groups)
    precision = np.diag(1.0 / (spread * spread))
    found, covariance = mean, np.diag(spread * spread)
    for _ in range(PASSES):
        expected = X @ found
        weight = 1.0 / np.maximum(expected * (1.0 - expected), LEAST_VARIANCE)
        covariance = np.linalg.inv(precision + (X * weight[:, None]).T @ X)
        found = covariance @ (precision @ mean + X.T @ (weight * kept))
    return Effects(tuple(actions), n_groups, found, covariance)


def as_belief(mean: float, deviation: float) -> Belief:
    """A share in [0, 1] of which a normal distribution is known: Beta by the first two moments.

    What lies below 0 or above 1 is cut off first.
    """
    low, high = -mean / deviation, (1.0 - mean) / deviation
    inside = float(norm.cdf(high) - norm.cdf(low))
    if inside < 1e-6:
        mean = min(max(mean, 0.0), 1.0)
        return Belief(mean, min(1.0 / (deviation * deviation), LARGEST_WEIGHT))
    left, right = float(norm.pdf(low)), float(norm.pdf(high))
    shift = (left - right) / inside
    cut = min(max(mean + deviation * shift, 0.0), 1.0)
    narrowed = 1.0 + (low * left - high * right) / inside - shift * shift
    weight = cut * (1.0 - cut) / max(deviation * deviation * narrowed, 1e-15) - 1.0
    return Belief(cut, min(max(weight, 1.0), LARGEST_WEIGHT))


def share(before: Belief, yes: float, no: float) -> Belief:
    """A share after so many who did and did not."""
    weight = before.weight + yes + no
    return Belief((before.alpha + yes) / weight, weight) if weight > 0.0 else before
