"""What actions do, learnt from who was kept: beliefs before, outcomes, beliefs after.

Of customers with churn probability p, a share 1 - p stays by itself. An action saves a share s of
the others and drives a share h of these away::

    P(kept) = a + b (1 - p) + done * (s p - h (1 - p))

which is linear in s and h: beliefs as normal distributions with the means and variances of the
policy's, and independent outcomes, give normal beliefs after. Whoever was done nothing to teaches
a and b, so a model of churn that is somewhat off, or whose customers have changed, does not pass
for an effect.

Some customers can hardly be saved by anything: who is gone for good does not hear the offer. So in
a group of customers s is believed to be the action's own times a factor that all actions share,
which all of them together teach soon; what the action shows in that group itself moves it from
there.
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
GROUP_BASE_DEVIATION = 0.05
FACTOR_DEVIATION, LEAST_FACTOR = 0.7, 0.02
CELL_DEVIATION, LEAST_DEVIATION = 0.5, 0.005
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
    mean : ndarray, shape (2 + 2 n_actions,)
        a, b, then s of each action, then h of each.
    covariance : ndarray, square
    """

    actions: tuple[str, ...]
    mean: Floats
    covariance: Floats

    def saved(self, action: str) -> Belief:
        """The belief about s."""
        return self._belief(2 + self.actions.index(action))

    def harm(self, action: str) -> Belief:
        """The belief about h."""
        return self._belief(2 + len(self.actions) + self.actions.index(action))

    def kept(self, p: Floats, done: Integers) -> Floats:
        """Expected probability of being kept.

        Parameters
        ----------
        p : ndarray, shape (n,)
            Churn probability.
        done : ndarray of int64, shape (n,)
            Position of the action in `actions`, -1 for nothing.
        """
        return np.asarray(design(p, done, len(self.actions)) @ self.mean)

    def _belief(self, at: int) -> Belief:
        return as_belief(float(self.mean[at]), _deviation(self.covariance, at))


def design(p: Floats, done: Integers, n_actions: int) -> Floats:
    """What a, b, every s and every h are multiplied with, shape (n, 2 + 2 n_actions)."""
    X = np.zeros((len(p), 2 + 2 * n_actions))
    X[:, 0] = 1.0
    X[:, 1] = 1.0 - p
    rows = np.flatnonzero(done >= 0)
    X[rows, 2 + done[rows]] = p[rows]
    X[rows, 2 + n_actions + done[rows]] = -(1.0 - p[rows])
    return X


def learn(
    p: Floats,
    done: Integers,
    kept: Floats,
    actions: Sequence[str],
    before: Mapping[str, tuple[Belief, Belief]],
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
    """
    beliefs = [before[action][which] for which in (0, 1) for action in actions]
    mean = np.array([*BASE_MEAN, *(one.mean for one in beliefs)])
    known = [math.sqrt(max(one.variance, _TINY)) for one in beliefs]
    spread = np.array([*BASE_DEVIATION, *known])
    X = design(p, done, len(actions))
    return Effects(tuple(actions), *_posterior(X, kept, np.zeros(len(p)), mean, spread))


def learn_by_group(
    p: Floats, done: Integers, kept: Floats, whole: Effects, group: Integers, n_groups: int
) -> list[list[Belief]]:
    """Beliefs about s in groups of customers.

    Parameters
    ----------
    p, done, kept
        As in `learn`.
    whole : Effects
        What that gave for all groups together.
    group : ndarray of int64, shape (n,)
        In which of `n_groups` groups the customer is.

    Returns
    -------
    list of list of Belief
        By action and group.
    """
    n_actions = len(whole.actions)
    treated = np.flatnonzero(done >= 0)
    saved = np.array([whole.saved(action).mean for action in whole.actions])
    harm = np.array([whole.harm(action).mean for action in whole.actions])
    lost = np.zeros(len(p))
    lost[treated] = -harm[done[treated]] * (1.0 - p[treated])
    base = np.zeros((len(p), n_groups + 1))
    base[np.arange(len(p)), group] = 1.0
    base[:, n_groups] = 1.0 - p
    base_mean = [whole.mean[0]] * n_groups + [whole.mean[1]]
    base_spread = [GROUP_BASE_DEVIATION] * n_groups + [BASE_DEVIATION[1]]

    shared = np.zeros((len(p), n_groups))
    shared[treated, group[treated]] = saved[done[treated]] * p[treated]
    found, _ = _posterior(
        np.hstack([base, shared]),
        kept,
        lost,
        np.array([*base_mean, *(1.0 for _ in range(n_groups))]),
        np.array([*base_spread, *(FACTOR_DEVIATION for _ in range(n_groups))]),
    )
    factor = np.maximum(found[n_groups + 1 :], LEAST_FACTOR)

    cells = np.zeros((len(p), n_actions * n_groups))
    cells[treated, done[treated] * n_groups + group[treated]] = p[treated]
    expected = np.outer(saved, factor).ravel()
    found, covariance = _posterior(
        np.hstack([base, cells]),
        kept,
        lost,
        np.array([*base_mean, *expected]),
        np.array([*base_spread, *(CELL_DEVIATION * expected + LEAST_DEVIATION)]),
    )
    first = n_groups + 1
    return [
        [
            as_belief(float(found[at]), _deviation(covariance, at))
            for at in range(first + action * n_groups, first + (action + 1) * n_groups)
        ]
        for action in range(n_actions)
    ]


def _posterior(
    X: Floats, y: Floats, offset: Floats, mean: Floats, spread: Floats
) -> tuple[Floats, Floats]:
    """Mean and covariance of a linear model of a 0/1 outcome, normal beliefs before and after."""
    precision = np.diag(1.0 / (spread * spread))
    found, covariance = mean, np.diag(spread * spread)
    for _ in range(PASSES):
        expected = X @ found + offset
        weight = 1.0 / np.maximum(expected * (1.0 - expected), LEAST_VARIANCE)
        covariance = np.asarray(
            np.linalg.inv(precision + (X * weight[:, None]).T @ X), dtype=np.float64
        )
        found = np.asarray(covariance @ (precision @ mean + X.T @ (weight * (y - offset))))
    return found, covariance


def _deviation(covariance: Floats, at: int) -> float:
    return math.sqrt(max(float(covariance[at, at]), _TINY))


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
