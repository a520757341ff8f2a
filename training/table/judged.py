"""Rows of a ready table that were predicted by models that had not seen them, and the figures."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC
from typing import Any

import numpy as np

from churn.compiled import Booleans, Floats, Integers
from training.backtest import MODEL, REPORTED
from training.calendar import date_of
from training.metrics import evaluate
from training.table.rows import Rows


@dataclass(frozen=True, slots=True)
class Judged:
    """Predicted rows.

    Attributes
    ----------
    test : Rows
        The rows.
    probabilities : dict of str to ndarray, shape (n,)
        Of Keepwell's model and of every baseline.
    as_of : tuple of int
        The test dates, microseconds since 1970-01-01 UTC; none where rows were judged in folds.
    test_date : ndarray of int64, shape (n,), or None
        The test date of each row.
    learnt : ndarray of bool, shape (n,)
        Whether a row of the same values was learnt from.
    """

    test: Rows
    probabilities: dict[str, Floats]
    as_of: tuple[int, ...]
    test_date: Integers | None
    learnt: Booleans

    @property
    def how(self) -> str:
        """In folds, or as of which dates."""
        days = ", ".join(_day(date) for date in self.as_of)
        return f"as of {days}" if days else "in folds"

    def to_dict(self, horizon_days: int) -> dict[str, Any]:
        """What ``backtest --json`` prints; there are no dates where rows were judged in folds.

        Beside the figures of `training.backtest` it has ``copies``: rows of which an equal one was
        learnt from, and how well the model ranks the others.
        """
        y = self.test.is_churn
        models: dict[str, Any] = {}
        for name, p in self.probabilities.items():
            by_date: dict[str, Any] = {}
            for date in self.as_of:
                there = self.test_date == date
                row = asdict(evaluate(y[there], p[there]))
                by_date[_day(date)] = {key: row[key] for key in ("n", "churn_rate", *REPORTED)}
            parts = list(by_date.values()) or [asdict(evaluate(y, p))]
            models[name] = {key: _mean([part[key] for part in parts]) for key in REPORTED}
            models[name]["by_date"] = by_date
        return {
            "as_of": [_day(date) for date in self.as_of],
            "horizon_days": horizon_days,
            "n": len(y),
            "churn_rate": float(y.mean()),
            "models": models,
            "copies": {"rows": int(self.learnt.sum()), "roc_auc_without": self._auc_without()},
        }

    def copies_line(self) -> str | None:
        """Say how much equal rows flatter the figures; None where there are none."""
        n = int(self.learnt.sum())
        if n == 0:
            return None
        auc = self._auc_without()
        others = "" if auc is None else f"; ROC AUC of the others: {auc:.3f}"
        return (
            f"{n:,} of {len(self.learnt):,} rows have the same values as one that was learnt "
            f"from{others}"
        )

    def _auc_without(self) -> float | None:
        alone = ~self.learnt
        if not alone.any():
            return None
        return evaluate(self.test.is_churn[alone], self.probabilities[MODEL][alone]).roc_auc


def _day(date: int) -> str:
    return str(date_of(date, UTC))


def _mean(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return float(np.mean(known)) if known else None
