"""Own norms of when a customer buys: the silence of an ordinary day, orders at the usual pace."""

import numpy as np
from scipy.special import ndtr

from churn.compiled import Floats
from training.norms.definition import (
    ROUND_OFF,
    How,
    Norm,
    Rows,
    at_least,
    at_most,
    quotient,
    rounded_up,
    stays,
)


def _usual_gap(rows: Rows) -> Floats:
    return rows.was["average_gap_days"]


def _ratio(feature: str, above: str, below: str) -> Norm:
    return Norm(
        feature, f"`{above}` / `{below}`", lambda rows: quotient(rows.now[above], rows.now[below])
    )


def _longer_gaps(feature: str, horizon: bool) -> Norm:
    def how(rows: Rows) -> Floats:
        """No row holds its gaps one by one: as many as log-normal ones would be, and no fewer."""
        beyond = rows.now["days_since_last_purchase"] + rows.horizon_days * horizon
        off = rows.was["mean_log_gap"] - np.log(np.maximum(beyond, ROUND_OFF))
        spread = np.nan_to_num(rows.was["deviation_log_gap"])
        share = np.where(
            spread > ROUND_OFF, ndtr(off / np.maximum(spread, ROUND_OFF)), off > ROUND_OFF
        )
        gaps = np.maximum(rows.was["purchase_days_total"] - 1.0, 1.0)
        return np.floor(share * gaps + ROUND_OFF) / gaps

    return at_least(feature, "that of log-normal gaps, in whole gaps, at least", how)


SILENCE = (
    stays("average_gap_days"),
    stays("median_gap_days"),
    stays("longest_gap_days"),
    stays("gap_deviation_days"),
    stays("mean_log_gap"),
    stays("deviation_log_gap"),
    at_most(
        "days_since_last_purchase",
        "`average_gap_days` / 2 at most",
        # On a day like any other: at the whole gap the next purchase is due.
        lambda rows: rows.was["average_gap_days"] / 2.0,
    ),
    at_most("gap_1_days", "`average_gap_days` at most", _usual_gap),
    at_most("gap_2_days", "`average_gap_days` at most", _usual_gap),
    at_most("gap_3_days", "`average_gap_days` at most", _usual_gap),
    at_most("gap_4_days", "`average_gap_days` at most", _usual_gap),
    Norm(
        "average_last_2_gaps_days",
        "mean of `gap_1_days` and `gap_2_days`",
        lambda rows: (rows.now["gap_1_days"] + rows.now["gap_2_days"]) / 2.0,
    ),
    _ratio("gap_trend", "average_last_2_gaps_days", "average_gap_days"),
    _ratio("silence_over_own_gap", "days_since_last_purchase", "average_gap_days"),
    _ratio("silence_over_median_gap", "days_since_last_purchase", "median_gap_days"),
    _ratio("silence_over_longest_gap", "days_since_last_purchase", "longest_gap_days"),
    _ratio("silence_over_gap_1", "days_since_last_purchase", "gap_1_days"),
    _ratio("silence_over_gap_2", "days_since_last_purchase", "gap_2_days"),
    _longer_gaps("share_of_gaps_over_silence", horizon=False),
    _longer_gaps("share_of_gaps_over_horizon", horizon=True),
)


def _earlier_pace(days: int, *, least: str | None = None) -> How:
    def how(rows: Rows) -> Floats:
        pace = rows.was["earlier_pace_90d"] * (days / 90.0)
        # Of 90 days the reason tells: a whole order more, so that it no longer does.
        whole = rounded_up(pace) if days == 90 else np.rint(pace)
        return whole if least is None else np.fmax(whole, rows.now[least])

    return how


def _more_orders(feature: str) -> Norm:
    return Norm(
        feature,
        "and the orders that the last 90 days gained",
        lambda rows: rows.was[feature] + rows.added("purchases_90d"),
    )


def _to_earlier(days: int) -> Norm:
    def how(rows: Rows) -> Floats:
        recent, tenure = rows.now[f"purchases_{days}d"], rows.was["tenure_days"]
        earlier = quotient(rows.now["purchases_total"] - recent, tenure - days) * days
        return np.where(tenure >= 2 * days, (recent + 1.0) / (earlier + 1.0), np.nan)

    return Norm(f"frequency_ratio_{days}d", "of the orders as changed", how)


def _later_half(rows: Rows) -> Floats:
    later = rows.was["recent_half_share"] * rows.was["purchases_total"]
    return quotient(later + rows.added("purchases_90d"), rows.now["purchases_total"])


FREQUENCY = (
    at_least("purchases_30d", "`earlier_pace_90d` / 3, rounded, at least", _earlier_pace(30)),
    at_least(
        "purchases_60d",
        "`earlier_pace_90d` x 2 / 3, rounded, at least",
        _earlier_pace(60, least="purchases_30d"),
    ),
    at_least(
        "purchases_90d",
        "`earlier_pace_90d`, rounded up, at least",
        _earlier_pace(90, least="purchases_60d"),
    ),
    _more_orders("purchases_180d"),
    _more_orders("purchases_365d"),
    _more_orders("purchases_total"),
    _more_orders("purchase_days_total"),
    Norm(
        "purchases_per_month",
        "of the orders as changed",
        lambda rows: rows.now["purchases_total"] / np.maximum(rows.was["tenure_days"], 30.0) * 30.0,
    ),
    _to_earlier(30),
    _to_earlier(90),
    _to_earlier(180),
    stays("earlier_pace_90d"),
    Norm("recent_half_share", "with the orders gained", _later_half),
    stays("purchases_same_season"),
    stays("weekday_concentration"),
    stays("month_day_concentration"),
    stays("last_weekday"),
    _ratio("orders_per_purchase_day", "purchases_total", "purchase_days_total"),
)
