"""Decisions as the export writes them, row by row, for tests."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa

from training.policy.decisions import COLUMNS, FLAGS, NUMBERS, TIMES

START = datetime(2026, 3, 1, tzinfo=UTC)
TIMESTAMP = pa.timestamp("us", tz="UTC")


def row(*, day: int = 0, facts: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    """One decision: an agent's call to a valuable customer, `day` days after the start."""
    at = START + timedelta(days=day)
    plain = {
        "decision_id": f"d-{day}",
        "customer_id": "c-1",
        "action": "agent_call",
        "situation": "periodic_switched",
        "reason": "long_silence",
        "segment": "A",
        "band": "high",
        "model_version": "m",
        "policy_version": "p",
        "facts": orjson.dumps(facts or {}).decode(),
        "propensity": 0.9,
        "probability": 0.6,
        "value": 5000.0,
        "expected_value": 250.0,
        "cost": 250.0,
        "horizon_days": 60,
        "withheld": False,
        "explored": False,
        "purchased": False,
        "decided_at": at,
        "as_of": at,
    }
    later = {name: at + timedelta(days=1) for name in TIMES if given.get(name)}
    return dict.fromkeys(COLUMNS) | plain | given | later


def table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows as the columns of the file."""

    def kind(name: str) -> pa.DataType:
        if name in FLAGS:
            return pa.bool_()
        if name in TIMES:
            return TIMESTAMP
        if name == "horizon_days":
            return pa.int32()
        return pa.float64() if name in NUMBERS else pa.string()

    return pa.table({name: pa.array([one[name] for one in rows], kind(name)) for name in COLUMNS})
