import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churn.errors import ConfigError, DataError, MappingError
from churn.events import EventLog, Feed
from training.buckets import bucket_of
from training.config import from_mapping, load
from training.ingest import Ingested, ingest

NOW = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()) * 10**6
CSV = """customer_id,occurred_at,kind,amount
b,2026-10-02 10:11:00,purchase,54.9
a,2026-10-05 09:00:00,complaint,
a,2026-09-01 00:00:00,purchase,10
"""


def us(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 10**6)


@dataclass
class Shop:
    """A folder with a keepwell.toml, files beside it, and somewhere to work."""

    folder: Path
    work: Path

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def ingest(self, query: str, n_buckets: int = 3, now_us: int = NOW, **events: Any) -> Ingested:
        config = from_mapping({"events": {"query": query, **events}}, self.folder / "keepwell.toml")
        return ingest(config, self.work, now_us=now_us, n_buckets=n_buckets)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    folder = tmp_path / "it's a \"shop\", isn't it"
    folder.mkdir()
    return Shop(folder, tmp_path / "work [here], it's free*")


def rows_of(ingested: Ingested) -> list[tuple[str, int, int, float]]:
    """(customer, time, kind code, amount) of every event, by customer."""
    found = []
    for k in range(ingested.n_buckets):
        log = ingested.bucket(k)
        for i, customer in enumerate(log.customer_ids):
            assert bucket_of(customer, ingested.n_buckets) == k
            for e in range(log.offsets[i], log.offsets[i + 1]):
                found.append((customer, int(log.time[e]), int(log.kind[e]), float(log.amount[e])))
    return sorted(found, key=lambda row: row[:3])


def quarantined(ingested: Ingested) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(ingested.quarantine).to_pylist()
    assert len(rows) == sum(ingested.usability.quarantined.values())
    return rows


def values(*rows: str) -> str:
    """A query that gives these rows, each written as SQL values."""
    lines = ", ".join(f"({row})" for row in rows)
    return f"SELECT * FROM (VALUES {lines}) AS t(customer_id, occurred_at, kind, amount)"


GOOD = "'good', TIMESTAMP '2026-01-01 10:00', 'purchase', 5"


def test_a_csv_file_becomes_sorted_events(shop: Shop) -> None:
    shop.write("log.csv", CSV)
    ingested = shop.ingest("SELECT * FROM 'log.csv'")
    rows = rows_of(ingested)
    assert [row[:3] for row in rows] == [
        ("a", us("2026-09-01"), 0),
        ("a", us("2026-10-05T09:00:00"), 3),
        ("b", us("2026-10-02T10:11:00"), 0),
    ]
    assert [row[3] for row in rows] == pytest.approx([10, float("nan"), 54.9], nan_ok=True)
    assert ingested.usability.rows == 3
    assert ingested.usability.accepted == 3
    assert ingested.usability.quarantined == {}
    assert ingested.first_event == us("2026-09-01")
    assert ingested.last_event == us("2026-10-05T09:00:00")
    assert quarantined(ingested) == []


def test_csv_json_and_parquet_give_the_same_log(shop: Shop) -> None:
    shop.write("log.csv", CSV)
    table = [
        dict(zip(CSV.split()[0].split(","), line.split(","), strict=True))
        for line in CSV.splitlines()[1:]
    ]
    shop.write(
        "log.json",
        "\n".join(
            json.dumps(row | {"amount": float(row["amount"]) if row["amount"] else None})
            for row in table
        ),
    )
    columns = {
        "customer_id": [row["customer_id"] for row in table],
        "occurred_at": pa.array(
            [datetime.fromisoformat(row["occurred_at"]) for row in table], pa.timestamp("ns")
        ),
        "kind": pa.array([row["kind"] for row in table]).dictionary_encode(),
        "amount": pa.array(
            [float(row["amount"]) if row["amount"] else float("nan") for row in table]
        ),
    }
    pq.write_table(pa.table(columns), shop.folder / "log.parquet")
    prints = set()
    for name in ("log.csv", "log.json", "log.parquet"):
        ingested = shop.ingest(f"SELECT * FROM '{name}'")
        assert ingested.usability.quarantined == {}
        prints.add(ingested.fingerprint)
    assert len(prints) == 1


