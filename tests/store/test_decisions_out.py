"""Decisions for whoever learns from them: as columns, with the purchases that followed."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.events import Event, Kind
from cli.main import run
from service.store import decisions_out
from service.store.database import Database
from service.store.decisions_out import COLUMNS, DecisionsOut
from service.store.histories import Histories
from service.store.outcomes import Outcome, Outcomes
from tests.decided import FACTS, decided, plant
from training.decision_files import SCHEMA

DECIDED = decided().as_of
END = DECIDED + 60 * DAY


def purchase(at: int, amount: float | None = 10.0) -> Event:
    return Event(at, Kind.PURCHASE, amount=amount)


def whole(database: Database) -> dict[str, list[Any]]:
    """All rows, as columns."""
    pages = list(DecisionsOut(database).pages())
    return {name: [value for page in pages for value in page[name]] for name in COLUMNS}


def followed(
    database: Database, *events: Event, until: int = END, lead_time_days: int | None = None
) -> tuple[Any, Any]:
    """What is told of a customer's purchases when orders of others are known until then."""
    facts = FACTS if lead_time_days is None else FACTS | {"lead_time_days": lead_time_days}
    plant(database, decided(facts=json.dumps(facts)))
    rows = [("c-1042", event) for event in events]
    Histories(database).append([*rows, ("other", purchase(until))], until)
    told = whole(database)
    return told["purchased"][0], told["revenue"][0]


def test_a_row_has_what_was_decided_and_what_came_of_it(database: Database) -> None:
    plant(database, decided(), decided(2, day=20_001, withheld=True))
    book = Outcomes(database)
    for at, outcome in enumerate(Outcome):
        if outcome is not Outcome.REJECTED and outcome is not Outcome.LOST:
            when = decided().decided_at + at
            book.add(decided().decision_id, outcome, when, now=when, allowance=0)
    told = whole(database)
    assert list(told) == list(COLUMNS)
    first = {name: column[0] for name, column in told.items()}
    kept = decided()._asdict()
    assert {name: first[name] for name in kept.keys() & first.keys()} == {
        name: kept[name] for name in kept.keys() & first.keys()
    }
    assert first["ignored_at"] == decided().decided_at + 3
    assert first["rejected_at"] is first["lost_at"] is None
    assert first["purchased"] is first["revenue"] is None
    assert told["withheld"] == [False, True]
    assert told["delivered_at"][1] is None


def test_purchases_from_as_of_until_the_end_of_the_horizon_count(database: Database) -> None:
    events = [purchase(DECIDED - 1, 1.0), purchase(DECIDED, 2.0), purchase(END - 1, 4.0),
              purchase(END, 8.0), Event(DECIDED + 5, Kind.RETURN, amount=0.5),
              Event(DECIDED + 6, Kind.VISIT, amount=16.0)]  # fmt: skip
    assert followed(database, *events) == (True, 5.5)


def test_the_horizon_begins_at_the_end_of_the_lead_time(database: Database) -> None:
    start, end = DECIDED + 7 * DAY, END + 7 * DAY
    events = [purchase(DECIDED, 1.0), purchase(start - 1, 2.0), purchase(start, 4.0),
              purchase(end - 1, 8.0), purchase(end, 16.0)]  # fmt: skip
    assert followed(database, *events, until=end, lead_time_days=7) == (True, 12.0)


def test_whoever_bought_in_the_lead_time_alone_has_left(database: Database) -> None:
    bought = purchase(DECIDED + DAY)
    assert followed(database, bought, until=END + 7 * DAY, lead_time_days=7) == (False, 0.0)


def test_a_horizon_ends_later_by_the_lead_time(database: Database) -> None:
    bought = purchase(DECIDED + 8 * DAY)
    until = END + 7 * DAY - 1
    assert followed(database, bought, until=until, lead_time_days=7) == (None, None)


def test_whoever_bought_nothing_since_has_not_bought(database: Database) -> None:
    assert followed(database, purchase(DECIDED - DAY)) == (False, 0.0)


def test_a_purchase_of_an_unknown_amount_is_one(database: Database) -> None:
    assert followed(database, purchase(DECIDED + DAY, None)) == (True, 0.0)


def test_before_all_orders_of_the_horizon_are_in_nothing_is_said(database: Database) -> None:
    assert followed(database, purchase(DECIDED + DAY), until=END - 1) == (None, None)


def test_orders_that_claim_to_be_of_the_future_end_no_horizon(database: Database) -> None:
    plant(database, decided())
    Histories(database).append([("c-1042", purchase(END + 900 * DAY))], DECIDED + DAY)
    assert whole(database)["purchased"] == [None]


def test_of_a_customer_without_events_nothing_is_said(database: Database) -> None:
    assert followed(database) == (None, None)


def test_all_customers_are_told_in_order_whatever_the_page(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["", "b", "a", "é", "a/b", "B"]
    rows = [
        decided(10 * at + day, customer_id=name or "z", day=20_000 + day)
        for at, name in enumerate(names)
        for day in range(3)
    ]
    plant(database, *rows)
    at_once = whole(database)
    assert at_once["decision_id"] == [
        row.decision_id for row in sorted(rows, key=lambda row: (row.customer_id.encode(), row.day))
    ]
    monkeypatch.setattr(decisions_out, "PAGE_DECISIONS", 2)
    assert whole(database) == at_once
    assert DecisionsOut(database).count == len(rows)


def test_the_command_writes_a_file_that_is_read_back(
    store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = Database(store_url)
    plant(database, decided())
    Histories(database).append([("c-1042", purchase(END))], END)
    database.close()
    decisions, events = tmp_path / "decisions.parquet", tmp_path / "events.parquet"
    command = ["store", "export", "--store-url", store_url, "--decisions", str(decisions)]
    assert run([*command, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["decisions"], summary["decisions_out"]) == (1, str(decisions))
    assert "events" not in summary
    table = pq.read_table(decisions)
    assert table.schema == SCHEMA
    assert table.schema.names == list(COLUMNS)
    (row,) = table.to_pylist()
    assert row["decision_id"] == decided().decision_id
    assert row["as_of"].timestamp() * 1e6 == DECIDED
    assert row["purchased"] is False
    assert json.loads(row["facts"]) == json.loads(decided().facts)
    assert run([*command, "--out", str(events)]) == 0
    assert pq.read_table(events).num_rows == 1
    assert sorted(path.name for path in tmp_path.glob("*.parquet")) == [
        "decisions.parquet", "events.parquet",
    ]  # fmt: skip


@pytest.mark.parametrize("options", [[], ["--decisions", "decisions.csv"], ["--out", "a.xlsx"]])
def test_the_command_says_what_it_cannot_write(
    store_url: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["store", "export", "--store-url", store_url, *options]) == 2
    assert "--" in capsys.readouterr().err


def test_an_empty_store_gives_a_file_without_rows(store_url: str, tmp_path: Path) -> None:
    out = tmp_path / "decisions.parquet"
    assert run(["store", "export", "--store-url", store_url, "--decisions", str(out)]) == 0
    assert pq.read_table(out).num_rows == 0
    assert pq.read_schema(out) == SCHEMA
