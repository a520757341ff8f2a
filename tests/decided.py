"""Decisions as they would be stored, for tests that need some."""

import json
from typing import Any

from churn.events import MICROSECONDS_PER_DAY as DAY
from service.store.database import Database
from service.store.decisions import Decided, keep

FACTS: dict[str, Any] = {
    "channel": "message",
    "act_by": 20_005,
    "why": "41 days without a purchase: remind of the usual order",
    "channels": None,
    "contacts": [],
    "alternatives": [
        {"code": "points", "expected_value": 7.5, "lower_bound": 1.5, "cost": 25.0},
    ],
}


def decided(number: int = 1, **changes: Any) -> Decided:
    """A decision of the number: about c-1042, on day 20,000, made at its noon for its midnight."""
    day = changes.pop("day", 20_000)
    given = Decided(
        decision_id=f"{number:032x}",
        customer_id="c-1042",
        day=day,
        decided_at=day * DAY + DAY // 2,
        as_of=day * DAY,
        model_version="m",
        policy_version="p",
        action="reorder_reminder",
        withheld=False,
        explored=False,
        propensity=0.855,
        situation="periodic_switched",
        reason="long_silence",
        band="high",
        segment="A",
        probability=0.75,
        value=840.0,
        expected_value=12.5,
        lower_bound=3.25,
        cost=1.5,
        features_hash="0f" * 16,
        horizon_days=60,
        facts=json.dumps(FACTS),
    )
    return given._replace(**changes)


def plant(database: Database, *rows: Decided) -> None:
    """Store decisions."""
    with database.writing() as connection:
        keep(connection, rows, {})