def test_the_file_beside_the_configuration_is_read_and_not_one_in_the_working_directory(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.write("log.csv", CSV)
    (tmp_path / "log.csv").write_text("nothing\nto see\n")
    monkeypatch.chdir(tmp_path)
    assert shop.ingest("FROM 'log.csv'").usability.accepted == 3
    assert Path(os.getcwd()) == tmp_path


def test_a_query_may_end_in_a_semicolon_or_a_comment(shop: Shop) -> None:
    for end in (";", " -- all of it", "; -- done\n", "\n"):
        assert shop.ingest(values(GOOD) + end).usability.accepted == 1


@pytest.mark.parametrize(
    ("customer_id", "expected"),
    [
        ("17850", "17850"),
        ("17850.0::DOUBLE", "17850"),
        ("17850.0::FLOAT", "17850"),
        ("17850.00::DECIMAL(10, 2)", "17850"),
        ("-3::HUGEINT", "-3"),
        ("' a b '", " a b "),
        ("'00042'", "00042"),
        ("'Ж'", "Ж"),
        ("'5f2c0000-0000-0000-0000-000000000000'::UUID", "5f2c0000-0000-0000-0000-000000000000"),
    ],
)
def test_an_identifier_of_any_type_becomes_text(
    shop: Shop, customer_id: str, expected: str
) -> None:
    ingested = shop.ingest(values(f"{customer_id}, DATE '2026-01-01', 'purchase', 5"))
    assert [row[0] for row in rows_of(ingested)] == [expected]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("NULL, TIMESTAMP '2026-01-01', 'purchase', 5", "customer_id_missing"),
        ("'  ', TIMESTAMP '2026-01-01', 'purchase', 5", "customer_id_missing"),
        ("'a', NULL, 'purchase', 5", "occurred_at_missing"),
        ("'a', TIMESTAMP 'infinity', 'purchase', 5", "occurred_at_unparseable"),
        ("'a', TIMESTAMP '1900-01-01', 'purchase', 5", "occurred_before_1970"),
        ("'a', TIMESTAMP '2026-11-21 12:00:00', 'purchase', 5", "occurred_in_the_future"),
        ("'a', TIMESTAMP '2026-01-01', NULL, 5", "kind_missing"),
        ("'a', TIMESTAMP '2026-01-01', 'Purchase', 5", "kind_unknown"),
        ("'a', TIMESTAMP '2026-01-01', 'purchase', 0", "amount_not_positive"),
        ("'a', TIMESTAMP '2026-01-01', 'purchase', -1", "amount_not_positive"),
        ("'a', TIMESTAMP '2026-01-01', 'purchase', 'infinity'::DOUBLE", "amount_not_finite"),
        ("'a', TIMESTAMP '2026-01-01', 'return', -1", "amount_negative"),
        ("'a', TIMESTAMP '2026-01-01', 'cancellation', 0", "amount_not_positive"),
        (GOOD, "duplicate"),
    ],
)
def test_a_row_that_is_no_event_is_counted_and_kept_with_its_reason(
    shop: Shop, row: str, reason: str
) -> None:
    ingested = shop.ingest(values(GOOD, row))
    assert ingested.usability.rows == 2
    assert ingested.usability.accepted == 1
    assert ingested.usability.quarantined == {reason: 1}
    assert [row[0] for row in rows_of(ingested)] == ["good"]
    (kept,) = quarantined(ingested)
    assert kept["reason"] == reason
    assert kept["row"].startswith("{")


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ("quantity, 0", "quantity_not_positive"),
        ("quantity, 'two'", "quantity_unparseable"),
        ("discount, -0.5", "discount_negative"),
        ("discount, '5%'", "discount_unparseable"),
        ("value, '-inf'::FLOAT", "value_not_finite"),
        ("value, 1e16::DOUBLE", "value_too_large"),
        ("amount, '12,50'", "amount_unparseable"),
        ("amount, 1e200::DOUBLE", "amount_too_large"),
        ("occurred_at, '32.12.2025'", "occurred_at_unparseable"),
        ("customer_id, 0.5::DOUBLE", "customer_id_not_whole"),
        ("customer_id, 1e300::DOUBLE", "customer_id_not_whole"),
        ("customer_id, 'nan'::DOUBLE", "customer_id_missing"),
        ("known_at, TIMESTAMP '2025-12-31'", "known_before_it_occurred"),
        ("known_at, TIMESTAMP '2027-01-01'", "known_in_the_future"),
        ("known_at, 'later'", "known_at_unparseable"),
    ],
)
def test_an_optional_column_that_is_wrong_is_a_reason_too(
    shop: Shop, column: str, reason: str
) -> None:
    name, value = column.split(", ")
    defaults = {
        "customer_id": "'a'", "occurred_at": "TIMESTAMP '2026-01-01'", "kind": "'purchase'",
    }  # fmt: skip
    wrong = {**defaults, name: value}
    right = {**defaults, name: f"try_cast(NULL AS {_type_of(value)})"} | (
        {}
        if name not in defaults
        else {name: {"customer_id": "7::DOUBLE", "occurred_at": "'2026-01-01'"}[name]}
    )
    query = " UNION ALL ".join(
        "SELECT " + ", ".join(f"{v} AS {k}" for k, v in row.items()) for row in (right, wrong)
    )
    ingested = shop.ingest(query)
    assert ingested.usability.quarantined == {reason: 1}
    assert ingested.usability.accepted == 1


