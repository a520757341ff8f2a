"""`keepwell store import` and `export`: a log goes in, merges with what is there, comes back."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from churn.events import Event, EventLog, Feed, Kind, canonical
from cli.main import run
from cli.store import ATTEMPTS, PAUSE_SECONDS, patiently
from service.instants import text
from service.store.aging import remove_events
from service.store.database import Database
from service.store.errors import StoreReadOnly, StoreUnavailable
from service.store.exporting import Exporting
from service.store.histories import Histories
from service.store.loading import Loading
from service.store.tables import imports
from service.store.tombstones import bury
from service.validation import customer_event
from tests.random_logs import AS_OF, DAY, random_histories
from training.config import load
from training.event_files import SCHEMA
from training.ingest import Ingested, ingest
from training.progress import Silent
from training.stored_log import read_log

LATER = AS_OF + 1000 * DAY
Rows = list[tuple[str, Event]]


@pytest.fixture
def histories(database: Database) -> Histories:
    return Histories(database)


def rows_of(n_customers: int, seed: int) -> Rows:
    sent = random_histories(n_customers, seed)
    rows = [(who, event) for who, events in sent.items() for event in events]
    return [rows[at] for at in np.random.default_rng(seed).permutation(len(rows))]


def write_log(folder: Path, rows: Rows, **changed: list[Any]) -> Path:
    """Write a log and its keepwell.toml; return the latter."""
    folder.mkdir(exist_ok=True)
    columns: dict[str, Any] = {"customer_id": [who for who, _ in rows]}
    columns |= {name: [getattr(event, name) for _, event in rows] for name in Event._fields}
    pq.write_table(pa.table({**columns, **changed}, schema=SCHEMA), folder / "log.parquet")
    config = folder / "keepwell.toml"
    config.write_text("[events]\nquery = \"SELECT * FROM 'log.parquet'\"\n")
    return config


def keepwell(*arguments: object) -> Any:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(["store", *map(str, arguments), "--json"])
    assert code == 0, err.getvalue()
    return json.loads(out.getvalue())


def imported(config: Path, url: str) -> Any:
    return keepwell("import", "-c", config, "--store-url", url)


def kept(histories: Histories, rows: Rows) -> dict[str, list[Event]]:
    found = histories.read({who for who, _ in rows})
    return {who: history.events() for who, history in found.items()}


def expected(rows: Rows) -> dict[str, list[Event]]:
    by_customer: dict[str, list[Event]] = {}
    for who, event in rows:
        by_customer.setdefault(who, []).append(event)
    return {who: canonical(events) for who, events in by_customer.items()}


def notes(database: Database) -> int:
    with database.reading() as connection:
        return len(connection.execute(select(imports)).all())


def test_the_store_holds_what_the_log_says(
    store_url: str, histories: Histories, tmp_path: Path
) -> None:
    rows = rows_of(150, seed=5)
    told = imported(write_log(tmp_path / "log", rows), store_url)
    whole = expected(rows)
    n_events = sum(map(len, whole.values()))
    assert kept(histories, rows) == whole
    assert told["rows"] == len(rows)
    assert told["accepted"] == n_events
    assert told["duplicates"] == len(rows) - n_events > 0
    assert (told["resumed"], told["refused"], told["quarantine"]) == (0, {}, None)


def test_an_import_equals_sending_the_events(store_url: str, tmp_path: Path) -> None:
    """To the last byte of what is stored but for the writes' numbers."""
    rows = rows_of(60, seed=8)
    imported(write_log(tmp_path / "log", rows), store_url)
    other = Database(f"sqlite:///{tmp_path}/other.db")
    Histories(other).append(rows, 0)
    one = Database(store_url)
    sent, loaded = (
        {who: history.columns() for page in Exporting(base).pages() for who, history in page}
        for base in (other, one)
    )
    one.close()
    other.close()
    assert {who: list(map(list, columns)) for who, columns in sent.items()} == {
        who: list(map(list, columns)) for who, columns in loaded.items()
    }


def test_the_watermarks_are_those_of_the_log(
    store_url: str, histories: Histories, tmp_path: Path
) -> None:
    rows = [
        ("a", Event(AS_OF - 5 * DAY, Kind.PURCHASE, amount=1.0)),
        ("b", Event(AS_OF - 9 * DAY, Kind.PURCHASE, amount=1.0)),
        ("b", Event(AS_OF - 7 * DAY, Kind.VISIT)),
    ]
    imported(write_log(tmp_path / "log", rows), store_url)
    assert histories.watermarks() == {
        Feed.ORDERS: AS_OF - 5 * DAY,
        Feed.VISITS: AS_OF - 7 * DAY,
    }


