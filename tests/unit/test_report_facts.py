from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pytest

from churn.calibration import Calibration
from churn.curve import RiskCurve
from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.features import FEATURES
from training.backtest import Judged
from training.calendar import instant
from training.calibrate import Choice, Dated
from training.fit import Fitted
from training.report_facts import calendar_of, risk_curves
from training.snapshots import Snapshots

TEST = instant(datetime(2026, 5, 1, tzinfo=UTC))
N = 40


@dataclass
class Model:
    """Its margin is the first column; the curve falls by a half from point to point."""

    calibration: Calibration
    curve: RiskCurve
    trees: "Model | None" = None

    def columns(self, X):
        return X

    def margin(self, X):
        return np.ascontiguousarray(X[:, 0])


@pytest.fixture
def judged():
    rng = np.random.default_rng(3)
    days_shown, zero = np.array([14, 30, 60, 90]), np.zeros(4)
    curve = RiskCurve(days_shown, 2, zero, zero, zero, -9.0, 9.0)
    model = Model(Calibration(), curve)
    model.trees = model
    X = rng.normal(size=(N, len(FEATURES)))
    days = np.append(rng.uniform(0, 200, N - 1), np.inf)
    test = Snapshots(X, np.full(N, TEST), days >= 60, days, np.arange(N).astype(object))
    earlier = tuple(
        Dated(TEST - k * 60 * DAY, days >= 60, X[:, 1] > 0, days, X[:, 0], test.customer_id)
        for k in (1, 2)
    )
    dates = {TEST - 120 * DAY: "training", TEST - 90 * DAY: "training"}
    fitted = Fitted(model, Choice(1, Calibration(), 0.0, "", earlier), dates, {}, {})
    probability = Calibration().apply(X[:, 0])
    return Judged(test, {"keepwell": probability}, fitted, dict.fromkeys(dates, (N, 0.5)))


def test_what_the_log_ends_too_early_to_tell_is_not_told(judged):
    test, _ = risk_curves(judged, TEST + 60 * DAY, 0, UTC)
    assert test.days == (30, 60, 90)
    assert not np.isnan(test.bought_nothing[:, :2]).any()
    assert np.isnan(test.bought_nothing[:, 2]).all()
    days = judged.test.next_purchase_days
    assert np.array_equal(test.bought_nothing[:, 0] == 1, days >= 30)
    assert np.array_equal(test.probability[:, 1], judged.probabilities["keepwell"])
    assert (np.diff(test.probability, axis=1) <= 0).all()


def test_the_earlier_date_is_the_newest_whose_every_outcome_was_known_by_the_test_date(judged):
    _, whole = risk_curves(judged, TEST + 60 * DAY, 0, UTC)
    # 60 days before the test date 90 days are not known yet.
    assert str(whole.as_of) == "2026-01-01"
    assert not np.isnan(whole.bought_nothing).any()


def test_lead_time_is_no_part_of_what_was_observed(judged):
    (test,) = risk_curves(judged, TEST + 65 * DAY, 31, UTC)
    assert np.isnan(test.bought_nothing[:, 1]).all()
    assert not np.isnan(test.bought_nothing[:, 0]).any()


def test_where_the_test_date_tells_everything_no_earlier_one_is_needed(judged):
    assert len(risk_curves(judged, TEST + 90 * DAY, 0, UTC)) == 1


def test_the_calendar_names_the_dates_that_chose_the_calibration(judged):
    roles = {str(s.as_of): s.role for s in calendar_of(judged, UTC)}
    assert roles == {
        "2026-01-01": "training and calibration",
        "2026-01-31": "training",
        "2026-05-01": "test",
    }