def _type_of(value: str) -> str:
    if "::" in value:
        return value.split("::")[1]
    if value.startswith("TIMESTAMP"):
        return "TIMESTAMP"
    return "VARCHAR" if value.startswith("'") else "DOUBLE"


def test_what_is_not_given_is_missing_and_not_wrong(shop: Shop) -> None:
    ingested = shop.ingest(
        "SELECT 'a' AS customer_id, TIMESTAMP '2026-01-01' AS occurred_at, 'purchase' AS kind, "
        "'nan'::DOUBLE AS amount, NULL AS quantity, '' AS order_id, NULL::TIMESTAMP AS known_at, "
        "-0.0::DOUBLE AS value"
    )
    (log,) = [ingested.bucket(k) for k in range(3) if ingested.bucket(k).n_events]
    assert np.isnan(log.amount[0])
    assert np.isnan(log.quantity[0])
    assert np.isnan(log.discount[0])
    assert (log.order[0], log.case[0], log.category[0]) == (-1, -1, -1)
    assert log.known_at[0] == log.time[0]
    assert not np.signbit(log.value[0])
    assert ingested.feeds == {Feed.ORDERS}


def test_the_quarantine_file_keeps_the_row_as_it_came(shop: Shop) -> None:
    ingested = shop.ingest(
        f"{values(GOOD)} UNION ALL "
        "SELECT * FROM (SELECT 'x' AS customer_id, NULL AS occurred_at, 'visit' AS kind, 1)"
    )
    (kept,) = quarantined(ingested)
    assert json.loads(kept["row"]) == {
        "customer_id": "x", "occurred_at": None, "kind": "visit", "amount": 1,
    }  # fmt: skip
    assert (kept["customer_id"], kept["kind"], kept["occurred_at"]) == ("x", "visit", None)


def test_the_nearest_kind_is_named(shop: Shop) -> None:
    ingested = shop.ingest(values(GOOD, "'a', DATE '2026-01-01', 'purchas', 5"))
    assert "kind 'purchas' (rows: 1) is unknown; did you mean 'purchase'?" in (
        ingested.usability.notes
    )


def test_a_column_without_a_place_is_noted_with_the_nearest(shop: Shop) -> None:
    ingested = shop.ingest(f"SELECT *, 1 AS ammount, 2 AS colour FROM ({values(GOOD)})")
    assert ingested.usability.notes == (
        "column 'ammount' is not used; did you mean 'amount'?",
        "column 'colour' is not used",
    )


def test_a_repeated_event_id_is_a_duplicate_even_when_the_content_differs(shop: Shop) -> None:
    query = """
        SELECT * FROM (VALUES
            ('a', TIMESTAMP '2026-01-02', 'purchase', 5, 'e1'),
            ('a', TIMESTAMP '2026-01-01', 'purchase', 7, 'e1'),
            ('a', TIMESTAMP '2026-01-01', 'purchase', 7, 'e2'),
            ('b', TIMESTAMP '2026-01-01', 'purchase', 7, 'e1'),
            ('a', TIMESTAMP '2026-01-01', 'purchase', 7, NULL)
        ) AS t(customer_id, occurred_at, kind, amount, event_id)"""
    ingested = shop.ingest(query)
    assert ingested.usability.quarantined == {"duplicate": 1}
    assert [row[:2] for row in rows_of(ingested)] == [
        *[("a", us("2026-01-01"))] * 3,
        ("b", us("2026-01-01")),
    ]
    (kept,) = quarantined(ingested)
    assert kept["occurred_at"] == datetime(2026, 1, 2, tzinfo=UTC)
    assert json.loads(kept["row"])["event_id"] == "e1"


