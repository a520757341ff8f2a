"""Own norms beyond the purchases: nothing to complain of, visits and ratings as before."""

import numpy as np

from churn.compiled import Floats
from training.norms.definition import (
    Norm,
    Rows,
    always,
    at_least,
    at_most,
    quotient,
    rounded_up,
    stays,
)

COMPLAINTS = (
    *(
        always(feature, 0.0, "none")
        for feature in (
            "complaints_30d",
            "complaints_90d",
            "complaints_365d",
            "open_complaints",
            "complaints_per_order",
        )
    ),
    *(
        always(feature, np.nan, "missing: there is none")
        for feature in (
            "days_since_last_complaint",
            "days_since_open_complaint",
            "average_resolution_days",
            "last_resolution_days",
            "last_resolution_rating",
            "purchases_since_complaint",
        )
    ),
)

RETURNS = (
    *(
        always(feature, 0.0, "none")
        for feature in (
            "returns_90d",
            "returns_365d",
            "returns_per_order",
            "returned_amount_share",
            "cancellations_90d",
            "cancellations_365d",
            "returns_since_last_purchase",
        )
    ),
    always("days_since_last_return", np.nan, "missing: there is none"),
    always("days_since_last_cancellation", np.nan, "missing: there is none"),
)


def _between_visits(rows: Rows) -> Floats:
    return np.minimum(quotient(np.array(30.0), rows.was["earlier_visits_30d"]), 30.0)


def _visits_after(rows: Rows) -> Floats:
    since = np.minimum(rows.was["days_since_last_purchase"] / 30.0, 1.0)
    gained = np.floor(rows.added("visits_30d") * since)
    return rows.was["visits_since_last_purchase"] + gained


ENGAGEMENT = (
    stays("earlier_visits_30d"),
    at_least(
        "visits_7d",
        "`earlier_visits_30d` x 7 / 30, rounded down, at least",
        lambda rows: np.floor(rows.was["earlier_visits_30d"] * 7.0 / 30.0),
    ),
    at_least(
        "visits_30d",
        "`earlier_visits_30d`, rounded up, at least",
        lambda rows: np.fmax(rounded_up(rows.was["earlier_visits_30d"]), rows.now["visits_7d"]),
    ),
    Norm(
        "visits_90d",
        "and the visits that the last 30 days gained",
        lambda rows: rows.was["visits_90d"] + rows.added("visits_30d"),
    ),
    at_most("days_since_last_visit", "30 / `earlier_visits_30d` at most", _between_visits),
    Norm(
        "visit_ratio_30d",
        "of the visits as changed",
        lambda rows: (rows.now["visits_30d"] + 1.0) / (rows.was["earlier_visits_30d"] + 1.0),
    ),
    Norm(
        "visits_since_last_purchase",
        "and those gained that fall after the purchase",
        _visits_after,
    ),
    stays("carts_abandoned_30d"),
    stays("carts_abandoned_90d"),
)


def _before_last(rows: Rows) -> Floats:
    return rows.was["last_rating"] - rows.was["rating_change"]


SATISFACTION = (
    stays("ratings_365d"),
    stays("days_since_last_rating"),
    at_least("last_rating", "the average of those before, at least", _before_last),
    Norm(
        "average_rating",
        "the average of those before, where the last was raised to it",
        lambda rows: np.where(
            rows.added("last_rating") > 0.0, rows.now["last_rating"], rows.was["average_rating"]
        ),
    ),
    at_least("rating_change", "0 at least", lambda rows: np.zeros_like(rows.was["rating_change"])),
)


def _earlier_categories(rows: Rows) -> Floats:
    before = quotient(rows.was["categories_90d"], rows.was["categories_ratio_90d"])
    return np.where(np.isnan(before), rows.was["categories_total"], before)


ASSORTMENT = (
    stays("categories_total"),
    at_least(
        "categories_90d", "`categories_total` at least", lambda rows: rows.was["categories_total"]
    ),
    Norm(
        "categories_ratio_90d",
        "of the categories as changed",
        lambda rows: np.where(
            np.isnan(rows.was["categories_ratio_90d"]),
            np.nan,
            quotient(rows.now["categories_90d"], _earlier_categories(rows)),
        ),
    ),
    stays("top_category_share"),
    stays("days_since_new_category"),
)
