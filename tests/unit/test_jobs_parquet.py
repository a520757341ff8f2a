"""Lists as Parquet, and results as Parquet: the same answers as line by line."""

import datetime as dt
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churn.features import FEATURE_NAMES
from service import instants
from service.jobs.job import JobFailed, results_path
from service.jobs.parquet_out import SCHEMA
from service.models import Loaded
from service.responses import Score
from tests.contract.client import AS_OF, purchases
from tests.jobs import FakeStore, carried, job, ndjson, promoted, results, rows_of
from tests.own_columns import bundle_with_own_columns
from tests.policies import quiet


@pytest.fixture(scope="module")
def loaded(published: Path) -> Loaded:
    return promoted(published)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("own")
    bundle_with_own_columns(folder)
    return promoted(folder)


def parquet(table: Any, rows_of_group: int = 7) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=rows_of_group)
    return sink.getvalue()


def features(n: int = 30) -> dict[str, list[float | None]]:
    """Features of customers, some of them unknown, some customers quite so."""
    rng = np.random.default_rng(5)
    columns = {name: rng.gamma(2.0, 5.0, size=n).round(3) for name in FEATURE_NAMES}
    columns["days_since_last_purchase"] *= 12.0
    return {
        name: [None if rng.random() < 0.1 or at % 9 == 8 else float(x)
               for at, x in enumerate(column)]
        for name, column in columns.items()
    }  # fmt: skip


def table(n: int = 30, **more: Any) -> Any:
    columns = {name: pa.array(column, pa.float64()) for name, column in features(n).items()}
    return pa.table({"customer_id": [f"c-{at}" for at in range(n)]} | columns | more)


def lines(sent: Any) -> bytes:
    """The same customers as NDJSON."""
    rows = sent.to_pylist()
    return ndjson([{"customer_id": row.pop("customer_id"), "features": row} for row in rows])


def read(folder: Path, asked: Any) -> Any:
    return pq.read_table(results_path(folder, asked))


def test_columns_are_scored_as_lines_to_the_last_bit(loaded: Loaded, tmp_path: Path) -> None:
    sent = table()
    found = results(tmp_path / "p", parquet(sent), loaded, job("parquet"), chunk=11)
    assert found == results(tmp_path / "n", lines(sent), loaded)
    statuses = {row["status"] for row in rows_of(found)}
    assert statuses == {"scored", "lapsed", "insufficient_history"}


def test_so_are_categories_and_columns_of_the_users_own(own: Loaded, tmp_path: Path) -> None:
    plans = pa.array(["trial", None, "gold", "platinum", "basic"] * 6)
    calls = pa.array([Decimal("1.5"), None, Decimal(2)] * 10, pa.decimal128(6, 2))
    sent = table(plan=plans.dictionary_encode(), support_calls=calls)
    found = results(tmp_path / "p", parquet(sent), own, job("parquet"))
    plain = sent.set_column(
        sent.schema.get_field_index("support_calls"), "support_calls", calls.cast(pa.float64())
    )
    assert found == results(tmp_path / "n", lines(plain), own)
    assert any("categories not seen" in " ".join(row["warnings"]) for row in rows_of(found))


MIXED: list[Any] = [
    {"customer_id": "e", "events": purchases()},
    {"customer_id": "few", "events": purchases(), "max_reasons": 1, "feeds": ["orders"]},
    {"customer_id": "stored"},
    {"customer_id": "nobody", "as_of": "2026-01-01T00:00:00Z"},
    {"customer_id": "wrong", "features": {"purchases_30d": -1}},
    b"{",
    {"customer_id": "f", "features": {name: 3.5 for name in FEATURE_NAMES}},
    {"customer_id": "lapsed", "as_of": "2027-11-21T00:00:00Z", "events": purchases()},
]


def as_told(row: dict[str, Any]) -> dict[str, Any]:
    """A row of Parquet results as a line has it."""
    if row["error"] is not None:
        return {name: row[name] for name in ("customer_id", "status", "error")}
    row.pop("error")
    row["as_of"] = row["as_of"].isoformat().replace("+00:00", "Z")
    if row["action"] and row["action"]["act_by"]:
        row["action"]["act_by"] = row["action"]["act_by"].isoformat()
    row["next_purchase"] = row["next_purchase"] and {
        name: day and day.isoformat() for name, day in row["next_purchase"].items()
    }
    for reason in row["reasons"]:
        for name, category in (("value", "category"), ("norm", "usual_category")):
            text = reason.pop(category)
            reason[name] = reason[name] if text is None else text
    return row