def test_of_a_repeated_event_id_the_first_to_be_known_is_kept(shop: Shop) -> None:
    query = """
        SELECT * FROM (VALUES
            ('a', TIMESTAMP '2026-01-02', TIMESTAMP '2026-01-02', 'purchase', 5, 'e1'),
            ('a', TIMESTAMP '2026-01-01', TIMESTAMP '2026-02-01', 'purchase', 7, 'e1')
        ) AS t(customer_id, occurred_at, known_at, kind, amount, event_id)"""
    ingested = shop.ingest(query, n_buckets=1)
    assert ingested.bucket(0).amount.tolist() == [5.0]
    assert ingested.usability.quarantined == {"duplicate": 1}


def test_a_duplicate_learnt_of_later_is_the_one_to_go(shop: Shop) -> None:
    query = """
        SELECT 'a' AS customer_id, TIMESTAMP '2026-01-01' AS occurred_at, 'purchase' AS kind,
               unnest([TIMESTAMP '2026-01-03', TIMESTAMP '2026-01-02']) AS known_at"""
    ingested = shop.ingest(query, n_buckets=1)
    assert ingested.bucket(0).known_at.tolist() == [us("2026-01-02")]
    assert ingested.usability.quarantined == {"duplicate": 1}


@pytest.mark.parametrize(
    ("moment", "utc"),
    [
        ("TIMESTAMP '2026-07-01 12:00'", "2026-07-01T11:00:00"),
        ("TIMESTAMP '2026-01-01 12:00'", "2026-01-01T12:00:00"),
        ("DATE '2026-07-01'", "2026-06-30T23:00:00"),
        ("'2026-07-01 12:00'", "2026-07-01T11:00:00"),
        ("'2026-07-01T12:00:00Z'", "2026-07-01T12:00:00"),
        ("'2026-07-01T12:00:00.25+05:30'", "2026-07-01T06:30:00.25"),
        ("TIMESTAMPTZ '2026-07-01 12:00:00+00'", "2026-07-01T12:00:00"),
        ("TIMESTAMP '2026-03-29 01:30'", "2026-03-29T01:30:00"),
        ("TIMESTAMP '2026-10-25 01:30'", "2026-10-25T01:30:00"),
        ("'2026-10-25 01:30'", "2026-10-25T01:30:00"),
    ],
)
def test_a_time_that_names_no_zone_is_read_in_the_configured_one(
    shop: Shop, moment: str, utc: str
) -> None:
    ingested = shop.ingest(
        values(f"'a', {moment}, 'purchase', 5"), n_buckets=1, timezone="Europe/London"
    )
    assert ingested.bucket(0).time.tolist() == [us(utc)]


def test_the_log_is_complete_until_midnight_after_the_last_event_in_its_zone(shop: Shop) -> None:
    ingested = shop.ingest(
        values("'a', TIMESTAMP '2026-06-30 23:30', 'purchase', 5"), timezone="Europe/London"
    )
    assert ingested.complete_until == us("2026-06-30T23:00:00")


def test_a_day_that_is_not_over_is_not_complete(shop: Shop) -> None:
    ingested = shop.ingest(values(GOOD, "'a', TIMESTAMP '2026-11-21 08:00', 'purchase', 5"))
    assert ingested.complete_until == us("2026-11-21")


def test_the_configured_end_of_the_log_holds(shop: Shop) -> None:
    assert shop.ingest(values(GOOD), complete_until="2026-05-01").complete_until == us("2026-05-01")


@pytest.mark.parametrize(
    ("until", "message"),
    [("2026-11-22", "lies in the future"), ("2026-01-01", "lies before the first event")],
)
def test_an_impossible_end_of_the_log_is_refused(shop: Shop, until: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"complete_until \({until}T00:00:00Z\) {message}"):
        shop.ingest(values(GOOD), complete_until=until)


