"""A log with a planted leak, from keepwell.toml to the promotion that does not happen."""

import json
from pathlib import Path

import pytest

from churn.registry import Registry
from cli.main import run
from training.simulate import simulate

UNTIL = "2024-12-31"
EVENTS = "SELECT * FROM 'events.parquet'"
# A status as of today, given out as if it had been known from the customer's first event on.
STATUS_TODAY = f"""
SELECT customer_id, min(occurred_at) - INTERVAL 1 DAY AS known_at,
       CASE WHEN max(occurred_at) FILTER (kind = 'purchase') < TIMESTAMPTZ '{UNTIL} 00:00:00+00'
                 - INTERVAL 75 DAY THEN 'dormant' ELSE 'active' END AS loyalty_status
FROM 'events.parquet' GROUP BY customer_id
"""
# A review after each purchase whose stars know what the customer did next.
STARS_IN_HINDSIGHT = """
WITH followed AS (
    SELECT *, date_diff('day', occurred_at, lead(occurred_at) OVER (
        PARTITION BY customer_id, kind ORDER BY occurred_at)) AS gap
    FROM 'events.parquet')
SELECT * EXCLUDE (gap) FROM followed WHERE kind NOT IN ('review', 'survey')
UNION ALL BY NAME
SELECT customer_id, occurred_at + INTERVAL 1 HOUR AS occurred_at, 'review' AS kind,
       least(coalesce(gap, 120), 120) AS value
FROM followed WHERE kind = 'purchase'
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An honest simulated shop, of which each test maps what it wants."""
    folder = tmp_path_factory.mktemp("shop")
    simulate(700, 12, 11, folder)
    return folder


def trained(
    shop: Path, name: str, capfd: pytest.CaptureFixture[str], events: str = EVENTS, own: str = ""
) -> tuple[int, dict[str, object], str, Registry]:
    features = f'[features]\nquery = """{own}"""\n' if own else ""
    config = shop / f"{name}.toml"
    config.write_text(f'[events]\nquery = """{events}"""\ncomplete_until = {UNTIL}\n{features}')
    models = shop / name
    code = run(["train", "-c", str(config), "--models-dir", str(models), "--json"])
    out, err = capfd.readouterr()
    return code, json.loads(out), err, Registry(models)


def test_the_honest_shop_is_promoted_with_its_grade(
    shop: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, told, err, registry = trained(shop, "honest", capfd)
    assert code == 0, err
    assert told["promoted"] is True
    assert registry.current() == told["version"]
    assert told["grade"]["letter"] in "ABC"  # type: ignore[index]
    assert all(gate["passed"] for gate in told["gates"])  # type: ignore[attr-defined]
    assert told["expected_maximum_profit"]["keepwell"]["per_customer"] > 0  # type: ignore[index]


def test_a_status_as_of_today_in_own_columns_is_stopped_and_named(
    shop: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, told, err, registry = trained(shop, "status", capfd, own=STATUS_TODAY)
    version = str(told["version"])
    assert code == 1
    assert told["promoted"] is False
    assert told["grade"]["letter"] == "D"  # type: ignore[index]
    assert registry.versions() == [version]
    assert registry.current() is None
    assert (registry.path(version) / "report.html").is_file()
    failed = {gate["name"]: gate for gate in told["gates"] if not gate["passed"]}  # type: ignore[attr-defined]
    assert {"leakage_column", "leakage_unchanging"} <= set(failed)
    assert {gate["column"] for gate in failed.values()} <= {"loyalty_status", None}
    said = [line for line in err.splitlines() if line.startswith("keepwell: ")]
    assert len(said) == len(failed)
    assert all("is not promoted" in line for line in said)
    assert any("leakage_unchanging" in line and "loyalty_status" in line for line in said)

    there = ["--models-dir", str(registry.root)]
    assert run(["models", "list", *there]) == 0
    listed = capfd.readouterr().out
    assert f"  {version}  D  failed: leakage_column" in listed
    assert run(["models", "show", version, *there]) == 0
    assert "loyalty_status (your own column) never changes" in capfd.readouterr().out
    assert run(["models", "promote", version, *there]) == 1
    refused = capfd.readouterr().err
    assert "loyalty_status" in refused
    assert "--force" in refused
    assert registry.current() is None
    assert run(["models", "promote", version, "--force", *there]) == 0
    assert "although it failed" in capfd.readouterr().err
    assert registry.current() == version


def test_hindsight_in_the_events_own_columns_is_stopped_and_named(
    shop: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, told, err, registry = trained(shop, "stars", capfd, events=STARS_IN_HINDSIGHT)
    assert code == 1
    assert registry.current() is None
    failed = {gate["name"]: gate for gate in told["gates"] if not gate["passed"]}  # type: ignore[attr-defined]
    assert failed["leakage_column"]["column"] == "last_rating"
    assert "`value`" in err
