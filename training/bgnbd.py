"""BG/NBD: the classic "buy till you die" model, as an honest rival to beat.

Each customer buys at a constant Poisson rate (gamma over customers) and leaves for good after any
purchase with a constant probability (beta over customers). It learns from purchase times alone
and needs no churn label. Written here because no maintained package holds it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, gammaln, hyp2f1

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BgNbd:
    """Fitted parameters: rate ~ gamma(r, alpha), drop-out probability ~ beta(a, b).

    `alpha` is in the unit of time of the data, the rest has no unit.

    References
    ----------
    Fader, Hardie & Lee (2005), "Counting Your Customers" the Easy Way: An Alternative to the
    Pareto/NBD Model, Marketing Science 24(2).
    """

    r: float
    alpha: float
    a: float
    b: float

    def log_likelihood(self, x: Floats, t_x: Floats, age: Floats) -> Floats:
        """Log likelihood of each customer's history, shape (n,)."""
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        common = (
            gammaln(r + x)
            - gammaln(r)
            + r * np.log(alpha)
            + gammaln(a + b)
            + gammaln(b + x)
            - gammaln(b)
            - gammaln(a + b + x)
        )
        alive = -(r + x) * np.log(alpha + age)
        return np.asarray(common + alive + np.logaddexp(0.0, self._log_odds_left(x, t_x, age)))

    def probability_alive(self, x: Floats, t_x: Floats, age: Floats) -> Floats:
        """Probability that a customer has not left yet, shape (n,); 1 without a repeat purchase.

        Parameters
        ----------
        x : ndarray, shape (n,)
            Repeat purchase days: days with a purchase, the first one not counted.
        t_x, age : ndarray, shape (n,)
            Time from the first purchase to the last one, and to now.
        """
        return np.asarray(expit(-self._log_odds_left(x, t_x, age)))

    def probability_of_no_purchase(
        self, x: Floats, t_x: Floats, age: Floats, horizon: float
    ) -> Floats:
        """Probability of no purchase within `horizon` from now, shape (n,).

        Given alive, the rate is gamma(r + x, alpha + age), and leaving can only follow a purchase:
        an empty horizon means gone already, or alive with the first waiting time beyond it.
        """
        wait = ((self.alpha + age) / (self.alpha + age + horizon)) ** (self.r + x)
        return np.asarray(1 - self.probability_alive(x, t_x, age) * (1 - wait))

    def expected_purchases(self, x: Floats, t_x: Floats, age: Floats, horizon: float) -> Floats:
        """Expected purchase days within `horizon` from now, shape (n,).

        Parameters
        ----------
        x, t_x, age : ndarray, shape (n,)
            As in `probability_alive`.
        horizon : float
            In the same unit of time.

        References
        ----------
        Fader, Hardie & Lee (2005), equation 10.
        """
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        still = (alpha + age) / (alpha + age + horizon)
        series = hyp2f1(r + x, b + x, a + b + x - 1, 1.0 - still)
        if_alive = (a + b + x - 1) / (a - 1) * (1 - still ** (r + x) * series)
        # Nobody buys more than at the rate of the time before without ever leaving, which is also
        # what is left where so many purchases overflow the series.
        most = (r + x) / (alpha + age) * horizon
        if_alive = np.where(np.isfinite(if_alive), np.clip(if_alive, 0.0, most), most)
        return np.asarray(self.probability_alive(x, t_x, age) * if_alive)

    def _log_odds_left(self, x: Floats, t_x: Floats, age: Floats) -> Floats:
        log_odds = (
            np.log(self.a)
            - np.log(self.b + np.maximum(x, 1) - 1)
            + (self.r + x) * (np.log(self.alpha + age) - np.log(self.alpha + t_x))
        )
        return np.where(x > 0, log_odds, -np.inf)


def fit(x: Floats, t_x: Floats, age: Floats) -> BgNbd:
    """Maximum likelihood parameters.

    Parameters
    ----------
    x, t_x, age : ndarray, shape (n,)
        As in `BgNbd.probability_alive`, in any unit of time.

    Notes
    -----
    The logarithms of the parameters are searched, with time scaled to a mean age of one. They are
    bounded, since a log without repeat purchases leaves some parameters undetermined.
    """
    scale = max(float(np.mean(age)), np.finfo(np.float64).tiny)
    histories, counts = np.unique(
        np.stack([x, t_x / scale, age / scale]), axis=1, return_counts=True
    )

    def loss(log_parameters: Floats) -> float:
        model = BgNbd(*np.exp(log_parameters).tolist())
        return float(-(model.log_likelihood(*histories) @ counts) / counts.sum())

    found = minimize(loss, np.zeros(4), method="L-BFGS-B", bounds=[(-9.0, 9.0)] * 4)
    r, alpha, a, b = np.exp(found.x).tolist()
    return BgNbd(r, alpha * scale, a, b)