def test_feeds_are_those_of_which_there_is_anything(shop: Shop) -> None:
    query = """
        SELECT 'a' AS customer_id, TIMESTAMP '2026-01-01' AS occurred_at, unnest(
            ['purchase', 'cancellation', 'complaint_resolved', 'cart_abandoned', 'survey']
        ) AS kind, CASE kind WHEN 'purchase' THEN 5.0 END AS amount, NULL::DOUBLE AS discount,
        CASE kind WHEN 'survey' THEN 'c' END AS category"""
    assert shop.ingest(query).feeds == {
        Feed.ORDERS, Feed.RETURNS, Feed.COMPLAINTS, Feed.VISITS, Feed.FEEDBACK, Feed.CHEQUES,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "SELECT 1 AS customer_id, now() AS occurred_at",
            "gives no column 'kind' (it gives customer_id, occurred_at); "
            "add what happened, such as `'purchase' AS kind`",
        ),
        (
            "SELECT 1 AS CustomerID, now() AS occurred_at, 'visit' AS kind",
            "gives no column 'customer_id' (it gives CustomerID, occurred_at, kind); "
            "did you mean `CustomerID AS customer_id`?",
        ),
        ("SELECT a,\n b\nFROM (VALUES (1)) t(a)", 'line 2: Binder Error: Referenced column "b"'),
        ("SELECT v * w FROM (VALUES ('a', 2)) t(v, w)", "explicit type casts"),
        ("SELECT a,,b", "line 1: Parser Error: syntax error at or near"),
        ("SELECT * FROM 'gone.csv'", 'No files found that match the pattern "gone.csv"'),
        ("SELECT * FROM gone", "line 1: Catalog Error: Table with name"),
        ("CREATE TABLE t(a INT)", "must be one SELECT statement"),
        ("SELECT 1; SELECT 2", "must be one SELECT statement"),
        ("-- nothing", "must be one SELECT statement"),
        (
            "SELECT 1 AS customer_id, 20260101 AS occurred_at, 'visit' AS kind",
            "column 'occurred_at' is of type INTEGER; make it a time, such as to_timestamp(",
        ),
        (
            "SELECT [1] AS customer_id, now() AS occurred_at, 'visit' AS kind",
            "column 'customer_id' is of type INTEGER[]; give one text or number",
        ),
        (
            "SELECT 1 AS customer_id, now() AS occurred_at, 'visit' AS kind, TRUE AS amount",
            "column 'amount' is of type BOOLEAN; cast it, such as amount::DOUBLE",
        ),
    ],
)
def test_a_query_that_cannot_be_mapped_says_why_in_one_line(
    shop: Shop, query: str, message: str
) -> None:
    with pytest.raises(MappingError, match=re.escape(message)) as caught:
        shop.ingest(query)
    assert str(caught.value).startswith(f"{shop.folder / 'keepwell.toml'}: [events] query")
    assert "\n" not in str(caught.value)
    assert "Candidate functions" not in str(caught.value)


def test_a_query_that_fails_while_it_runs_names_its_line_and_not_the_value(shop: Shop) -> None:
    shop.write("log.csv", "id\n" + "1\n" * 5000 + "secret\n")
    query = (
        "SELECT id AS customer_id,\n       CAST(id AS INT) AS quantity, now() AS occurred_at,\n"
        "       'visit' AS kind\nFROM read_csv('log.csv', all_varchar = true)"
    )
    with pytest.raises(MappingError, match=r"line 2: Conversion Error: .*; use TRY_CAST") as caught:
        shop.ingest(query)
    assert "secret" not in str(caught.value)


def test_a_broken_line_of_a_file_is_named_by_its_number_and_not_its_content(shop: Shop) -> None:
    shop.write("log.csv", "a,secret\n")
    query = (
        "SELECT a AS customer_id, now() AS occurred_at, 'visit' AS kind FROM read_csv('log.csv', "
        "columns = {'a': 'INT', 'b': 'INT'}, auto_detect = false, header = false)"
    )
    with pytest.raises(MappingError, match="CSV Error on Line: 1") as caught:
        shop.ingest(query)
    assert "secret" not in str(caught.value)


def test_a_time_zone_that_only_this_machine_knows_is_refused(shop: Shop) -> None:
    with pytest.raises(ConfigError, match=r"\[events\] timezone .*'localtime'"):
        shop.ingest(values(GOOD), timezone="localtime")


def test_what_an_earlier_run_left_is_replaced(shop: Shop) -> None:
    with pytest.raises(DataError):
        shop.ingest(values("'a', DATE '2026-01-01', 'visit', NULL", GOOD.replace("5", "-5")))
    assert shop.ingest(values(GOOD)).usability.accepted == 1


