"""`keepwell policy plan`: everybody of a log, under a budget and so many places."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from churn.policy.default import DEFAULT
from cli.main import run
from training.simulate import simulate

CUSTOMERS = 300


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan")
    simulate(CUSTOMERS, 11, 8, folder / "shop")
    (folder / "policy.toml").write_text(DEFAULT)
    return folder


def planned(shop: Path, published: Path, *more: str, out: str = "plan.csv") -> int:
    return run(
        [
            "policy", "plan", "-c", str(shop / "shop" / "keepwell.toml"),
            "--models-dir", str(published), "--policy", str(shop / "policy.toml"),
            "--out", str(shop / out), *more,
        ]
    )  # fmt: skip


def rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_everybody_is_told_what_they_get_or_why_not(
    shop: Path, published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert planned(shop, published, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    everybody = rows(shop / "plan.csv")
    assert len(everybody) == len({row["customer_id"] for row in everybody}) == told["customers"]
    given = Counter(row["action"] for row in everybody if row["withheld"] == "false")
    del given[""]
    assert given == told["assigned"]
    assert given.total() > 10
    assert all(bool(row["action"]) != bool(row["reason"]) for row in everybody)
    assert told["expected_value"] <= told["upper_bound"] * (1 + 1e-9)


def test_no_limit_is_passed_and_each_has_its_price(
    shop: Path, published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert planned(shop, published, "--json") == 0
    free = json.loads(capsys.readouterr().out)
    weighed = Counter(
        row["action"]
        for row in rows(shop / "plan.csv")
        if row["action"] and (row["owed"], row["withheld"]) == ("false", "false")
    )
    scarce, most = weighed.most_common(1)[0]
    places, budget = most // 2, free["cost"] / 3
    limits = ("--budget", str(budget), "--capacity", f"{scarce}={places}")
    assert planned(shop, published, *limits, "--json") == 0
    bound = json.loads(capsys.readouterr().out)
    assert bound["assigned"].get(scarce, 0) <= places
    assert bound["cost"] <= budget
    assert bound["expected_value"] < free["expected_value"]
    assert set(bound["shadow_prices"]) == {"budget", scarce}
    assert max(bound["shadow_prices"].values()) > 0.0
    assert bound["left_out"]["limits"] > 0


def test_the_same_in_words(shop: Path, published: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert planned(shop, published, "--budget", "1", out="plan.parquet") == 0
    told = capsys.readouterr().out
    assert "held out, so that the effect can be measured" in told
    assert "one more RUB of budget is worth" in told


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--capacity", "agent_cal=3"), "did you mean 'agent_call'?"),
        (("--capacity", "agent_call"), "is not ACTION=N"),
        (("--capacity", "agent_call=-1"), "is not ACTION=N"),
        (("--budget", "-1"), "--budget"),
    ],
)
def test_a_limit_that_is_none_is_refused(
    shop: Path, published: Path, capsys: pytest.CaptureFixture[str],
    given: tuple[str, ...], told: str,
) -> None:  # fmt: skip
    assert planned(shop, published, *given, out="never.csv") == 2
    assert told in capsys.readouterr().err
    assert not (shop / "never.csv").exists()
