import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.columns import UNSEEN, Column
from churn.errors import ConfigError, DataError, MappingError
from churn.events import MICROSECONDS_PER_DAY as DAY
from training.buckets import bucket_of
from training.config import Problem, from_mapping, parse
from training.ingest import Ingested, ingest
from training.snapshots import collect

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()) * 10**6
EVENTS = """SELECT * FROM (VALUES
  ('a', TIMESTAMP '2026-01-01', 'purchase', 5), ('a', TIMESTAMP '2026-02-20', 'purchase', 5),
  ('b', TIMESTAMP '2026-01-15', 'purchase', 5), ('17850', TIMESTAMP '2026-01-16', 'purchase', 5)
) AS t(customer_id, occurred_at, kind, amount)"""
BUCKETS = 3


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**6


@dataclass
class Shop:
    folder: Path
    work: Path

    def ingest(
        self, query: str, now_us: int = NOW, timezone: str = "UTC", **columns: Any
    ) -> Ingested:
        table = {
            "events": {"query": EVENTS, "timezone": timezone},
            "features": {"query": query, "columns": columns},
        }
        config = from_mapping(table, self.folder / "keepwell.toml")
        return ingest(config, self.work, now_us=now_us, n_buckets=BUCKETS)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    folder = tmp_path / "it's a \"shop\", isn't it"
    folder.mkdir()
    return Shop(folder, tmp_path / "work [here], it's free*")


def values(*rows: str, names: str = "customer_id, known_at, plan, calls") -> str:
    lines = ", ".join(f"({row})" for row in rows)
    return f"SELECT * FROM (VALUES {lines}) AS t({names})"


GOOD = "'a', TIMESTAMP '2026-02-01', 'gold', 2"


def seen(ingested: Ingested, customer: str, as_of: int) -> list[Any]:
    """What is known of a customer as of an instant, decoded."""
    assert ingested.own is not None
    k = bucket_of(customer, BUCKETS)
    ids = ingested.bucket(k).customer_ids
    at = np.array([ids.tolist().index(customer)])
    (row,) = ingested.own.joined(k, ids, at, np.array([as_of]))
    return [column.decode(n) for column, n in zip(ingested.own.columns, row, strict=True)]


def columns_of(ingested: Ingested) -> dict[str, Column]:
    assert ingested.own is not None
    return {column.name: column for column in ingested.own.columns}


def test_the_latest_row_known_strictly_before_is_joined(shop: Shop) -> None:
    ingested = shop.ingest(
        values(
            "'a', TIMESTAMP '2026-02-01', 'gold', 2",
            "'a', TIMESTAMP '2026-03-01', 'basic', NULL",
            "'b', TIMESTAMP '2026-02-15', NULL, 7.5",
        )
    )
    first, second = us("2026-02-01"), us("2026-03-01")
    assert seen(ingested, "a", first) == [None, None]  # strictly: known at that instant is later
    assert seen(ingested, "a", first + 1) == ["gold", 2.0]
    assert seen(ingested, "a", second) == ["gold", 2.0]
    assert seen(ingested, "a", second + 1) == ["basic", None]  # the row counts whole
    assert seen(ingested, "b", NOW) == [None, 7.5]
    assert seen(ingested, "17850", NOW) == [None, None]


def test_snapshots_have_the_columns_after_the_loops(shop: Shop) -> None:
    ingested = shop.ingest(values(GOOD, "'b', TIMESTAMP '2026-01-20', 'basic', 3"))
    rows = collect(ingested, [us("2026-01-25"), us("2026-03-01")], Problem())
    assert [column.name for column in rows.columns] == ["plan", "calls"]
    found = {
        (customer, int(as_of)): [
            column.decode(n) for column, n in zip(rows.columns, row, strict=True)
        ]
        for customer, as_of, row in zip(rows.customer_id, rows.as_of, rows.X[:, -2:], strict=True)
    }
    assert found == {
        ("a", us("2026-01-25")): [None, None],
        ("b", us("2026-01-25")): ["basic", 3.0],
        ("17850", us("2026-01-25")): [None, None],
        ("a", us("2026-03-01")): ["gold", 2.0],
        ("b", us("2026-03-01")): ["basic", 3.0],
        ("17850", us("2026-03-01")): [None, None],
    }


ROWS = st.tuples(
    st.sampled_from(["a", "b", "17850", "nobody"]),
    st.integers(0, 40),
    st.sampled_from(["gold", "basic", None]),
    st.none() | st.integers(-3, 3),
)


def latest(rows: list[Any], customer: str, as_of: int) -> list[Any]:
    """The same join, said in plain words."""
    known = [row for row in rows if row[0] == customer and START_US + row[1] * DAY < as_of]
    if not known:
        return [None, None]
    last = max(row[1] for row in known)
    at_once = [row for row in known if row[1] == last]
    best = max(at_once, key=lambda row: (row[2] or "", -np.inf if row[3] is None else row[3]))
    return [best[2], None if best[3] is None else float(best[3])]