def test_an_empty_result_is_an_error(shop: Shop) -> None:
    with pytest.raises(DataError, match=r"\[events\] query gives no rows"):
        shop.ingest(f"{values(GOOD)} WHERE FALSE")


def test_a_log_without_a_usable_row_says_what_is_wrong_with_most(shop: Shop) -> None:
    rows = ["'a', '01.02.2026', 'purchase', 5"] * 3 + ["NULL, '2026-01-01', 'purchase', 5"]
    with pytest.raises(DataError, match=r"none of the 4 rows .* 3 are occurred_at_unparseable; "):
        shop.ingest(values(*rows))


def test_a_log_with_unknown_kinds_only_names_the_nearest(shop: Shop) -> None:
    with pytest.raises(DataError, match="did you mean 'purchase'"):
        shop.ingest(values("'a', DATE '2026-01-01', 'purchases', 5"))


def test_a_log_without_purchases_is_an_error(shop: Shop) -> None:
    with pytest.raises(DataError, match="1 events but no usable purchase"):
        shop.ingest(values("'a', DATE '2026-01-01', 'visit', NULL"))


def test_the_fingerprint_is_that_of_the_events_and_not_of_their_order(shop: Shop) -> None:
    rows = [f"'c{i}', TIMESTAMP '2026-01-0{i + 1}', 'purchase', {i + 1}.5" for i in range(5)]
    first = shop.ingest(values(*rows)).fingerprint
    assert shop.ingest(values(*reversed(rows))).fingerprint == first
    assert shop.ingest(values(*rows, rows[0])).fingerprint == first
    assert shop.ingest(values(*rows[1:])).fingerprint != first
    assert shop.ingest(values(*rows[1:], rows[0].replace("1.5", "1.6"))).fingerprint != first


def test_the_fingerprint_is_the_same_on_every_machine_and_in_every_release(shop: Shop) -> None:
    query = """
        SELECT 'c' || i AS customer_id, TIMESTAMP '2026-01-01' + to_days(i::INT) AS occurred_at,
               'purchase' AS kind, i + 0.5 AS amount, 'o' || (i // 2) AS order_id
        FROM range(10) AS t(i)"""
    assert shop.ingest(query, n_buckets=64).fingerprint == (
        "cd7ffbcb8f9b0970fac101db2c8bfaa4b2d9b541a6e4cc22290c1729cbf717ff"
    )


def test_a_bucket_without_customers_is_an_empty_log(shop: Shop) -> None:
    ingested = shop.ingest(values(GOOD), n_buckets=64)
    empty = ingested.bucket((bucket_of("good") + 1) % 64)
    assert isinstance(empty, EventLog)
    assert (empty.n_customers, empty.n_events, empty.offsets.tolist()) == (0, 0, [0])


def test_arrays_have_the_types_that_the_kernel_is_compiled_for(shop: Shop) -> None:
    log = shop.ingest(values(GOOD), n_buckets=1).bucket(0)
    assert log.customer_ids.dtype == object
    assert {log.offsets.dtype, log.time.dtype, log.known_at.dtype} == {np.dtype(np.int64)}
    assert log.kind.dtype == np.int8
    assert {log.order.dtype, log.case.dtype, log.category.dtype} == {np.dtype(np.int64)}
    numbers: Sequence[np.ndarray[Any, Any]] = (log.amount, log.value, log.quantity, log.discount)
    assert {array.dtype for array in numbers} == {np.dtype(np.float64)}
    assert all(array.flags.writeable and array.flags.c_contiguous for array in numbers)


def example(name: str, folder: Path) -> Path:
    """Put an example's configuration where a user would, and its data beside it."""
    source = Path(__file__).parents[2] / "examples" / name / "keepwell.toml"
    shutil.copy(source, folder)
    return folder / "keepwell.toml"


def test_the_cdnow_example_reads_the_text_file_as_published(tmp_path: Path) -> None:
    (tmp_path / "CDNOW_master.txt").write_bytes(
        b" customer_id  date number_of_cds  dollar_value\r\n"
        b" 00001 19970101  1   11.77\r\n"
        b" 00002 19970112  1   12.00\r\n 00002 19970112  5   77.00\r\n"
        b" 23570 19970326  2    0.00"
    )
    ingested = ingest(load(example("cdnow", tmp_path)), tmp_path / "work", now_us=NOW)
    assert rows_of(ingested) == [
        ("00001", us("1997-01-01"), 0, 11.77),
        ("00002", us("1997-01-12"), 0, 12.0),
        ("00002", us("1997-01-12"), 0, 77.0),
    ]
    assert ingested.usability.quarantined == {"amount_not_positive": 1}
    assert ingested.complete_until == us("1998-07-01")


