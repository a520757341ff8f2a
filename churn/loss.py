"""What kind of loss a customer's leaving would be: published rules on features.

The first rule that holds decides:

``one_time``
    Bought on one day only.
``high_cheque_stopped``
    Their average cheque is among the population's highest, and they are late.
``active_shift``
    They order as often as the most active do, and now half as often as they used to, or visit so.
``periodic_switched``
    Bought on three days or more, so that there is a rhythm, and they are late.
``other``
    None of these: a customer who keeps their rhythm, or of whom too little is known.

Late is a silence that is long against their own average gap. What counts as high, active and long
is fitted in training on the eligible customers.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from churn.compiled import Codes, Floats, compiled
from churn.errors import BundleCorrupt
from churn.features import POSITION

CATEGORIES = ("one_time", "periodic_switched", "high_cheque_stopped", "active_shift", "other")
RHYTHM_DAYS = 3.0
"""Purchase days from which there is a rhythm."""
HALVED = 0.5

ONE_TIME, PERIODIC_SWITCHED, HIGH_CHEQUE_STOPPED, ACTIVE_SHIFT, OTHER = range(len(CATEGORIES))
_IS_ONE_TIME = POSITION["is_one_time_buyer"]
_LATENESS = POSITION["silence_over_own_gap"]
_CHEQUE = POSITION["average_cheque"]
_PACE = POSITION["purchases_per_month"]
_DAYS = POSITION["purchase_days_total"]
_FREQUENCY_30D = POSITION["frequency_ratio_30d"]
_FREQUENCY_90D = POSITION["frequency_ratio_90d"]
_VISITS_30D = POSITION["visit_ratio_30d"]


@dataclass(frozen=True, slots=True)
class LossRules:
    """The rules with their fitted limits; infinite where nobody reaches one.

    Attributes
    ----------
    late : float
        Silence over the customer's own average gap, from which they are late.
    high_cheque : float
        Average cheque, in currency.
    active : float
        Orders per 30 days since the first purchase.

    Raises
    ------
    BundleCorrupt
        A limit is none.
    """

    late: float
    high_cheque: float
    active: float

    def __post_init__(self) -> None:
        for limit in (self.late, self.high_cheque, self.active):
            if not (isinstance(limit, float) and limit > 0.0):  # not NaN either
                raise BundleCorrupt("the model's loss rules are damaged; publish the bundle again")

    def categories(self, X: Floats) -> Codes:
        """The category of n customers.

        Parameters
        ----------
        X : ndarray of float64, shape (n, n_inputs)
            Input columns, the loop's first; what is missing fulfils no rule.

        Returns
        -------
        ndarray of int8, shape (n,)
            Position in `CATEGORIES`.
        """
        out = np.empty(len(X), dtype=np.int8)
        write_categories(X, self.late, self.high_cheque, self.active, out)
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a bundle; `LossRules(**d)` restores them."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@compiled
def write_categories(X: Floats, late: float, high_cheque: float, active: float, out: Codes) -> None:
    """Write the category of each row; see `LossRules.categories`."""
    for row in range(len(X)):
        is_late = X[row, _LATENESS] >= late
        if X[row, _IS_ONE_TIME] == 1.0:
            out[row] = ONE_TIME
        elif is_late and X[row, _CHEQUE] >= high_cheque:
            out[row] = HIGH_CHEQUE_STOPPED
        elif X[row, _PACE] >= active and (
            X[row, _FREQUENCY_30D] <= HALVED
            or X[row, _FREQUENCY_90D] <= HALVED
            or X[row, _VISITS_30D] <= HALVED
        ):
            out[row] = ACTIVE_SHIFT
        elif is_late and X[row, _DAYS] >= RHYTHM_DAYS:
            out[row] = PERIODIC_SWITCHED
        else:
            out[row] = OTHER