START_US = us("2026-01-01")


@settings(max_examples=15)
@given(st.lists(ROWS, min_size=1, max_size=12), st.randoms())
def test_later_rows_and_the_order_of_rows_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], random: Any
) -> None:
    rows = [("a", 0, "gold", 1), *rows]  # so that each column has a value
    shop = Shop(tmp_path_factory.mktemp("shop"), tmp_path_factory.mktemp("work"))
    found = []
    for _ in range(2):
        table = {
            "customer_id": [row[0] for row in rows],
            "known_at": [(START + timedelta(days=row[1])).replace(tzinfo=None) for row in rows],
            "plan": pa.array([row[2] for row in rows], pa.string()),
            "calls": pa.array([row[3] for row in rows], pa.int32()),
        }
        pq.write_table(pa.table(table), shop.folder / "plans.parquet")
        ingested = shop.ingest("SELECT * FROM 'plans.parquet'")
        found.append(ingested.fingerprint)
        for day in (0, 1, 20, 41):
            as_of = START_US + day * DAY
            for customer in ("a", "b", "17850"):
                assert seen(ingested, customer, as_of) == latest(rows, customer, as_of)
        random.shuffle(rows)
    assert found[0] == found[1]


def test_what_becomes_known_later_changes_no_snapshot_before(shop: Shop) -> None:
    early = values(GOOD)
    late = values(
        GOOD, "'a', TIMESTAMP '2026-06-01', 'trial', 9", "'b', TIMESTAMP '2026-06-01', 'aaa', 1"
    )
    as_ofs = [us("2026-02-10"), us("2026-06-01")]
    found = []
    for query in (early, late):
        rows = collect(shop.ingest(query), as_ofs, Problem())
        plan = rows.columns[0]
        found.append([plan.decode(code) for code in rows.X[:, -2]])
    assert found[0] == found[1]


def test_numbers_as_ids_are_the_events_ids(shop: Shop) -> None:
    ingested = shop.ingest(values("17850.0::DOUBLE, TIMESTAMP '2026-02-01', 'gold', 1"))
    assert seen(ingested, "17850", NOW) == ["gold", 1.0]


def test_times_without_a_zone_are_in_that_of_the_log(shop: Shop) -> None:
    ingested = shop.ingest(values(GOOD), timezone="Asia/Tokyo")
    assert seen(ingested, "a", us("2026-01-31T15:00:00")) == [None, None]
    assert seen(ingested, "a", us("2026-01-31T15:00:00") + 1) == ["gold", 2.0]


@pytest.mark.parametrize(
    ("value", "kind", "decoded"),
    [
        ("TRUE", "categorical", "true"),
        ("'x'::ENUM('x', 'y')", "categorical", "x"),
        ("2::TINYINT", "numeric", 2.0),
        ("2.5::DECIMAL(4, 1)", "numeric", 2.5),
        ("'2.5'", "categorical", "2.5"),
    ],
)
def test_the_kind_follows_from_the_type(
    shop: Shop, value: str, kind: str, decoded: float | str
) -> None:
    query = f"SELECT 'a' AS customer_id, DATE '2026-02-01' AS known_at, {value} AS x"
    ingested = shop.ingest(query)
    assert columns_of(ingested)["x"].kind == kind
    assert seen(ingested, "a", NOW) == [decoded]


@pytest.mark.parametrize(
    ("value", "kind", "decoded"),
    [("2.0::DOUBLE", "categorical", "2"), ("'2.5'", "numeric", 2.5), ("TRUE", "numeric", 1.0)],
)
def test_the_declared_kind_comes_first(
    shop: Shop, value: str, kind: str, decoded: float | str
) -> None:
    query = f"SELECT 'a' AS customer_id, DATE '2026-02-01' AS known_at, {value} AS x"
    ingested = shop.ingest(query, x={"kind": kind})
    assert columns_of(ingested)["x"].kind == kind
    assert seen(ingested, "a", NOW) == [decoded]


def test_what_is_not_declared_follows_from_the_name(shop: Shop) -> None:
    plan = columns_of(shop.ingest(values(GOOD)))["plan"]
    assert (plan.family, plan.unit, plan.direction, plan.text) == ("plan", "category", 0, None)
    assert plan.label == {"en": "plan", "ru": "plan"}


