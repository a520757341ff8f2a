"""What a model is worth to a retention campaign: the expected maximum profit measure (EMPC).

A campaign contacts the riskiest customers. Contact costs something, a churner accepts the offer
with probability gamma and is kept, every stayer who is contacted takes it too. Where to stop is
chosen for the best profit; as nobody knows gamma, the best profit is averaged over its beta
distribution. The integral is exact: between two neighbouring corners of the ROC curve's convex
hull the best cut-off is one and the same.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc

from training.metrics import checked, cumulative

Floats = NDArray[np.float64]


class Economics(Protocol):
    """What a campaign costs and brings, per customer; `[business]` of keepwell.toml has it."""

    @property
    def retained_value(self) -> float:
        """Worth of a churner who is kept."""

    @property
    def incentive_cost(self) -> float:
        """Cost of the offer, once accepted."""

    @property
    def contact_cost(self) -> float:
        """Cost of reaching one customer."""

    @property
    def acceptance_alpha(self) -> float:
        """First parameter of the beta distribution of a churner's acceptance."""

    @property
    def acceptance_beta(self) -> float:
        """Second parameter of it."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """The economics of the paper that proposed the measure."""

    retained_value: float = 200.0
    incentive_cost: float = 10.0
    contact_cost: float = 1.0
    acceptance_alpha: float = 6.0
    acceptance_beta: float = 14.0


@dataclass(frozen=True, slots=True)
class CampaignProfit:
    """The profit of the best campaign with a model.

    Attributes
    ----------
    per_customer : float
        Profit over all customers, contacted or not, in the currency of the economics; >= 0.
    contacted_share : float
        Share of customers that the best campaign contacts, riskiest first, in [0, 1].
    """

    per_customer: float
    contacted_share: float


def expected_maximum_profit(
    is_churn: ArrayLike, probability: ArrayLike, economics: Economics | None = None
) -> CampaignProfit:
    """EMPC: the best campaign's profit, averaged over how readily churners accept an offer.

    Parameters
    ----------
    is_churn : array_like of bool or 0/1, shape (n,)
    probability : array_like of float, shape (n,)
        Churn probability; only the order counts.
    economics : Economics, optional
        The paper's by default: 200 for a churner kept, 10 an offer, 1 a contact, Beta(6, 14).

    References
    ----------
    Verbraken, Verbeke & Baesens (2013), "A novel profit maximizing metric for measuring
    classification performance of customer churn prediction models", IEEE TKDE 25(5), eq. 11-12.

    Examples
    --------
    >>> perfect = expected_maximum_profit([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    >>> round(perfect.per_customer, 6), round(perfect.contacted_share, 6)
    (28.0, 0.5)
    """
    e = economics or Campaign()
    kept, wasted, churners, stayers = _corners(is_churn, probability, e)
    a, b = e.acceptance_alpha, e.acceptance_beta
    # The corner k is the best one for gamma between turns[k] and turns[k + 1].
    turns = np.concatenate(([0.0], _turns(kept, wasted), [1.0]))
    share = np.diff(betainc(a, b, turns))
    mean = a / (a + b) * np.diff(betainc(a + 1.0, b, turns))
    return CampaignProfit(float(kept @ mean - wasted @ share), float((churners + stayers) @ share))


def maximum_profit(
    is_churn: ArrayLike,
    probability: ArrayLike,
    acceptance: float,
    economics: Economics | None = None,
) -> CampaignProfit:
    """MPC: the best campaign's profit where a churner accepts with a known probability.

    Parameters
    ----------
    is_churn, probability, economics
        As `expected_maximum_profit`; the beta distribution is not looked at.
    acceptance : float
        Probability that a churner accepts the offer, in [0, 1].
    """
    kept, wasted, churners, stayers = _corners(is_churn, probability, economics or Campaign())
    profit = acceptance * kept - wasted
    best = int(np.argmax(profit))
    return CampaignProfit(float(profit[best]), float(churners[best] + stayers[best]))


def _corners(
    is_churn: ArrayLike, probability: ArrayLike, e: Economics
) -> tuple[Floats, Floats, Floats, Floats]:
    """The cut-offs that are best for some gamma, fewest contacts first.

    Returns
    -------
    kept, wasted : ndarray
        Profit per customer is ``gamma * kept - wasted``.
    churners, stayers : ndarray
        Share of all customers that are contacted, of each kind.
    """
    y, p = checked(is_churn, probability)
    least_risky, left, _ = cumulative(y, p)
    # From the riskiest down: what is not among the k least risky is contacted.
    churners = (left[-1] - left)[::-1] / len(y)
    stayers = (len(y) - least_risky)[::-1] / len(y) - churners
    corners = _hull(stayers, churners)
    churners, stayers = churners[corners], stayers[corners]
    kept = (e.retained_value - e.incentive_cost) * churners
    wasted = e.contact_cost * churners + (e.incentive_cost + e.contact_cost) * stayers
    return kept, wasted, churners, stayers


def _turns(kept: Floats, wasted: Floats) -> Floats:
    """The gamma at which each next corner becomes as good as the one before; within [0, 1]."""
    gain, cost = np.diff(kept), np.diff(wasted)
    turns = np.ones(len(gain))  # a step that keeps nobody pays for no gamma
    np.divide(cost, gain, out=turns, where=gain > 0)
    return np.minimum(turns, 1.0)


def _hull(x: Floats, y: Floats) -> NDArray[np.int64]:
    """Indices of the upper convex hull of points that rise in both coordinates."""
    hull: list[int] = []
    for i in range(len(x)):
        while len(hull) > 1:
            a, b = hull[-2], hull[-1]
            if (x[b] - x[a]) * (y[i] - y[a]) < (y[b] - y[a]) * (x[i] - x[a]):
                break
            hull.pop()
        hull.append(i)
    return np.array(hull, dtype=np.int64)
