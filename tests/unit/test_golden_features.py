"""One customer whose features are written down: a change of any bit is a change of meaning."""

import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from churn.events import Event, Kind, customer_log
from churn.features import FEATURE_NAMES, FeatureSettings, feature_rows
from training.calendar import instant

GOLDEN = Path(__file__).parents[1] / "golden" / "customer.json"
# The logarithm comes from the machine's mathematical library, whose last bit may differ.
LIBM = {"mean_log_gap", "deviation_log_gap"}


def golden() -> dict[str, dict[str, str]]:
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


def computed(as_of: str, *, compiled: bool) -> dict[str, float]:
    events = [
        Event(
            **event
            | {"kind": Kind(event["kind"]), "occurred_at": at(event["occurred_at"])}
            | ({"known_at": at(event["known_at"])} if "known_at" in event else {})
        )
        for event in golden()["events"]
    ]
    (row,) = feature_rows(
        customer_log("c-1", events),
        np.array([0]),
        np.array([at(as_of)]),
        FeatureSettings(730, 60),
        compiled=compiled,
    )
    return dict(zip(FEATURE_NAMES, row.tolist(), strict=True))


def at(text: str) -> int:
    return instant(datetime.fromisoformat(text))


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "plain"])
@pytest.mark.parametrize("as_of", sorted(golden()["features"]))
def test_the_features_are_those_written_down(as_of: str, compiled: bool) -> None:
    row = computed(as_of, compiled=compiled)
    expected = {name: float.fromhex(text) for name, text in golden()["features"][as_of].items()}
    assert row.keys() == expected.keys()
    for name, number in expected.items():
        tolerance = 1e-14 if name in LIBM else 0.0
        assert row[name] == pytest.approx(number, rel=tolerance, abs=0.0, nan_ok=True), name