def test_what_is_declared_is_said(shop: Shop) -> None:
    declared = {
        "family": "complaints",
        "unit": "calls",
        "direction": 1,
        "controllable": False,
        "label": {"en": "calls", "ru": "звонки"},
        "text": {"en": "{value} calls", "ru": "звонков {value}"},
    }
    calls = columns_of(shop.ingest(values(GOOD), CALLS=declared))["calls"]
    assert (calls.family, calls.unit, calls.direction) == ("complaints", "calls", 1)
    assert not calls.controllable
    assert calls.label == declared["label"]
    assert calls.text == declared["text"]


def test_categories_are_coded_by_name_whatever_their_bucket(shop: Shop) -> None:
    ingested = shop.ingest(
        values(GOOD, "'b', DATE '2026-02-01', 'basic', 1", "'nobody', DATE '2026-02-01', 'z', 1")
    )
    plan = columns_of(ingested)["plan"]
    assert plan.categories == ("basic", "gold", "z")
    assert plan.codes == (1, 2, 3)


def test_rows_that_cannot_be_used_are_kept_with_the_reason(shop: Shop, tmp_path: Path) -> None:
    ingested = shop.ingest(
        values(
            "'a', '2026-02-01', 'gold', '2'",
            "NULL, '2026-02-01', 'gold', '2'",
            "'a', NULL, 'gold', '2'",
            "'a', 'soon', 'gold', '2'",
            "'a', '1900-01-01', 'gold', '2'",
            "'a', '2027-01-01', 'gold', '2'",
            "'a', '2026-02-01', 'gold', 'many'",
            "'a', '2026-02-01', 'gold', 'inf'",
            "'a', '2026-02-01', 'gold', '1e300'",
            "'a', '2026-02-01', repeat('x', 129), '2'",
        ),
        calls={"kind": "numeric"},
    )
    expected = {
        "customer_id_missing", "known_at_missing", "known_at_unparseable", "known_before_1970",
        "known_in_the_future", "calls_unparseable", "calls_not_finite", "calls_too_large",
        "plan_too_long",
    }  # fmt: skip
    assert ingested.own is not None
    report = ingested.own.report
    assert set(report.quarantined) == expected == set(report.to_dict()["advice"])
    assert (report.rows, report.accepted, report.rejected) == (10, 1, 9)
    target = ingested.keep_own_quarantine(tmp_path / "quarantine.parquet")
    assert target == tmp_path / "quarantine_features.parquet"
    kept = pq.read_table(target).to_pylist()
    assert {row["reason"] for row in kept} == expected
    assert any('"calls":"many"' in row["row"] for row in kept)
    assert "quarantine_features.parquet" in (ingested.quarantine_note(tmp_path) or "")
    assert ingested.rejected == 0
    assert columns_of(ingested)["plan"].categories == ("gold",)  # rejected rows teach no category


def test_the_report_tells_rows_customers_and_coverage(shop: Shop) -> None:
    ingested = shop.ingest(
        values(
            GOOD,
            "'a', TIMESTAMP '2026-02-01', 'gold', 1",
            "'a', TIMESTAMP '2026-02-01', 'gold', 1",
            "'nobody', TIMESTAMP '2026-02-01', NULL, 1",
        )
    )
    text = "\n".join(ingested.lines())
    assert "[features] 4 rows: 4 usable of 2 customers, 0 quarantined" in text
    assert "1 of the log's 3 customers (33%) have a row" in text
    assert "plan: 1 category, known in 75% of the rows" in text
    assert "calls: a number, known in 100% of the rows" in text
    assert "note: 1 times a customer has different [features] rows of one known_at" in text


