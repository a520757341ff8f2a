"""`keepwell policy plan`: everybody of a log, under a budget and so many places."""

import csv
import json
import subprocess
import sys
from collections import Counter
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.policy.default import DEFAULT
from cli.main import run
from service.instants import parse
from service.store.database import Database
from service.store.decisions import Decisions as Stored
from service.store.outcomes import Outcome, Outcomes
from service.store.recorded import Scores
from training.policy.decisions import Decisions, read
from training.simulate import simulate

CUSTOMERS = 300
MIDDLE = "2024-06-15"
"""Eleven weeks before the log ends: whether customers bought within the horizon is known."""


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
        (("--budget", "nan"), "--budget"),
        (("--budget", "inf"), "--budget must be an amount"),
        (("--capacity", f"agent_call={10**20}"), "1,000,000,000 places at most"),
        (("--capacity", f"agent_call={'9' * 5000}"), "1,000,000,000 places at most"),
    ],
)
def test_a_limit_that_is_none_is_refused(
    shop: Path, published: Path, capsys: pytest.CaptureFixture[str],
    given: tuple[str, ...], told: str,
) -> None:  # fmt: skip
    assert planned(shop, published, *given, out="never.csv") == 2
    assert told in capsys.readouterr().err
    assert not (shop / "never.csv").exists()


def export(url: str, out: Path) -> Decisions:
    assert run(["store", "export", "--store-url", url, "--decisions", str(out)]) == 0
    return read(out)


def test_a_recorded_plan_teaches_what_its_actions_bring(
    shop: Path, published: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    url, out = f"sqlite:///{tmp_path}/s.db", tmp_path / "decisions.parquet"
    policy, config = str(shop / "policy.toml"), str(shop / "shop" / "keepwell.toml")
    assert run(["store", "import", "-c", config, "--store-url", url]) == 0

    at = ("--as-of", MIDDLE, "--record", "--store-url", url, "--capacity", "points=20")
    capsys.readouterr()
    assert planned(shop, published, *at, "--json", out="told.csv") == 0
    summary = json.loads(capsys.readouterr().out)
    told = rows(shop / "told.csv")
    decided = [row for row in told if row["decision_id"]]
    assert summary["recorded"] == len(decided) > 150
    with closing(Database(url)) as database:
        carried = [row for row in decided if row["action"] and row["withheld"] == "false"]
        day = parse(f"{MIDDLE}T12:00:00Z")
        for row in carried:
            Outcomes(database).add(row["decision_id"], Outcome.DELIVERED, day, now=day, allowance=0)
    found = export(url, out)
    assert len(found) == len(decided)
    assert not np.isnan(found.retained).any()
    assert int(found.delivered.sum()) == len(carried)
    capsys.readouterr()
    assert run(["policy", "report", "--decisions", str(out), "--policy", policy, "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)["actions"]
    whole = {line["action"]: line for line in lines if line["by"] is None}
    given = Counter((row["action"], row["withheld"]) for row in decided if row["action"])
    for action, line in whole.items():
        counted = line["treated"], line["withheld"]
        assert counted == (given[action, "false"], given[action, "true"])
    assert sum(line["withheld"] for line in whole.values()) >= 5
    evaluate = ["policy", "evaluate", "--decisions", str(out), "--ran", policy, "--json"]
    assert run([*evaluate, "--policy", policy]) == 0
    value = json.loads(capsys.readouterr().out)
    assert "recorded with another probability than its policy's" not in value["left_out"]
    assert value["decisions"] >= 100
    assert value["same"] > 0.5
    assert value["ips"]["low"] < value["ips"]["value"] < value["ips"]["high"]


def test_a_plan_that_was_interrupted_goes_on_with_what_is_left(
    shop: Path, published: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    url = f"sqlite:///{tmp_path}/s.db"
    limits = ("--budget", "500", "--capacity", "reorder_reminder=30", "--json")
    record = ("--record", "--store-url", url, *limits)
    monkeypatch.setattr("cli.planned.BLOCK", 40)
    wrote = Scores.record
    blocks: list[int] = []

    def dies(self: Scores, *given: Any) -> Any:
        if len(blocks) == 3:
            raise KeyboardInterrupt
        blocks.append(1)
        return wrote(self, *given)

    with monkeypatch.context() as killed:
        killed.setattr(Scores, "record", dies)
        assert planned(shop, published, *record, out="cut.csv") == 130
    assert not (shop / "cut.csv").exists()
    capsys.readouterr()
    summaries, files = [], []
    for name in ("one.csv", "two.csv"):
        assert planned(shop, published, *record, out=name) == 0
        summaries.append(json.loads(capsys.readouterr().out))
        files.append({row["customer_id"]: row for row in rows(shop / name)})
    first, again = summaries
    assert first["standing"] > 60
    assert first["recorded"] + first["standing"] == again["standing"]
    assert again["recorded"] == 0
    for one in summaries:
        assert one["cost"] <= 500.0
        assert one["assigned"].get("reorder_reminder", 0) <= 30
    for who, row in files[0].items():
        same = ("action", "withheld", "decision_id")
        assert {name: files[1][who][name] for name in same} == {name: row[name] for name in same}


def test_what_was_delivered_as_the_store_has_it_keeps_others_away(
    shop: Path, published: Path, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    assert planned(shop, published, "--record", "--store-url", url, out="a.csv") == 0
    carried = [row for row in rows(shop / "a.csv") if row["action"] and row["withheld"] == "false"]
    weighed = next(row for row in carried if row["owed"] == "false")
    with closing(Database(url)) as database:
        book, end = Stored(database), None
        ((one, _),) = book.of_customer(weighed["customer_id"], limit=1)
        end = one.as_of
        Outcomes(database).add(one.decision_id, Outcome.DELIVERED, end, now=end, allowance=0)
    tomorrow = str(date.fromordinal(date(1970, 1, 1).toordinal() + end // DAY + 1))
    later = ("--as-of", tomorrow)
    assert planned(shop, published, *later, "--store-url", url, out="b.csv") == 0
    assert planned(shop, published, *later, out="c.csv") == 0
    with_store, without = (
        {row["customer_id"]: row for row in rows(shop / name)}[weighed["customer_id"]]
        for name in ("b.csv", "c.csv")
    )
    assert (with_store["action"], with_store["reason"]) == ("", "contacted")
    assert without["reason"] != "contacted"


def test_what_a_library_prints_is_not_on_stdout() -> None:
    printing = (
        "import ctypes; from cli.output import libraries_to_stderr, say\n"
        "with libraries_to_stderr(): ctypes.CDLL(None).puts(b'noise')\n"
        "say(['told'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", printing], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("told\n", "noise\n")
