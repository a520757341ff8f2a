"""A small, complete `ReportData` with known truths, for every test of what people read."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np

from churn.reliability import Reliability
from training.config import Problem
from training.empc import Campaign, expected_maximum_profit
from training.gaps import Gaps
from training.report_data import (
    Driver,
    Earlier,
    ReportData,
    RiskCurve,
    Snapshot,
    purchase_target,
)
from training.tally import Tally
from training.usability import Usability
from training.value.check import CLASSIC, OWN, ValueCheck
from training.value.worth import Worth
from training.verdicts import Gate, Grade, Outcome

HOSTILE = "<script>alert('&')</script> \\ `x` | [y](z)"
DAY = 86_400_000_000
FIRST = date(2026, 1, 5)


def example(n: int = 600, **changes: object) -> ReportData:
    """Keepwell knows the true probability; each rule knows it with more noise than the last."""
    rng = np.random.default_rng(11)
    truth = rng.beta(2.5, 1.8, n)
    noisy = {
        name: np.clip(truth + rng.normal(0, noise, n), 0.01, 0.99)
        for name, noise in (
            ("recency_lr", 0.4),
            ("rfm_lr", 0.25),
            ("bgnbd", 0.2),
            ("lightgbm_default", 0.3),
        )
    }
    probabilities = {"keepwell": truth} | noisy
    is_churn = rng.random(n) < truth
    dates = [FIRST + timedelta(days=15 * i + (45 if i > 9 else 0)) for i in range(12)]
    roles = ["training"] * 8 + ["calibration"] * 2 + ["test"] * 2
    data = ReportData(
        model_version="2026-11-20T18-03-11Z-5f2c",
        created_at=datetime(2026, 11, 20, 18, 3, 11, tzinfo=UTC),
        target=purchase_target(60, 0, 180),
        horizon_days=60,
        lead_time_days=0,
        inactivity_days=180,
        observation_window_days=730,
        usability=usability(),
        calendar=tuple(
            Snapshot(day, role, 500 + 10 * i, 0.6 + 0.005 * i)
            for i, (day, role) in enumerate(zip(dates, roles, strict=True))
        ),
        is_churn=is_churn,
        as_of=np.where(rng.random(n) < 0.5, *np.array(dates[-2:], dtype="datetime64[D]")),
        is_one_time=rng.random(n) < 0.4,
        category=rng.choice(np.array(["tea", "soap", HOSTILE, ""], dtype=object), n),
        earlier=tuple(earlier(day, n) for day in (dates[4], dates[0])),
        probabilities=probabilities,
        curves=(curve(truth),),
        reliability=Reliability(0.3, 0.2),
        drivers=drivers(truth),
        families={"silence": 0.52, "frequency": 0.31, "cheque": 0.08, "tenure": 0.05},
        thresholds={"medium": 0.6, "high": 0.8},
        calibration="none: raw probabilities had the lowest log loss",
        settings={"trees": "150", "leaves": "7"},
        libraries={"lightgbm": "4.7.0"},
        data_fingerprint="sha256:0f3a",
        currency="EUR",
        gates=(
            Gate("beats_recency", "ROC AUC minus that of the best recency rule", 0.06, 0.0,
                 Outcome.PASSED, "It ranks customers better than recency alone."),
            Gate("leakage_column", "ROC AUC of the best single column", None, 0.9,
                 Outcome.WARNING, "No column was known for enough customers to judge."),
        ),
        grade=Grade("B", "Better than every simple rule; its probabilities are a little off."),
        empc={
            name: expected_maximum_profit(is_churn, p) for name, p in probabilities.items() if n
        },
        economics=Campaign(),
        worth=worth(truth),
    )  # fmt: skip
    return replace(data, **changes)


def table_example(n: int = 600, **changes: object) -> ReportData:
    """What is known of a model of a ready table: no dates, no stages, no log."""
    known = example(n)
    data = ReportData(
        model_version=known.model_version,
        created_at=known.created_at,
        target="a customer has Churn = 1",
        is_churn=known.is_churn,
        probabilities=known.probabilities,
        thresholds=known.thresholds,
        calibration=known.calibration,
        drivers=known.drivers,
        families=known.families,
        settings=known.settings,
        libraries=known.libraries,
    )
    return replace(data, **changes)


def usability(**changes: object) -> Usability:
    """A log of some customers with a few rejected rows; 80 of 100 are back within 60 days."""
    start = (FIRST - date(1970, 1, 1)).days * DAY
    last_day = start // DAY + 300
    total = Tally(
        events=1000,
        customers=150,
        buyers=140,
        one_time_buyers=35,
        first_us=start,
        last_us=start + 300 * DAY,
        kinds=Counter({"purchase": 900, "visit": 100}),
        months=Counter({f"2026-{month:02d}": 100 + month for month in range(1, 11)}),
        gaps=Counter({10: 50, 40: 30, 70: 15, 200: 5}),
        first_gaps=Counter({10: 10, 40: 10, 70: 5}),
        own_gaps=Counter({10: 30, 40: 20}),
        silent_once=Counter({last_day - 250: 35}),
        silent_repeat=Counter({last_day - 250: 105}),
    )
    problem = Problem()
    log = Usability(
        rows=1010,
        accepted=1000,
        quarantined={"duplicate": 7, "amount_unparseable": 3},
        notes=(f"column {HOSTILE!r} is not used",),
        total=total,
        first_event=start,
        last_event=start + 300 * DAY,
        complete_until=start + 301 * DAY,
        gaps=Gaps.of(total, start + 301 * DAY, problem.observation_window_days),
        problem=problem,
    )
    return replace(log, **changes)


def earlier(day: date, n: int) -> Earlier:
    """A date on which the truth was known as well as on the test dates."""
    rng = np.random.default_rng(day.toordinal())
    truth = rng.beta(2.5, 1.8, max(n, 1))
    return Earlier(day, rng.random(len(truth)) < truth, truth)


def curve(truth: np.ndarray) -> RiskCurve:
    """Risk that falls with the days, and outcomes known for the first two horizons."""
    rng = np.random.default_rng(3)
    probability = np.stack([truth**power for power in (0.6, 1.0, 1.3)], axis=1)
    outcome = (rng.random((len(truth), 1)) < probability).astype(np.float64)
    outcome[:, 2] = np.nan
    return RiskCurve(FIRST, (30, 60, 90), probability, outcome)


def drivers(truth: np.ndarray) -> tuple[Driver, ...]:
    """Features of each kind: an amount, a count, a code, a user's category, one never known."""
    rng = np.random.default_rng(5)
    n = len(truth)
    silence = np.where(rng.random(n) < 0.1, np.nan, 100 * truth + rng.normal(0, 5, n))
    weekday = rng.integers(0, 7, n).astype(np.float64)
    plan = np.where(truth > 0.5, HOSTILE, "gold").astype(object)
    plan[rng.random(n) < 0.2] = ""
    return tuple(
        Driver(name, words, family, unit, weight * (truth - 0.5), values)
        for weight, name, words, family, unit, values in (
            (4, "silence", "days since the last purchase", "silence", "days", silence),
            (3, "orders", "orders in the last 90 days", "frequency", "orders",
             rng.poisson(2, n).astype(np.float64)),
            (2, "last_weekday", "weekday of the last purchase", "frequency", "code", weekday),
            (1, "plan", HOSTILE, HOSTILE, "category", plan),
            (0.5, "never", "never known", "cheque", "money", np.full(n, np.nan)),
            (0.4, "same", "always the same", "cheque", "money", np.full(n, 3.0)),
        )
    )  # fmt: skip


