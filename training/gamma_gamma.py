"""Gamma-Gamma: the classic model of what customers spend, beside BG/NBD of when they buy.

Each customer's cheques are gamma distributed around a mean of their own, which is as if drawn from
a population of such means (inverse gamma, nearly). So one cheque says less of the next than many.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaln

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GammaGamma:
    """Fitted parameters: cheques ~ gamma(p, v), v ~ gamma(q, gamma); `gamma` is in money.

    References
    ----------
    Fader & Hardie (2013), The Gamma-Gamma Model of Monetary Value, brucehardie.com/notes/025.
    """

    p: float
    q: float
    gamma: float

    def log_likelihood(self, x: Floats, mean: Floats) -> Floats:
        """Log likelihood of each customer's mean cheque, shape (n,), both above 0."""
        p, q, gamma = self.p, self.q, self.gamma
        return np.asarray(
            gammaln(p * x + q)
            - gammaln(p * x)
            - gammaln(q)
            + q * np.log(gamma)
            + (p * x - 1) * np.log(mean)
            + p * x * np.log(x)
            - (p * x + q) * np.log(gamma + x * mean)
        )

    def expected_cheque(self, x: Floats, mean: Floats) -> Floats:
        """Expected cheque of customers with `x` cheques of this mean so far, shape (n,)."""
        return np.asarray(self.p * (self.gamma + x * mean) / (self.p * x + self.q - 1))


def fit(x: Floats, mean: Floats) -> GammaGamma:
    """Maximum likelihood parameters.

    Parameters
    ----------
    x, mean : ndarray, shape (n,)
        Number of cheques, and their mean in money; above 0.

    Notes
    -----
    The logarithms of the parameters are searched, with money scaled to a mean of one; `q` stays
    above 1, or no cheque would have an expectation.
    """
    scale = float(np.mean(mean))
    pairs, counts = np.unique(np.stack([x, mean / scale]), axis=1, return_counts=True)

    def model(log_parameters: Floats) -> GammaGamma:
        p, above, gamma = np.exp(log_parameters).tolist()
        return GammaGamma(p, 1.0 + above, gamma)

    def loss(log_parameters: Floats) -> float:
        return float(-(model(log_parameters).log_likelihood(*pairs) @ counts) / counts.sum())

    found = minimize(loss, np.array([1.0, 1.0, 0.0]), method="L-BFGS-B", bounds=[(-6.0, 6.0)] * 3)
    best = model(found.x)
    return GammaGamma(best.p, best.q, best.gamma * scale)