def test_an_import_again_changes_nothing_and_reads_nothing_of_the_store(
    store_url: str, histories: Histories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(40, seed=6)
    config = write_log(tmp_path / "log", rows)
    first = imported(config, store_url)
    before, received = kept(histories, rows), histories.received()
    monkeypatch.setattr(Loading, "load", None)
    second = imported(config, store_url)
    assert (second["accepted"], second["resumed"]) == (0, first["accepted"])
    assert second["duplicates"] == first["duplicates"]
    assert kept(histories, rows) == before
    assert histories.received() == received


def test_what_retention_has_taken_out_comes_back_with_the_same_log(
    store_url: str, histories: Histories, database: Database, tmp_path: Path
) -> None:
    rows = rows_of(40, seed=15)
    config = write_log(tmp_path / "log", rows)
    imported(config, store_url)
    assert remove_events(database, AS_OF - 100 * DAY) > 0
    imported(config, store_url)
    assert kept(histories, rows) == expected(rows)


def test_only_the_last_log_is_known_to_be_in(
    store_url: str, database: Database, tmp_path: Path
) -> None:
    one, two = (
        write_log(tmp_path / name, rows_of(20, seed=seed)) for name, seed in (("1", 16), ("2", 17))
    )
    imported(one, store_url)
    first = notes(database)
    imported(two, store_url)
    assert first > 0
    assert imported(two, store_url)["accepted"] == 0
    assert imported(one, store_url)["resumed"] == 0


@pytest.mark.parametrize("before", [0, 2])
def test_of_a_customer_with_too_many_events_the_last_are_kept(
    store_url: str,
    histories: Histories,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: int,
) -> None:
    monkeypatch.setenv("KEEPWELL_MAX_STORED_EVENTS", "5")
    rows = [("a", Event(AS_OF - day * DAY, Kind.PURCHASE, amount=1.0)) for day in range(9, 0, -1)]
    config = write_log(tmp_path / "log", [*rows, ("b", rows[0][1])])
    histories.append(rows[:before], 0)
    told = imported(config, store_url)
    assert told["refused"] == {"too_many_stored": 4}
    assert (told["accepted"], told["duplicates"]) == (6 - before, before)
    assert kept(histories, rows)["a"] == [
        event for _, event in [*rows[:before], *rows[4 + before :]]
    ]
    again = imported(config, store_url)
    assert (again["accepted"], again["refused"]) == (0, {"too_many_stored": 4})


def test_what_is_stored_already_stays_and_is_not_doubled(
    store_url: str, histories: Histories, tmp_path: Path
) -> None:
    rows = rows_of(60, seed=7)
    live = [*rows[::3], ("somebody new", Event(AS_OF - DAY, Kind.PURCHASE, amount=2.0))]
    histories.append(live, now=0)
    told = imported(write_log(tmp_path / "log", rows), store_url)
    assert kept(histories, [*rows, *live]) == expected([*rows, *live])
    stored = sum(map(len, expected(rows[::3]).values()))
    assert told["accepted"] == sum(map(len, expected(rows).values())) - stored


def test_an_interrupted_import_goes_on_where_it_was(
    store_url: str, histories: Histories, database: Database, tmp_path: Path
) -> None:
    rows = rows_of(80, seed=9)
    config = write_log(tmp_path / "log", rows)
    loading, n_done = Loading(database), 0
    log = read_log(load(config), tmp_path / "work", now_us=LATER, progress=Silent())
    for at, bucket in enumerate(log.buckets()):
        for part in bucket.parts():
            if at % 3 == 0:  # as if it had been killed, more than once
                loading.load(bucket.source, part.number, part.customers(), part.last(), AS_OF)
                n_done += len(part.events)
    assert notes(database) > 0
    told = imported(config, store_url)
    whole = expected(rows)
    assert told["resumed"] == n_done
    assert told["accepted"] == sum(map(len, whole.values())) - n_done
    assert kept(histories, rows) == whole


def test_a_part_put_in_twice_is_kept_once(
    histories: Histories, database: Database, tmp_path: Path
) -> None:
    rows = rows_of(30, seed=10)
    log = read_log(
        load(write_log(tmp_path / "log", rows)), tmp_path / "work", now_us=LATER, progress=Silent()
    )
    for bucket in log.buckets():
        for part in bucket.parts():
            first, second = (
                Loading(database).load("same", 0, part.customers(), part.last(), 1)
                for _ in range(2)
            )
            assert first.accepted == len(part.events) == second.duplicates
            assert (first.duplicates, second.accepted) == (0, 0)
    assert kept(histories, rows) == expected(rows)


def test_the_fingerprint_is_of_the_events_in_whatever_order(tmp_path: Path) -> None:
    def sources(name: str, rows: Rows) -> set[str]:
        config = load(write_log(tmp_path / name, rows))
        log = read_log(config, tmp_path / f"{name}-work", now_us=LATER, progress=Silent())
        return {bucket.source for bucket in log.buckets()}

    rows = rows_of(50, seed=11)
    assert sources("one", rows) == sources("two", rows[::-1])
    renamed = [(who, event._replace(channel="else")) for who, event in rows]
    assert sources("one", rows).isdisjoint(sources("three", renamed))


def test_what_was_erased_stays_out(
    store_url: str, histories: Histories, database: Database, tmp_path: Path
) -> None:
    rows = [
        (who, Event(AS_OF - day * DAY, Kind.PURCHASE, amount=1.0))
        for who in ("a", "b")
        for day in (9, 5, 2)
    ]
    with database.writing() as connection:
        bury(connection, "a", AS_OF - 4 * DAY)
    told = imported(write_log(tmp_path / "log", rows), store_url)
    assert told["refused"] == {"erased": 2}
    assert {who: len(events) for who, events in kept(histories, rows).items()} == {"a": 1, "b": 3}


def test_rows_that_are_no_events_are_told_and_kept_apart(
    store_url: str, histories: Histories, tmp_path: Path
) -> None:
    good = ("a", Event(AS_OF - DAY, Kind.PURCHASE, amount=1.0))
    rows = [
        good,
        ("b", good[1]._replace(amount=-1.0)),
        ("c", good[1]._replace(occurred_at=4_000_000_000_000_000)),
        ("x" * 257, good[1]),
        ("tab\tbed", good[1]),
    ]
    config = write_log(tmp_path / "log", rows)
    told = imported(config, store_url)
    assert told["accepted"] == 1
    assert told["refused"] == {
        "amount_not_positive": 1,
        "occurred_in_the_future": 1,
        "customer_id_unusable": 2,
    }
    assert pq.read_table(told["quarantine"]).num_rows == 2
    assert set(kept(histories, rows)) == {"a"}


def test_large_buckets_are_cut_into_parts_of_whole_customers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.stored_log.PART_EVENTS", 7)
    rows = rows_of(200, seed=12)
    config = load(write_log(tmp_path / "log", rows))
    log = read_log(config, tmp_path / "work", now_us=LATER, progress=Silent())
    seen: dict[str, int] = {}
    n_parts = 0
    for bucket in log.buckets():
        parts = list(bucket.parts())
        assert [part.number for part in parts] == list(range(len(parts)))
        n_parts += len(parts)
        for part in parts:
            customers = part.customers()
            assert not seen.keys() & customers.keys()
            seen |= {who: len(columns[0]) for who, columns in customers.items()}
    assert n_parts > 100
    assert seen == {who: len(events) for who, events in expected(rows).items()}


def ingested(config: Path, work: Path) -> Ingested:
    return ingest(load(config), work, now_us=LATER, n_buckets=2)


def assert_same(one: EventLog, other: EventLog) -> None:
    for name in EventLog.__slots__:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_what_is_exported_is_the_log_again(store_url: str, tmp_path: Path) -> None:
    rows = rows_of(120, seed=13)
    config = write_log(tmp_path / "log", rows)
    told = imported(config, store_url)
    again = tmp_path / "again"
    wrote = keepwell("export", "--out", again / "log.parquet", "--store-url", store_url)
    assert wrote["events"] == told["accepted"]
    (again / "keepwell.toml").write_text(config.read_text())
    first, second = (
        ingested(config, tmp_path / "w1"),
        ingested(again / "keepwell.toml", tmp_path / "w2"),
    )
    assert second.fingerprint == first.fingerprint
    assert second.feeds == first.feeds
    assert second.complete_until == first.complete_until
    for k in range(2):
        assert_same(first.bucket(k), second.bucket(k))
    table = pq.read_table(again / "log.parquet")
    assert table.schema.equals(SCHEMA)
    order = [
        (row["customer_id"].encode(), row["occurred_at"])
        for row in table.select(["customer_id", "occurred_at"]).to_pylist()
    ]
    assert order == sorted(order)


def test_exported_ndjson_can_be_sent_to_the_service(store_url: str, tmp_path: Path) -> None:
    rows = rows_of(30, seed=14)
    imported(write_log(tmp_path / "log", rows), store_url)
    out = tmp_path / "events.ndjson"
    keepwell("export", "--out", out, "--store-url", store_url)
    sent = [customer_event(json.loads(line)) for line in out.read_text().splitlines()]
    assert expected(sent) == expected(rows)


def test_exported_csv_has_a_line_per_event(store_url: str, tmp_path: Path) -> None:
    event = Event(AS_OF - DAY, Kind.PURCHASE, "o,1", 12.5, category='a "b"')
    imported(write_log(tmp_path / "log", [("c-1", event)]), store_url)
    out = tmp_path / "events.csv"
    keepwell("export", "--out", out, "--store-url", store_url)
    header, line = out.read_text().splitlines()
    assert header.replace('"', "") == ",".join(SCHEMA.names)
    at = text(event.occurred_at).removesuffix("Z")
    assert line == f'"c-1","{at}.000000Z","purchase","o,1",12.5,,,,"a ""b""",,,,'


def test_an_empty_store_gives_an_empty_file(store_url: str, tmp_path: Path) -> None:
    for suffix in ("parquet", "csv", "ndjson"):
        out = tmp_path / f"events.{suffix}"
        assert keepwell("export", "--out", out, "--store-url", store_url)["events"] == 0
        assert out.exists()
    assert pq.read_table(tmp_path / "events.parquet").schema.equals(SCHEMA)


def test_an_export_is_of_the_moment_it_began(
    database: Database, histories: Histories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.exporting.PAGE_CUSTOMERS", 2)
    event = Event(AS_OF, Kind.PURCHASE)
    histories.append([(who, event) for who in "abcde"], 0)
    exporting = Exporting(database)
    seen: dict[str, list[Event]] = {}
    for page in exporting.pages():
        assert len(page) <= 2
        seen |= {who: history.events(exporting.received) for who, history in page}
        histories.append([("e", Event(AS_OF + len(seen), Kind.VISIT)), (f"z{len(seen)}", event)], 0)
    assert {who: events for who, events in seen.items() if events} == {
        who: [event] for who in "abcde"
    }


def refusal(*arguments: object) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(["store", *map(str, arguments)])
    assert out.getvalue() == ""
    return code, err.getvalue().splitlines()[-1]


def test_an_interrupted_export_leaves_the_file_that_was_there(
    store_url: str, tmp_path: Path, histories: Histories, monkeypatch: pytest.MonkeyPatch
) -> None:
    histories.append([("a", Event(AS_OF, Kind.PURCHASE))], 0)
    out = tmp_path / "out" / "events.parquet"
    keepwell("export", "--out", out, "--store-url", store_url)
    before = out.read_bytes()
    histories.append([("b", Event(AS_OF, Kind.PURCHASE))], 0)
    monkeypatch.setattr("training.whole_file.os.fsync", _no_space)
    code, line = refusal("export", "--out", out, "--store-url", store_url)
    assert code == 1
    assert line == f"keepwell: {out} cannot be written: No space left on device"
    assert out.read_bytes() == before
    assert list(out.parent.iterdir()) == [out]


def _no_space(_: int) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("command", [["export", "--out", "events.parquet"], ["import"]])
@pytest.mark.parametrize(
    ("url", "code"),
    [("mysql://host/db", 2), ("nonsense", 2), ("sqlite:////dev/null/store.db", 1)],
)
def test_a_store_that_cannot_be_opened_is_one_line(
    command: list[str], url: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_log(tmp_path, [("a", Event(AS_OF, Kind.PURCHASE, amount=1.0))])
    monkeypatch.chdir(config.parent)
    found, line = refusal(*command, "--store-url", url)
    assert found == code
    assert line.startswith("keepwell: ")
    assert not (tmp_path / "events.parquet").exists()


def test_an_import_waits_for_a_store_that_is_away_for_a_while() -> None:
    said: list[str] = []
    paused: list[float] = []
    answers = iter([StoreUnavailable("gone"), StoreUnavailable("gone"), 7])

    def work() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert patiently(work, said.append, sleep=paused.append) == 7
    assert said == ["gone (1 of 10)", "gone (2 of 10)"]
    assert paused == [PAUSE_SECONDS] * 2


@pytest.mark.parametrize(("error", "times"), [(StoreUnavailable, ATTEMPTS), (StoreReadOnly, 1)])
def test_an_import_does_not_wait_for_ever(error: type[Exception], times: int) -> None:
    tried: list[int] = []

    def work() -> None:
        tried.append(1)
        raise error("gone")

    with pytest.raises(error):
        patiently(work, lambda line: None, sleep=lambda seconds: None)
    assert len(tried) == times


def test_wrong_use_is_told(tmp_path: Path) -> None:
    assert refusal("export", "--out", "events.xlsx")[0] == 2
    assert refusal("import", "-c", tmp_path / "none.toml")[0] == 2


def test_lines_say_what_became_of_the_log(
    store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    event = Event(AS_OF - DAY, Kind.PURCHASE, amount=1.0)
    rows = [("a", event), ("a", event), ("b", event._replace(amount=0.0))]
    config = write_log(tmp_path / "log", rows)
    assert run(["store", "import", "-c", str(config), "--store-url", store_url]) == 0
    out, err = capsys.readouterr()
    first, *others = out.splitlines()
    assert first.startswith("stored 1 of 3 rows in ")
    assert others == [
        "1 were known already, or are twice in the log",
        "1 refused: amount_not_positive",
        f"the rejected rows, each with its reason: {tmp_path / 'log' / 'quarantine.parquet'}",
    ]
    assert "reading events\n" in err
    assert "storing events\n" in err
