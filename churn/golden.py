"""Golden rows: `golden.json` tells at every load whether a model still gives what it gave."""

import json
from pathlib import Path

import numpy as np

from churn.compiled import Floats
from churn.errors import BundleCorrupt, BundleUnsupported
from churn.model import Model

MOST_ROWS = 1_000
"""Training writes 25; all are scored at every load."""
GOLDEN_TOLERANCE = 1e-9  # libm may round a logarithm differently on another machine


def golden_bytes(model: Model, X: Floats) -> bytes:
    """The content of `golden.json`: rows of input columns (n, n_inputs) and what they must give."""
    margin, contributions = model.explain(model.columns(X))
    p = model.calibration.apply(margin)
    value = _values(model, X)
    rows = [
        {
            "features": [None if np.isnan(number) else float(number) for number in row],
            "probability": float(probability),
            "curve": [float(number) for number in curve],
            "contributions": [float(number) for number in contribution],
            "value": None if np.isnan(worth) else float(worth),
        }
        for row, probability, curve, contribution, worth in zip(
            X, p, model.curve.probabilities(margin, p), contributions, value, strict=True
        )
    ]
    return json.dumps({"columns": list(model.schema.names), "rows": rows}).encode()


def check_golden(file: Path, content: bytes, model: Model) -> None:
    """Refuse a model that does not give what `golden_bytes` wrote down.

    Raises
    ------
    BundleCorrupt
        Other results, or no rows to compare.
    BundleUnsupported
        Rows of other features.
    """
    try:
        golden = json.loads(content)
        if golden["columns"] != list(model.schema.names):
            raise BundleUnsupported(
                f"{file}: other features than this version computes; train again"
            )
        rows = golden["rows"]
        n = len(rows)
        X = _table(rows, "features", (n, len(model.schema)))
        expected = _table(rows, "probability", (n,))
        curve = _table(rows, "curve", (n, len(model.curve.days)))
        explained = _table(rows, "contributions", (n, len(model.schema.families)))
        # Older bundles have none.
        worth = np.array([row.get("value") for row in rows], dtype=np.float64)
        if not 0 < n <= MOST_ROWS or worth.shape != (n,):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise BundleCorrupt(
            f"{file} holds no rows, or too many, to check the model with; publish the bundle again"
        ) from None
    margin, contributions = model.explain(model.columns(X))
    probability = model.calibration.apply(margin)
    off = float(
        np.max(
            [
                np.abs(probability - expected).max(),
                np.abs(model.curve.probabilities(margin, probability) - curve).max(),
                np.abs(contributions - explained).max(),
                _off(_values(model, X), worth).max(),
            ]
        )
    )
    if not off <= GOLDEN_TOLERANCE:
        raise BundleCorrupt(
            f"{file}: the model gives other results here than where it was trained "
            f"(off by {off:.3g}); do not serve it"
        )


def _table(rows: list[dict[str, object]], name: str, shape: tuple[int, ...]) -> Floats:
    table = np.array([row[name] for row in rows], dtype=np.float64)
    if table.shape != shape:
        raise ValueError
    return table


def _values(model: Model, X: Floats) -> Floats:
    return np.full(len(X), np.nan) if model.value is None else model.value.value(X)[0]


def _off(found: Floats, expected: Floats) -> Floats:
    """How far amounts are from those expected, in parts of these; none where both are unknown."""
    off = np.abs(found - expected) / (1.0 + np.abs(expected))
    return np.where(np.isnan(found) & np.isnan(expected), 0.0, off)