def worth(truth: np.ndarray) -> Worth:
    """Values that do not depend on the risk, and every kind of loss."""
    rng = np.random.default_rng(6)
    n = len(truth)
    value = rng.lognormal(4.0, 1.0, n)
    value[rng.random(n) < 0.05] = np.nan
    limits = (120.0, 55.0)
    segment = np.where(np.isnan(value), -1, (value < limits[0]) + 1 * (value < limits[1]))
    return Worth(
        value=value,
        segment=segment.astype(np.int8),
        loss=rng.integers(0, 5, n).astype(np.int8),
        limits=limits,
        days=365,
        window_days=180,
        horizon_days=60,
        margin_rate=0.3,
        check=value_check(),
    )


def value_check(n: int = 2_000) -> ValueCheck:
    """Keepwell knows what is to come but for chance; the others know it less well."""
    rng = np.random.default_rng(2)
    expected = rng.lognormal(3.0, 1.0, n)
    back = rng.random(n) < 0.5
    if_back, if_gone = 1.6 * expected, 0.4 * expected
    return ValueCheck(
        as_of=FIRST,
        days=180,
        realised=np.where(back, if_back, if_gone) * rng.gamma(2.0, 0.5, n),
        expected={
            "keepwell": expected,
            CLASSIC: expected * rng.lognormal(0.0, 0.7, n),
            OWN: expected * rng.lognormal(0.4, 1.2, n),
        },
        came_back=back,
        if_back=if_back,
        if_gone=if_gone,
    )
