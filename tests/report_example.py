"""A small, complete `ReportData` with known truths, for every test of what people read."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np

from training.report_data import Importance, ReportData, Snapshot


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
    first = date(2026, 1, 5)
    dates = [first + timedelta(days=15 * i + (45 if i > 9 else 0)) for i in range(12)]
    roles = ["training"] * 8 + ["calibration"] * 2 + ["test"] * 2
    data = ReportData(
        model_version="2026-11-20T18-03-11Z-5f2c",
        created_at=datetime(2026, 11, 20, 18, 3, 11, tzinfo=UTC),
        horizon_days=60,
        lead_time_days=0,
        inactivity_days=180,
        observation_window_days=730,
        usability=("69,659 rows, 23,570 customers", "255 duplicate rows <dropped> & counted"),
        calendar=tuple(
            Snapshot(day, role, 500 + 10 * i, 0.6 + 0.005 * i)
            for i, (day, role) in enumerate(zip(dates, roles, strict=True))
        ),
        is_churn=rng.random(n) < truth,
        as_of=np.where(rng.random(n) < 0.5, *np.array(dates[-2:], dtype="datetime64[D]")),
        is_one_time=rng.random(n) < 0.4,
        probabilities=noisy | {"keepwell": truth},
        features=tuple(
            Importance(f"feature_{i}", ("silence", "frequency", "cheque")[i % 3], 100.0 / (i + 1))
            for i in range(30)
        ),
        families={"silence": 0.52, "frequency": 0.31, "cheque": 0.08, "tenure": 0.05},
        thresholds={"medium": 0.6, "high": 0.8},
        calibration="none: raw probabilities had the lowest log loss",
        settings={"trees": "150", "leaves": "7"},
        libraries={"lightgbm": "4.7.0"},
        data_fingerprint="sha256:0f3a",
    )
    return replace(data, **changes)
