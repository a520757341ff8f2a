"""What an action is expected to bring, and how sure that is.

Of customers like this one, a share p would leave. An action saves a share s of these, and drives a
share h of the others away. Each contact costs k; the incentive g is paid to whoever is saved and
to the share q of stayers who take it too. With V the margin that hangs on keeping the customer::

    EV = p s V - k - g ((1 - p) q + p s) - (1 - p) h V
       = s p (V - g) - q (1 - p) g - h (1 - p) V - k

Shares are beliefs, Beta distributions, independent of each other. EV is linear in them, so its
mean takes their means; its lower bound is the quantile of the gamma distribution (Pearson's third
kind) that has its first three cumulants.

Everything is told twice: for columns of customers, and for one of them in plain numbers, which
takes a fortieth of the time of arrays of one. Both give the same bits, which the tests see to.

References
----------
Wilson & Hilferty (1931), "The distribution of chi-square", for the quantile. Ascarza, Iyengar &
Schleicher (2016), "The perils of proactive churn prevention", for h.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from churn.compiled import Floats

LOWER_QUANTILE = 0.10
_Z = -1.2815515655446004  # of a normal distribution at LOWER_QUANTILE
_MOST_SKEWED, _NOT_SKEWED = 3.0, 1e-6


class Belief(NamedTuple):
    """A share as a Beta distribution: its mean, and how many customers it is worth.

    A `weight` of 0 is no belief at all where the mean is 0: the share is 0 for certain.
    """

    mean: float
    weight: float

    @property
    def alpha(self) -> float:
        """First parameter of the distribution."""
        return self.mean * self.weight

    @property
    def beta(self) -> float:
        """Second parameter of it."""
        return (1.0 - self.mean) * self.weight

    @property
    def variance(self) -> float:
        """Second cumulant."""
        return self.mean * (1.0 - self.mean) / (self.weight + 1.0)

    @property
    def third_cumulant(self) -> float:
        """Third central moment."""
        spread = 2.0 * self.mean * (1.0 - self.mean) * (1.0 - 2.0 * self.mean)
        return spread / ((self.weight + 1.0) * (self.weight + 2.0))


NOTHING = Belief(0.0, 0.0)


class Economics(NamedTuple):
    """One action's costs in currency, and the beliefs about its effects.

    Attributes
    ----------
    contact_cost, incentive_cost : float
        k and g, at least 0; an incentive paid to everyone, whether saved or not, is contact cost.
    saved, redeemed, harm : Belief
        s, q and h.
    """

    contact_cost: float
    incentive_cost: float
    saved: Belief
    redeemed: Belief = NOTHING
    harm: Belief = NOTHING

    def expected_cost(self, p: ArrayLike) -> Floats:
        """What the action is expected to cost a customer, in currency, shape of `p`."""
        p = np.asarray(p, dtype=np.float64)
        paid = (1.0 - p) * self.redeemed.mean + p * self.saved.mean
        return np.asarray(self.contact_cost + self.incentive_cost * paid)

    def expected_value(self, p: ArrayLike, value: ArrayLike) -> Floats:
        """EV in currency, its cost taken off.

        Parameters
        ----------
        p : array_like of float
            Churn probability, in [0, 1].
        value : array_like of float
            V, in currency.
        """
        s, q, h = self._weights(p, value)
        mean = s * self.saved.mean + q * self.redeemed.mean + h * self.harm.mean
        return np.asarray(mean - self.contact_cost)

    def lower_bound(self, p: ArrayLike, value: ArrayLike) -> Floats:
        """What EV exceeds with a probability of 90%, as far as the beliefs go."""
        variance, third = np.zeros(()), np.zeros(())
        beliefs = (self.saved, self.redeemed, self.harm)
        for weight, belief in zip(self._weights(p, value), beliefs, strict=True):
            variance = variance + weight * weight * belief.variance
            third = third + weight * weight * weight * belief.third_cumulant
        deviation = np.sqrt(variance)
        with np.errstate(divide="ignore", invalid="ignore"):
            skewness = np.nan_to_num(third / (deviation * variance))
            skewness = np.clip(skewness, -_MOST_SKEWED, _MOST_SKEWED)
            root = 1.0 + skewness * _Z / 6.0 - skewness * skewness / 36.0
            z = 2.0 / skewness * (root * root * root - 1.0)
        z = np.where(np.abs(skewness) < _NOT_SKEWED, _Z, z)
        return np.asarray(self.expected_value(p, value) + z * deviation)

    def for_one(self) -> Callable[[float, float], tuple[float, float, float]]:
        """Make what tells EV, its lower bound and the cost of one customer, given p and V."""
        k, g = self.contact_cost, self.incentive_cost
        s_mean, q_mean, h_mean = self.saved.mean, self.redeemed.mean, self.harm.mean
        s_var, q_var, h_var = self.saved.variance, self.redeemed.variance, self.harm.variance
        s_third, q_third = self.saved.third_cumulant, self.redeemed.third_cumulant
        h_third = self.harm.third_cumulant
        sqrt = math.sqrt

        def weighed(p: float, value: float) -> tuple[float, float, float]:
            stays = 1.0 - p
            s, q, h = p * (value - g), -stays * g, -stays * value
            expected = s * s_mean + q * q_mean + h * h_mean - k
            variance = s * s * s_var + q * q * q_var + h * h * h_var
            third = s * s * s * s_third + q * q * q * q_third + h * h * h * h_third
            deviation = sqrt(variance)
            spread = deviation * variance
            skewness = 0.0
            if spread > 0.0:
                skewness = min(max(third / spread, -_MOST_SKEWED), _MOST_SKEWED)
            elif third != 0.0:
                skewness = math.copysign(_MOST_SKEWED, third)
            z = _Z
            if not -_NOT_SKEWED < skewness < _NOT_SKEWED:
                root = 1.0 + skewness * _Z / 6.0 - skewness * skewness / 36.0
                z = 2.0 / skewness * (root * root * root - 1.0)
            cost = k + g * (stays * q_mean + p * s_mean)
            return expected, expected + z * deviation, cost

        return weighed

    def break_even(self, p: float) -> float:
        """The V from which EV is above 0; infinite where no V is enough."""
        gain = p * self.saved.mean - (1.0 - p) * self.harm.mean
        return float(self.expected_cost(p)) / gain if gain > 0.0 else math.inf

    def _weights(self, p: ArrayLike, value: ArrayLike) -> tuple[Any, Any, Any]:
        """What s, q and h are multiplied with."""
        p, value = np.asarray(p, dtype=np.float64), np.asarray(value, dtype=np.float64)
        g = self.incentive_cost
        return p * (value - g), -(1.0 - p) * g, -(1.0 - p) * value
