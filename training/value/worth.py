"""What is at stake with the customers of a test, and by which parts of them it is told."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from churn.compiled import Booleans, Floats
from churn.loss import CATEGORIES
from churn.model import Model
from churn.value import SEGMENTS
from training.empc import Campaign, CampaignProfit, Economics, expected_maximum_profit
from training.value.check import ValueCheck

WORDS = {
    "one_time": "one-time buyers",
    "periodic_switched": "periodic buyers gone elsewhere",
    "high_cheque_stopped": "high cheques stopped",
    "active_shift": "active customers who changed",
    "other": "other customers",
}


@dataclass(frozen=True, slots=True)
class Part:
    """Customers of one segment or loss category."""

    name: str
    rows: Booleans


@dataclass(frozen=True, slots=True)
class Worth:
    """Value and loss category of each test row, by the model that was judged.

    Attributes
    ----------
    value : ndarray of float64, shape (n,)
        V in currency; NaN where it is not known.
    segment, loss : ndarray of int8, shape (n,)
        Positions in `SEGMENTS` and `CATEGORIES`, -1 where there is none.
    limits : tuple of float
        The least V of segments A and B.
    days, window_days, horizon_days : int
        Over which V is counted, over which orders were, and the horizon.
    margin_rate : float
        Share of an amount that is margin.
    check : ValueCheck or None
        The same procedure on an earlier date.
    """

    value: Floats
    segment: NDArray[np.int8]
    loss: NDArray[np.int8]
    limits: tuple[float, float]
    days: int
    window_days: int
    horizon_days: int
    margin_rate: float
    check: ValueCheck | None

    @property
    def segments(self) -> list[Part]:
        """The value segments that somebody is in."""
        names = (f"segment {name}" for name in SEGMENTS)
        return list(_parts(names, self.segment))

    @property
    def losses(self) -> list[Part]:
        """The loss categories that somebody is in."""
        return list(_parts((WORDS[name] for name in CATEGORIES), self.loss))

    def economics(self, part: Part, e: Economics) -> Campaign:
        """A campaign among these customers: one who is kept is worth their mean V."""
        value = self.value[part.rows]
        known = value[~np.isnan(value)]
        return Campaign(
            float(known.mean()) if len(known) else e.retained_value,
            e.incentive_cost,
            e.contact_cost,
            e.acceptance_alpha,
            e.acceptance_beta,
        )


def worth_of(
    model: Model, X: Floats, *, window_days: int, horizon_days: int, check: ValueCheck | None
) -> Worth | None:
    """Value the rows of a test, shape (n, n_inputs); None where the model cannot."""
    if model.value is None or model.loss is None:
        return None
    value, segment = model.value.value(X)
    a, b = model.value.limits.tolist()
    return Worth(
        value,
        segment,
        model.loss.categories(X),
        (a, b),
        model.value.days,
        window_days,
        horizon_days,
        model.value.margin_rate,
        check,
    )


def best_campaign(is_churn: Booleans, probability: Floats, e: Economics) -> CampaignProfit:
    """EMPC; no campaign where whoever is kept is worth less than what is given them."""
    if e.retained_value <= e.incentive_cost:
        return CampaignProfit(0.0, 0.0)
    return expected_maximum_profit(is_churn, probability, e)


def _parts(names: Iterator[str], codes: NDArray[np.int8]) -> Iterator[Part]:
    for at, name in enumerate(names):
        rows = codes == at
        if rows.any():
            yield Part(name, rows)