def test_the_online_retail_example_maps_sales_cancellations_and_corrections(
    tmp_path: Path,
) -> None:
    moment = datetime(2011, 7, 1, 12)
    lines = [
        ("536365", "85123A", 6, 2.55, 17850.0),
        ("536365", "85123A", 6, 2.55, 17850.0),
        ("536365", "71053", 6, 2.55, 17850.0),
        ("C536366", "85123A", -2, 2.55, 17850.0),
        ("536367", "85123A", 1, 0.0, 17850.0),
        ("536368", "85123A", -1, 0.0, None),
    ]
    invoice, stock, quantity, price, customer = zip(*lines, strict=True)
    table = {
        "InvoiceNo": invoice,
        "StockCode": stock,
        "Quantity": quantity,
        "InvoiceDate": [moment] * len(lines),
        "UnitPrice": price,
        "CustomerID": customer,
    }
    pq.write_table(pa.table(table), tmp_path / "online_retail.parquet")
    ingested = ingest(load(example("online_retail", tmp_path)), tmp_path / "work", now_us=NOW)
    rows = rows_of(ingested)
    assert [row[0] for row in rows] == ["17850"] * 3
    assert [row[2] for row in rows] == [0, 0, 1]
    assert [row[3] for row in rows] == pytest.approx([15.3, 15.3, 5.1])
    assert ingested.usability.quarantined == {
        "amount_not_positive": 1, "customer_id_missing": 1, "duplicate": 1,
    }  # fmt: skip
    assert Feed.CATEGORIES in ingested.feeds


@pytest.mark.skipif("KEEPWELL_EVAL_DATA" not in os.environ, reason="KEEPWELL_EVAL_DATA is not set")
def test_the_defects_of_online_retail_are_counted(tmp_path: Path) -> None:
    config = example("online_retail", tmp_path)
    source = Path(os.environ["KEEPWELL_EVAL_DATA"]) / "online_retail.parquet"
    (tmp_path / "online_retail.parquet").symlink_to(source)
    usability = ingest(load(config), tmp_path / "work", now_us=NOW).usability
    assert usability.rows == 541_909
    # Of 5,268 repeated lines of the file 5,225 have a customer; two more differ only in their
    # description, which is not mapped.
    assert usability.quarantined == {
        "customer_id_missing": 135_080, "duplicate": 5_227, "amount_not_positive": 40,
    }  # fmt: skip


@pytest.mark.skipif("KEEPWELL_EVAL_DATA" not in os.environ, reason="KEEPWELL_EVAL_DATA is not set")
def test_the_defects_of_cdnow_are_counted(tmp_path: Path) -> None:
    source = Path(os.environ["KEEPWELL_EVAL_DATA"]) / "cdnow.parquet"
    (tmp_path / "cdnow.parquet").symlink_to(source)
    query = (
        "SELECT customer_id, date AS occurred_at, 'purchase' AS kind, "
        "number_of_cds AS quantity, dollar_value AS amount FROM 'cdnow.parquet'"
    )
    usability = Shop(tmp_path, tmp_path / "work").ingest(query).usability
    assert usability.rows == 69_659
    assert usability.quarantined == {"duplicate": 255, "amount_not_positive": 80}


def test_a_quarantine_that_cannot_be_kept_is_told_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("customer_id,occurred_at\na,2026-01-05\na,2026-02-30\n")
    query = "SELECT *, 'purchase' AS kind FROM read_csv('log.csv', all_varchar = true)"
    config = from_mapping({"events": {"query": query}}, tmp_path / "keepwell.toml")
    ingested = ingest(config, tmp_path / "work", now_us=NOW)
    nowhere = tmp_path / "no such folder"
    with pytest.raises(DataError, match="1 rejected rows cannot be kept"):
        ingested.keep_quarantine(nowhere / "quarantine.parquet")
    assert "cannot be kept" in str(ingested.quarantine_note(nowhere))
    assert "each with its reason" in str(ingested.quarantine_note(tmp_path))
    assert (tmp_path / "quarantine.parquet").exists()
