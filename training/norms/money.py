"""Own norms of how much a customer spends: the cheques before, and the pace before."""

import numpy as np

from churn.compiled import Floats
from churn.features.collect import NEXT_TO_NOTHING
from training.norms.definition import Norm, Rows, at_least, quotient, rounded_up, stays


def _orders(rows: Rows) -> Floats:
    """Orders with an amount."""
    return np.asarray(
        np.rint(np.nan_to_num(quotient(rows.was["spend_total"], rows.was["average_cheque"]), nan=1))
    )


def _last(rows: Rows) -> Floats:
    before = quotient(rows.was["last_cheque"], rows.was["last_cheque_ratio"])
    return np.where(rows.told["cheque_decline"], rows.was["earlier_average_cheque"], before)


def _last_3(rows: Rows) -> Floats:
    raised = rows.was["average_last_3_cheques"] + rows.added("last_cheque") / _of_last(rows)
    earlier = np.fmax(raised, rows.was["earlier_average_cheque"])
    return np.where(rows.told["cheque_decline"], earlier, raised)


def _of_last(rows: Rows) -> Floats:
    return np.clip(_orders(rows), 1.0, 3.0)


def _raised(rows: Rows, orders: Floats) -> Floats:
    """What the last cheques gained, as far as they are among the newest so many orders."""
    last, most = rows.added("last_cheque"), _of_last(rows)
    others = most * rows.added("average_last_3_cheques") - last
    among = np.clip(quotient(orders - 1.0, most - 1.0), 0.0, 1.0)
    return last * (orders >= 1.0) + others * np.nan_to_num(among)


def _pace(rows: Rows) -> Floats:
    """What was spent a day before the last 90, the cheques raised; missing of new customers."""
    tenure, newest = rows.was["tenure_days"], rows.was["purchases_90d"]
    earlier = rows.was["spend_total"] - rows.was["spend_90d"]
    earlier = earlier + _raised(rows, _orders(rows)) - _raised(rows, newest)
    return np.where(tenure >= 180.0, quotient(earlier, tenure - 90.0), np.nan)


def _average(rows: Rows) -> Floats:
    everything = rows.was["spend_total"] + _raised(rows, _orders(rows))
    return quotient(everything, _orders(rows))


def _last_30_days(rows: Rows) -> Floats:
    own = rows.was["spend_30d"] + _raised(rows, rows.was["purchases_30d"])
    return np.fmax(own, _pace(rows) * 30.0)


def _more_cheques(rows: Rows) -> Floats:
    """Average cheques, a whole number, that the last 90 days lack to keep the earlier pace."""
    own = rows.was["spend_90d"] + _raised(rows, rows.was["purchases_90d"])
    lacking = quotient(_pace(rows) * 90.0 - own, rows.now["average_cheque"])
    return np.maximum(np.nan_to_num(rounded_up(lacking)), 0.0)


def _with_more(feature: str, orders: str) -> Norm:
    def how(rows: Rows) -> Floats:
        own = rows.was[feature] + _raised(rows, rows.was[orders])
        return np.asarray(own + _more_cheques(rows) * rows.now["average_cheque"])

    return Norm(feature, "with the cheques as raised, and more of them at the earlier pace", how)


def _last_ratio(rows: Rows) -> Floats:
    n = _orders(rows) + _more_cheques(rows)
    before = quotient(rows.now["average_cheque"] * n - rows.now["last_cheque"], n - 1.0)
    return np.where(
        np.isnan(rows.was["last_cheque_ratio"]), np.nan, quotient(rows.now["last_cheque"], before)
    )


def _pace_ratio(rows: Rows) -> Floats:
    tenure = rows.was["tenure_days"]
    earlier = (rows.now["spend_total"] - rows.now["spend_90d"]) / np.maximum(tenure - 90.0, 1.0)
    known = (tenure >= 180.0) & (earlier * 90.0 > NEXT_TO_NOTHING)
    return np.where(known, quotient(rows.now["spend_90d"], earlier * 90.0), np.nan)


CHEQUE = (
    at_least(
        "last_cheque",
        "`earlier_average_cheque` where the last three declined, else the average of those before",
        _last,
    ),
    Norm(
        "average_last_3_cheques",
        "with the last as raised; `earlier_average_cheque` at least where they declined",
        _last_3,
    ),
    Norm("average_cheque", "with the cheques as raised", _average),
    at_least("spend_30d", "with the cheques as raised; the earlier pace at least", _last_30_days),
    _with_more("spend_90d", "purchases_90d"),
    _with_more("spend_365d", "purchases_365d"),
    _with_more("spend_total", "purchases_total"),
    Norm(
        "largest_cheque",
        "no less than the raised ones",
        lambda rows: np.fmax(
            rows.was["largest_cheque"],
            np.fmax(rows.now["last_cheque"], rows.now["average_last_3_cheques"]),
        ),
    ),
    stays("cheque_deviation"),
    stays("earlier_average_cheque"),
    Norm("last_cheque_ratio", "of the cheques as raised", _last_ratio),
    Norm(
        "last_3_cheques_ratio",
        "`average_last_3_cheques` / `earlier_average_cheque`",
        lambda rows: quotient(
            rows.now["average_last_3_cheques"], rows.was["earlier_average_cheque"]
        ),
    ),
    Norm("spend_ratio_90d", "of the money as changed", _pace_ratio),
)