NO_ROW = "SELECT 'a' AS customer_id, DATE '2026-02-01' AS known_at, 1 AS x"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT 1 AS known_at, 2 AS x", "gives no column 'customer_id'"),
        ("SELECT 1 AS customer, DATE '2026-01-01' AS known_at, 2 AS x", "did you mean `customer"),
        ("SELECT 'a' AS customer_id, 2 AS x", "add when the row was known, such as `changed_at"),
        (NO_ROW.replace("DATE '2026-02-01'", "[1]"), "column 'known_at' is of type INTEGER[]"),
        (NO_ROW.replace(", 1 AS x", ""), "add columns of your own"),
        (NO_ROW + ", 2 AS X", "gives column 'x' twice"),
        (NO_ROW + ', 2 AS "my plan"', "column 'my plan' needs a name"),
        (NO_ROW + ", 2 AS тариф", "column 'тариф' needs a name"),
        (NO_ROW + ", 2 AS tenure_days", "write `tenure_days AS own_tenure_days`"),
        (NO_ROW + ", 2 AS silence_over_shrunk_gap_rank", "has the name of a feature"),
        (NO_ROW + ", 2 AS x_rank", "rename one of the columns"),
        (NO_ROW + ", DATE '2026-02-01' AS y", "such as date_diff('day', y, known_at)"),
        (NO_ROW + ", [1] AS y", "column 'y' is of type INTEGER[], neither a number nor a category"),
        ("SELECT nothing", "[features] query, line 1"),
        ("DELETE FROM t", "[features] query must be one SELECT statement"),
        (NO_ROW + ", CAST(concat('x', customer_id) AS DOUBLE) AS y", "use TRY_CAST"),
    ],
)
def test_a_query_that_cannot_be_used_says_why(shop: Shop, query: str, message: str) -> None:
    with pytest.raises(MappingError, match=re.escape(message)) as caught:
        shop.ingest(query)
    assert "[features] query" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (NO_ROW + " WHERE FALSE", "gives no usable row (0 rows)"),
        (NO_ROW.replace("'a'", "NULL"), "gives no usable row (1 rows); most often: customer_id_m"),
        (NO_ROW + ", NULL AS y", "column 'y' has no value in any usable row"),
        (NO_ROW + ", ' ' AS y", "column 'y' has no value in any usable row"),
        (NO_ROW.replace("'a'", "'somebody'"), "no row of any customer of the event log"),
        (
            "SELECT 'a' AS customer_id, DATE '2026-02-01' AS known_at, 'c' || i AS x"
            " FROM range(1001) AS t(i)",
            "column 'x' has more than 1,000 categories",
        ),
    ],
)
def test_rows_that_tell_nothing_are_refused(shop: Shop, query: str, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        shop.ingest(query)


def test_a_declared_column_must_be_given(shop: Shop) -> None:
    with pytest.raises(MappingError, match=r"\[features.columns.plans\] declares .*mean 'plan'"):
        shop.ingest(values(GOOD), plans={"unit": "tier"})


def test_a_sentence_for_numbers_does_not_fit_categories(shop: Shop) -> None:
    text = {"en": "{value:days}", "ru": "{value:days}"}
    with pytest.raises(MappingError, match=r"\[features.columns.plan\]: .*formats only: none"):
        shop.ingest(values(GOOD), plan={"text": text})


def test_another_models_columns_are_found_by_name_and_category(shop: Shop) -> None:
    ingested = shop.ingest(values(GOOD, "'b', DATE '2026-02-01', 'basic', 1"))
    assert ingested.own is not None
    plan, calls = ingested.own.columns
    wanted = (
        calls.replaced(name="stars"),
        calls,
        plan.replaced(categories=("gold", "old"), codes=(3, 7)),
    )
    joined = np.array([[2.0, 5.0], [1.0, np.nan], [np.nan, np.nan]])
    found = ingested.own.recoded(joined, wanted)
    nan = np.nan
    expected = [[nan, 5.0, 3.0], [nan, nan, UNSEEN], [nan, nan, nan]]
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(DataError, match='declare kind = "categorical"'):
        ingested.own.recoded(joined, (plan.replaced(name="calls"),))


QUERY = "[events]\nquery = \"SELECT * FROM 'log.parquet'\"\n"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("[features.columns.plan]\nunit = 'tier'", "line 3: [features] declares columns but has"),
        ("[features]\nquery = ' '", "[features] query must be a SELECT statement, but it is empty"),
        (
            "[features]\nquery = 'x'\n[features.columns.plan]\ndirektion = 1",
            "line 6: unknown key [features.columns.plan] direktion; did you mean 'direction'?",
        ),
        (
            "[features]\nquery = 'x'\n[features.columns.plan]\ndirection = 2",
            "line 6: [features.columns.plan] direction must be at most 1, not 2",
        ),
        (
            "[features]\nquery = 'x'\n[features.columns.plan]\nkind = 'ordinal'",
            "kind must be 'numeric' or 'categorical', not 'ordinal'",
        ),
        (
            "[features]\nquery = 'x'\n[features.columns.plan]\nlabel = {en = 'plan'}",
            "line 6: [features.columns.plan.label] ru is missing",
        ),
        (
            "[features]\nquery = 'x'\n[features.columns.plan]\nfamily = 'my plan'",
            "family must be a name of letters, digits and underscores, not 'my plan'",
        ),
        (
            "[features]\nquery = 'x'\n[features.columns.plan]\nfamily = 'long_silence'",
            "'long_silence' is the code of a built-in reason",
        ),
        (
            "[features]\nquery = 'x'\n[features.columns.plan]\ntext = {en = '{plan}', ru = 'x'}",
            "[features.columns] plan {plan} is not known; a text may hold {value} and {norm}",
        ),
        (
            "[features]\nquery = 'x'\ncolumns = {plan = {controllable = 1}}",
            "[features.columns.plan] controllable must be true or false, not 1",
        ),
    ],
)
def test_a_wrong_declaration_is_named_with_what_is_allowed(lines: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        parse(QUERY + lines + "\n", Path("/shop/keepwell.toml"))
    assert "\n" not in str(caught.value)
