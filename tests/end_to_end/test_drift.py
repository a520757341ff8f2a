"""The drift alerts in small: silent for shops that go on as ever, not where something changed.

`python -m benchmarks drift` is the same with real servers, larger shops and twenty quiet runs.
"""

import json
import shutil
from datetime import date
from pathlib import Path

import pytest

from benchmarks.drift_shop import NOTHING, SHIFTS, Shop, fired
from service.settings import Settings
from tests.contract.client import build

MADE_AT = date(2024, 11, 1)
"""The end of the log that the tests' small model is made of."""
SINCE = date(2024, 10, 1)
CUSTOMERS, MONTHS = 500, 13
UNDISTURBED = {21: date(2024, 11, 21), 22: date(2024, 12, 12)}

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed (apt-get install prometheus)",
)


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Shop]:
    folder = tmp_path_factory.mktemp("shops")
    return {
        seed: Shop.made(folder / f"{seed}", CUSTOMERS, MONTHS, seed) for seed in (*UNDISTURBED, 23)
    }


def alerts(published: Path, shop: Shop, as_of: date, shift: str) -> dict[str, list[str]]:
    people = shop.people(as_of, shift, SINCE)
    lines = b"\n".join(json.dumps(one).encode() for one in people)
    with build(Settings(models_dir=published)) as client:
        answer = client.post("/v1/score/batch", lines, content_type="application/x-ndjson")
        assert answer.text.count('"status":"scored"') > 300
        return fired(client.get("/metrics").text)


@pytest.mark.parametrize("seed", UNDISTURBED)
def test_no_alert_fires_for_a_shop_that_goes_on_as_ever(
    published: Path, shops: dict[int, Shop], seed: int
) -> None:
    assert alerts(published, shops[seed], UNDISTURBED[seed], NOTHING) == {}


@pytest.mark.parametrize(
    ("what", "feature"),
    [
        ("cheques are half as large", "last_cheque"),
        ("every third order goes wrong", "complaints_30d"),
    ],
)
def test_an_alert_names_what_has_changed(
    published: Path, shops: dict[int, Shop], what: str, feature: str
) -> None:
    found = alerts(published, shops[23], MADE_AT, SHIFTS[what])
    assert feature in found["KeepwellDrift"]