def test_parquet_results_tell_what_lines_do(loaded: Loaded, tmp_path: Path) -> None:
    asked = job(results_format="parquet")
    store = FakeStore({"stored": purchases(3)})
    finished = carried(tmp_path / "p", ndjson(MIXED), loaded, asked, store=store, chunk=3)
    out = read(tmp_path / "p", asked)
    assert out.schema.names == SCHEMA.names
    found = [as_told(row) for row in out.to_pylist()]
    expected = rows_of(results(tmp_path / "n", ndjson(MIXED), loaded, store=store))
    for row in expected:
        row.pop("index", None)
    assert found == expected
    assert finished is not None
    assert finished.by_status == {
        "scored": 4, "unknown_customer": 1, "error": 2, "lapsed": 1
    }  # fmt: skip
    groups = pq.ParquetFile(results_path(tmp_path / "p", asked))
    assert [groups.metadata.row_group(at).num_rows for at in range(3)] == [3, 3, 2]


def test_the_columns_of_results_are_the_fields_of_an_answer() -> None:
    assert set(SCHEMA.names) == set(Score.model_fields) - {"scored_at", "request_id"} | {"error"}


@pytest.mark.parametrize(
    "kind",
    [pa.timestamp("s", "Europe/Berlin"), pa.timestamp("ms"), pa.timestamp("us", "UTC"),
     pa.timestamp("ns"), pa.string()],
)  # fmt: skip
def test_events_are_lists_of_structs(loaded: Loaded, tmp_path: Path, kind: Any) -> None:
    histories = [purchases(5), None, [], purchases(2), purchases(1, amount=None)]
    texts = pa.array(
        [events and [event | {"quantity": 2} for event in events] for events in histories]
    )
    assert pa.types.is_list(texts.type)
    structs = texts.flatten()
    moments = structs.field("occurred_at")
    if not pa.types.is_string(kind):
        at = [instants.parse(text) for text in moments.to_pylist()]
        moments = pa.array(at, pa.timestamp("us", "UTC")).cast(pa.timestamp(kind.unit, "UTC"))
        # Naive is read as UTC.
        moments = moments.cast(kind) if kind.tz else moments.cast(pa.int64()).cast(kind)
    parts = {name: structs.field(name) for name in ("kind", "order_id", "quantity", "amount")}
    events = pa.ListArray.from_arrays(
        texts.offsets, pa.StructArray.from_arrays([moments, *parts.values()],
                                                  names=["occurred_at", *parts]),
        mask=texts.is_null(),
    )  # fmt: skip
    ids = pa.array([10, 20, 30, 40, 50])
    store = FakeStore({"20": purchases(4)})
    sent = pa.table({"customer_id": ids, "events": events})
    asked = job("parquet")
    found = results(tmp_path / "p", parquet(sent, 2), loaded, asked, store=store, chunk=3)
    expected = [
        {"customer_id": str(number)}
        | ({} if history is None else {"events": [one | {"quantity": 2} for one in history]})
        for number, history in zip(ids.to_pylist(), histories, strict=True)
    ]
    assert found == results(tmp_path / "n", ndjson(expected), loaded, store=store)
    assert [row["status"] for row in rows_of(found)].count("scored") == 4


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([17850.0, 1.5, None, 2.0**60, -0.5]),
        pa.array([Decimal("17850.00"), Decimal("1.50"), None, Decimal(2**60), Decimal("-0.50")],
                 pa.decimal128(30, 2)),
    ],
)  # fmt: skip
def test_numbers_that_are_whole_are_identifiers(loaded: Loaded, tmp_path: Path, ids: Any) -> None:
    store = FakeStore({"17850": purchases()})
    sent = parquet(pa.table({"customer_id": ids}))
    found = rows_of(results(tmp_path / "j", sent, loaded, job("parquet"), store=store))
    assert [row["status"] for row in found] == ["scored", *["error"] * 4]
    assert {row["error"]["errors"][0]["code"] for row in found[1:]} == {"not_a_string"}


def test_whole_numbers_of_any_width_are_identifiers(loaded: Loaded, tmp_path: Path) -> None:
    store = FakeStore({"7": purchases()})
    for kind in (pa.int8(), pa.uint64(), pa.string_view(), pa.large_string()):
        ids = pa.array([7, 8]).cast(pa.string() if "string" in str(kind) else kind).cast(kind)
        sent = parquet(pa.table({"customer_id": ids}))
        folder = tmp_path / str(kind)
        found = rows_of(results(folder, sent, loaded, job("parquet"), store=store))
        assert [row["status"] for row in found] == ["scored", "unknown_customer"], kind


def test_a_wrong_value_is_the_fault_of_its_row(loaded: Loaded, tmp_path: Path) -> None:
    sent = pa.table({
        "customer_id": ["a", None, "c", "", "e", "f\n", "g"],
        "purchases_30d": [1.0, 1.0, np.nan, 1.0, -1.0, 1.0, 1e16],
        "as_of": pa.array([0, 0, 0, 0, 0, 0, 0], pa.timestamp("us")),
    })  # fmt: skip
    found = rows_of(results(tmp_path / "j", parquet(sent), loaded, job("parquet")))
    codes = [row["error"]["errors"][0]["code"] if "error" in row else None for row in found]
    assert codes == [None, "not_a_string", "not_finite", "empty", "too_small",
                     "control_character", "too_big"]  # fmt: skip


def test_each_row_may_have_its_own_as_of(loaded: Loaded, tmp_path: Path) -> None:
    days = [dt.date(2026, 11, 1), None, dt.date(1800, 1, 1), dt.date(2026, 11, 20)]
    store = FakeStore({"a": purchases()})
    sent = pa.table({"customer_id": ["a"] * 4, "as_of": pa.array(days)})
    found = rows_of(results(tmp_path / "j", parquet(sent), loaded, job("parquet"), store=store))
    assert [row.get("as_of") for row in found] == [
        "2026-11-01T00:00:00Z", AS_OF, None, "2026-11-20T00:00:00Z"
    ]  # fmt: skip
    assert found[2]["error"]["errors"] == [{"pointer": "/as_of", "code": "out_of_range"}]
    full = table(4).append_column("as_of", pa.array(days))
    found = rows_of(results(tmp_path / "k", parquet(full), loaded, job("parquet")))
    assert ["error" in row for row in found] == [False, False, True, False]


WRONG: list[tuple[Any, str]] = [
    (pa.table({"purchases_30d": [1.0]}), "no column `customer_id`"),
    (pa.table({"customer_id": [True]}), "column `customer_id` of the input must hold strings"),
    (pa.table({"customer_id": ["a"], "purchase_30d": [1]}), "did you mean `purchases_30d`"),
    (pa.table({"customer_id": ["a"], "purchases_30d": ["1"]}), "must hold numbers"),
    (pa.table({"customer_id": ["a"], "as_of": [1]}), "must hold timestamps"),
    (pa.table({"customer_id": ["a"], "events": ["[]"]}), "lists of structs"),
    (pa.table({"customer_id": ["a"], "events": [[{"occured_at": "x"}]]}), "`occurred_at`"),
    (pa.table({"customer_id": ["a"], "events": [[{"amount": "x"}]]}), "field `amount`"),
    (pa.table([["a"], ["b"]], names=["customer_id"] * 2), "same name"),
]


@pytest.mark.parametrize(("sent", "sentence"), WRONG, ids=[row[1] for row in WRONG])
def test_a_column_that_cannot_be_fails_the_job_at_once(
    loaded: Loaded, tmp_path: Path, sent: Any, sentence: str
) -> None:
    with pytest.raises(JobFailed, match=sentence):
        carried(tmp_path / "j", parquet(sent), loaded, job("parquet"))


def test_what_is_not_whole_fails_the_job(loaded: Loaded, tmp_path: Path) -> None:
    whole = parquet(table(100))
    for at, end in enumerate((0, 3, 4, 100, len(whole) // 2, len(whole) - 1)):
        with pytest.raises(JobFailed, match="not a whole Parquet file"):
            carried(tmp_path / str(at), whole[:end], loaded, job("parquet"))
    torn = bytearray(whole)
    middle = len(whole) // 3
    torn[middle : middle + 4000] = b"\xff" * 4000
    with pytest.raises(JobFailed, match="damaged somewhere after row"):
        carried(tmp_path / "torn", bytes(torn), loaded, job("parquet"), chunk=10)


def test_no_rows_have_no_results(loaded: Loaded, tmp_path: Path) -> None:
    asked = job("parquet", "parquet")
    finished = carried(tmp_path / "j", parquet(table(1).slice(0, 0)), loaded, asked)
    assert finished is not None
    assert finished.rows == len(read(tmp_path / "j", asked)) == 0


@pytest.mark.parametrize("rows_of_group", [1, 4, 7, 100])
def test_taken_up_anywhere_the_bytes_are_the_same(
    loaded: Loaded, tmp_path: Path, rows_of_group: int
) -> None:
    asked = job("parquet", "parquet")
    content = parquet(table(), rows_of_group)
    whole = results(tmp_path / "whole", content, loaded, asked, chunk=4)
    tries, finished = 0, None
    left = [False] * 7
    while finished is None:
        finished = carried(
            tmp_path / "j", content, loaded, asked, chunk=4 + tries,
            keep_going=lambda _: left.pop() if left else True,
        )  # fmt: skip
        tries += 1
    assert tries == 8
    assert results_path(tmp_path / "j", asked).read_bytes() == whole
    assert (tmp_path / "j" / "parts").exists() is False
    again = carried(tmp_path / "j", b"", loaded, asked)
    assert again == finished


LATE = "2027-03-01T00:00:00Z"
ROWS: list[dict[str, Any]] = [
    {"customer_id": f"c-{at}", "as_of": LATE, "events": purchases(4 + at)} for at in range(6)
]


@pytest.fixture(scope="module")
def still(loaded: Loaded) -> Loaded:
    """The model with a policy that draws nothing."""
    return loaded.with_policy(quiet())


ALLOWED: list[list[str] | None] = [None, [], ["message"], ["app"], ["loyalty", "message"], None]


def test_every_form_of_a_list_may_say_which_channels_are_allowed(
    still: Loaded, tmp_path: Path
) -> None:
    troubles = ("open_complaints", "days_since_last_complaint", "returns_90d",
                "cancellations_90d", "rating_change")  # fmt: skip
    calm = dict.fromkeys(troubles, pa.nulls(30, pa.float64()))
    silent = {"days_since_last_purchase": 160.0, "purchases_30d": 0.0, "purchases_60d": 0.0,
              "purchases_90d": 0.0, "silence_over_own_gap": 9.0}  # fmt: skip
    risky = {name: pa.array([number] * 30) for name, number in silent.items()}
    sent = table(**calm, **risky, channels=pa.array(ALLOWED * 5, pa.list_(pa.string())))
    told = [
        {"customer_id": row.pop("customer_id"), "channels": row.pop("channels"), "features": row}
        for row in sent.to_pylist()
    ]
    by_line = results(tmp_path / "n", ndjson(told), still)
    assert results(tmp_path / "p", parquet(sent), still, job("parquet")) == by_line
    names = [name for name in sent.column_names if name not in ("customer_id", "channels")]
    header = ",".join(["customer_id", *names, "channels"])
    rows = [header]
    for row in sent.to_pylist():
        cells = ["" if row[name] is None else repr(row[name]) for name in names]
        allowed = row["channels"]
        # A cell that is empty says that nobody was asked; a channel of nothing allows none.
        cell = "" if allowed is None else "|".join(allowed) or "none"
        rows.append(",".join([row["customer_id"], *cells, cell]))
    by_sheet = results(tmp_path / "c", "\n".join(rows).encode(), still, job("csv"))
    assert by_sheet == by_line
    suggested = [row["action"] and row["action"]["channel"] for row in rows_of(by_line)]
    free = results(tmp_path / "f", lines(sent.drop_columns(["channels"])), still)
    assert suggested != [row["action"] and row["action"]["channel"] for row in rows_of(free)]


def test_a_wrong_channel_is_its_rows_error_and_a_wrong_column_the_lists(
    still: Loaded, tmp_path: Path
) -> None:
    wrong = table(3).append_column("channels", pa.array([["a"], [""], None], pa.list_(pa.string())))
    found = rows_of(results(tmp_path / "p", parquet(wrong), still, job("parquet")))
    assert [row["status"] == "error" for row in found] == [False, True, False]
    assert found[1]["error"]["errors"] == [{"pointer": "/channels/0", "code": "empty"}]
    assert found[0]["warnings"][-1].startswith("channels of no action")
    text = table(1).append_column("channels", pa.array(["message"]))
    with pytest.raises(JobFailed, match="`channels` of the input must hold lists of strings"):
        results(tmp_path / "t", parquet(text), still, job("parquet"))


def test_parquet_results_suggest_what_lines_do_to_those_contacted_and_asked(
    still: Loaded, tmp_path: Path
) -> None:
    contact = {"occurred_at": "2027-02-25T00:00:00Z", "kind": "contact"}
    rows: list[Any] = [
        *ROWS,
        {**ROWS[0], "events": [*purchases(4), contact]},
        {**ROWS[1], "channels": []},
        {**ROWS[1], "channels": ["pots"]},
        {"customer_id": "stored", "as_of": LATE},
    ]
    store = FakeStore({"stored": [*purchases(4), contact]})
    asked = job(results_format="parquet")
    carried(tmp_path / "p", ndjson(rows), still, asked, store=store)
    found = [as_told(row) for row in read(tmp_path / "p", asked).to_pylist()]
    expected = rows_of(results(tmp_path / "n", ndjson(rows), still, store=store))
    assert found == expected
    assert [row["action"]["code"] == "none" for row in found[6:]] == [True, True, True, True]
    assert any(row["action"]["code"] != "none" for row in found[:6])
