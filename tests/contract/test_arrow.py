"""Lists of customers as Arrow IPC streams of columns."""

import io
import json
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.features import FEATURE_NAMES
from service.arrow_output import SCHEMA
from service.responses import Score
from service.settings import Settings
from tests.contract.client import AS_OF, AppClient, build
from tests.own_columns import bundle_with_own_columns

ARROW = "application/vnd.apache.arrow.stream"
PATH = "/v1/score/batch"


def stream(table: Any, **options: Any) -> bytes:
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(**options)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.getvalue()


def send(client: AppClient, table: Any, **options: Any) -> httpx.Response:
    body = table if isinstance(table, bytes) else stream(table, **options)
    return client.post(PATH, body, content_type=ARROW, x_request_id="same")


def read(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == ARROW
    return pa.ipc.open_stream(answer.content).read_all()


def known(n: int = 30) -> dict[str, list[float | None]]:
    """Features of customers, some of them unknown."""
    rng = np.random.default_rng(5)
    columns = {name: rng.gamma(2.0, 5.0, size=n).round(3) for name in FEATURE_NAMES}
    columns["days_since_last_purchase"] *= 12.0  # some have lapsed
    return {
        name: [None if rng.random() < 0.1 else float(x) for x in column]
        for name, column in columns.items()
    }


def table(n: int = 30, **more: Any) -> Any:
    ids = [f"c-{at}" for at in range(n)]
    columns = {name: pa.array(column, pa.float64()) for name, column in known(n).items()}
    return pa.table({"customer_id": ids} | columns | more)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppClient]:
    folder = tmp_path_factory.mktemp("own")
    bundle_with_own_columns(folder)
    with build(Settings(models_dir=folder)) as client:
        yield client


def test_a_stream_is_answered_as_json_would_be_to_the_last_bit(client: AppClient) -> None:
    sent = table()
    rows = [
        {"customer_id": row.pop("customer_id"), "features": row, "as_of": AS_OF}
        for row in sent.to_pylist()
    ]
    expected = client.post(PATH, rows, x_request_id="same").json()["results"]
    as_of = pa.array([1795219200] * len(sent), pa.timestamp("s", tz="Europe/Berlin"))
    out = read(send(client, sent.append_column("as_of", as_of)))
    assert {row["status"] for row in expected} == {"scored", "lapsed", "insufficient_history"}
    for row, other in zip(out.to_pylist(), expected, strict=True):
        for name in ("customer_id", "status", "churn_probability", "risk_band", "risk_curve",
                     "probability_interval", "loss_category", "value_segment",
                     "customer_value"):  # fmt: skip
            assert row[name] == other[name], name
        assert row["action"] == suggested(other["action"])
        assert row["as_of"].isoformat() == other["as_of"].replace("Z", "+00:00")
        assert (row["next_purchase"] is None) == (other["next_purchase"] is None)
        for name, day in (row["next_purchase"] or {}).items():
            assert (day and day.isoformat()) == other["next_purchase"][name]
        assert [told(reason) for reason in row["reasons"]] == other["reasons"]
    metadata = {name: expected[0][name] for name in ("model_version", "policy_version")}
    metadata["request_id"] = "same"
    assert out.schema.metadata == {k.encode(): v.encode() for k, v in metadata.items()}


def suggested(action: dict[str, Any] | None) -> dict[str, Any] | None:
    """An action of JSON as a stream has it."""
    if action is None:
        return None
    day = action["act_by"] and date.fromisoformat(action["act_by"])
    return action | {"act_by": day}


def told(reason: dict[str, Any]) -> dict[str, Any]:
    """A reason as JSON has it: a number or a name under one key."""
    for name, category in (("value", "category"), ("norm", "usual_category")):
        text = reason.pop(category)
        reason[name] = reason[name] if text is None else text
    return reason


def test_the_columns_are_fields_of_a_json_answer() -> None:
    assert set(SCHEMA.names) <= set(Score.model_fields)


def test_options_are_metadata_of_the_schema(client: AppClient) -> None:
    options = {"keepwell.max_reasons": "8", "keepwell.direction": "both", "pandas": "{}",
               "keepwell.language": "ru", "keepwell.feeds": "orders,cheques"}  # fmt: skip
    out = read(send(client, table().replace_schema_metadata(options)))
    rows = [
        {
            "customer_id": row.pop("customer_id"), "features": row, "max_reasons": 8,
            "direction": "both", "language": "ru", "feeds": ["orders", "cheques"],
        }
        for row in table().to_pylist()
    ]  # fmt: skip
    expected = client.post(PATH, rows).json()["results"]
    assert [[told(r) for r in row["reasons"]] for row in out.to_pylist()] == [
        row["reasons"] for row in expected
    ]
    directions = {reason["direction"] for row in expected for reason in row["reasons"]}
    assert directions == {"raises", "lowers"}


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(),
                                  pa.dictionary(pa.int8(), pa.string()),
                                  pa.dictionary(pa.uint32(), pa.large_string())])  # fmt: skip
def test_categories_may_be_strings_or_dictionaries(own: AppClient, kind: Any) -> None:
    plans = ["trial", None, "gold", "platinum", "trial"]
    sent = table(5, plan=pa.array(plans, pa.string()).cast(kind), support_calls=pa.array([1] * 5))
    out = read(send(own, sent))
    rows = [{"customer_id": row.pop("customer_id"), "features": row} for row in sent.to_pylist()]
    expected = own.post(PATH, rows).json()["results"]
    assert [row["churn_probability"] for row in out.to_pylist()] == [
        row["churn_probability"] for row in expected
    ]
    assert out.column("warnings").to_pylist()[3] == ["categories not seen in training: plan"]


def test_batches_with_dictionaries_of_their_own_are_one_list(own: AppClient) -> None:
    parts = [table(3, plan=pa.array([name] * 3).dictionary_encode()) for name in ("trial", "gold")]
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, parts[0].schema) as writer:
        for part in parts:
            writer.write_table(part)
    out = read(send(own, sink.getvalue()))
    assert out.column("churn_probability").to_pylist() == [
        p for part in parts for p in read(send(own, part)).column("churn_probability").to_pylist()
    ]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64(), pa.float16(), pa.float32()])
def test_numbers_may_be_of_any_width(client: AppClient, kind: Any) -> None:
    sent = pa.table({
        "customer_id": ["c"], "days_since_last_purchase": pa.array([41]).cast(kind),
        "purchases_30d": pa.array([None], kind),
    })  # fmt: skip
    (row,) = read(send(client, sent)).to_pylist()
    features = {"days_since_last_purchase": 41, "purchases_30d": None}
    alone = client.post("/score", {"customer_id": "c", "features": features}).json()
    assert (row["status"], row["churn_probability"]) == (
        alone["status"],
        alone["churn_probability"],
    )


def test_no_rows_have_an_empty_answer(client: AppClient) -> None:
    out = read(send(client, table(3).slice(0, 0)))
    assert (len(out), out.schema.names) == (0, SCHEMA.names)
    empty = io.BytesIO()
    pa.ipc.new_stream(empty, table(1).schema).close()
    assert len(read(send(client, empty.getvalue()))) == 0


def test_a_list_is_counted_as_json_is(published: Path, tmp_path: Path) -> None:
    bundle_with_own_columns(tmp_path)
    plans = pa.array(["trial", "platinum", None] * 10)
    for folder, sent in ((published, table()), (tmp_path, table(plan=plans))):
        settings = Settings(models_dir=folder)
        with build(settings) as client, build(settings) as other:
            read(send(client, sent))
            rows = [
                {"customer_id": row.pop("customer_id"), "features": row} for row in sent.to_pylist()
            ]
            assert other.post(PATH, rows).status_code == 200
            assert counted(client) == counted(other)
            assert client.metric("batch_rows_sum") == 30


def counted(client: AppClient) -> dict[Any, float]:
    """Everything that the metrics say of customers, to the rounding of their sums."""
    families = client.app.state.keepwell.metrics.registry.collect()
    return {
        (sample.name, *sample.labels.items()): round(sample.value, 9)
        for family in families
        if not family.name.startswith(("churn_http", "churn_model", "churn_predict_duration"))
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def one(**columns: Any) -> Any:
    return pa.table({"customer_id": ["c"], "days_since_last_purchase": [41.0]} | columns)


def with_ids(*ids: Any) -> Any:
    return pa.table({"customer_id": pa.array(ids, pa.string())})


WRONG: list[tuple[str, Any, str, str]] = [
    ("no customer", pa.table({"purchases_30d": [1.0]}), "/customer_id", "required"),
    ("null customer", with_ids("a", None), "/customer_id/1", "required"),
    ("empty customer", with_ids("a", ""), "/customer_id/1", "empty"),
    ("long customer", with_ids("x" * 257), "/customer_id/0", "too_long"),
    ("control character", with_ids("a\n"), "/customer_id/0", "control_character"),
    ("number for customer", pa.table({"customer_id": [1]}), "/customer_id", "not_a_string"),
    ("unknown column", one(purchase_30d=[1.0]), "", "unknown_feature"),
    ("text for a number", one(purchases_30d=["1"]), "/purchases_30d", "not_a_number"),
    ("boolean", one(purchases_30d=[True]), "/purchases_30d", "not_a_number"),
    ("a list", one(purchases_30d=[[1.0]]), "/purchases_30d", "not_a_number"),
    ("nulls alone", one(purchases_30d=pa.nulls(1)), "/purchases_30d", "not_a_number"),
    ("decimal", one(purchases_30d=pa.array([1]).cast(pa.decimal128(30, 2))), "/purchases_30d",
     "not_a_number"),
    ("NaN", one(purchases_30d=[np.nan]), "/purchases_30d/0", "not_finite"),
    ("infinity", one(purchases_30d=[np.inf]), "/purchases_30d/0", "not_finite"),
    ("too big", one(purchases_30d=[2**62]), "/purchases_30d/0", "too_big"),
    ("below zero", one(purchases_30d=[-1.0]), "/purchases_30d/0", "too_small"),
    ("far below zero", one(mean_log_gap=[-1e16]), "/mean_log_gap/0", "too_small"),
    ("time as text", one(as_of=[AS_OF]), "/as_of", "no_offset"),
    ("naive time", one(as_of=pa.array([0], pa.timestamp("s"))), "/as_of", "no_offset"),
    ("time out of range", one(as_of=pa.array([2**61], pa.timestamp("s", "UTC"))), "/as_of/0",
     "out_of_range"),
    ("time out of range before", one(as_of=pa.array([-(2**62)], pa.timestamp("us", "UTC"))),
     "/as_of/0", "out_of_range"),
    ("a dictionary with a null", pa.table({"customer_id": pa.DictionaryArray.from_arrays(
        pa.array([0]), pa.array([None], pa.string()))}), "/customer_id/0", "required"),
    ("a huge name in a dictionary", pa.table({"customer_id": pa.DictionaryArray.from_arrays(
        pa.array([0]), pa.array(["x" * 1_000_000]))}), "/customer_id/0", "too_long"),
    ("unknown option", one().replace_schema_metadata({"keepwell.other": "1"}), "",
     "unknown_field"),
    ("wrong option", one().replace_schema_metadata({"keepwell.max_reasons": "9"}),
     "/keepwell.max_reasons", "unknown_value"),
    ("wrong feed", one().replace_schema_metadata({"keepwell.feeds": "orders,x"}),
     "/keepwell.feeds", "unknown_value"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "sent", "pointer", "code"), WRONG, ids=[row[0] for row in WRONG])
def test_a_wrong_column_or_value_is_refused_with_its_place(
    client: AppClient, name: str, sent: Any, pointer: str, code: str
) -> None:
    answer = send(client, sent)
    assert answer.status_code == 422, name
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"] == [{"pointer": pointer, "code": code}]


def test_two_columns_of_one_name_are_refused(client: AppClient) -> None:
    twice = pa.table([pa.array(["a"]), pa.array(["b"])], names=["customer_id"] * 2)
    assert send(client, twice).json()["errors"] == [{"pointer": "", "code": "duplicate_key"}]


def test_a_thousand_customers_and_no_more(client: AppClient) -> None:
    ids = [f"c{at}" for at in range(1001)]
    assert len(read(send(client, pa.table({"customer_id": ids[:1000]})))) == 1000
    refused = send(client, pa.table({"customer_id": ids}))
    assert refused.status_code == 413
    assert refused.json()["errors"] == [{"pointer": "", "code": "too_many_customers"}]
    in_parts = io.BytesIO()
    with pa.ipc.new_stream(in_parts, pa.schema([("customer_id", pa.string())])) as writer:
        writer.write_table(pa.table({"customer_id": ids}), max_chunksize=1)
    assert send(client, in_parts.getvalue()).status_code == 413


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_buffers_are_refused_unread(client: AppClient, codec: str) -> None:
    zeros = pa.table({"customer_id": ["c" * 200] * 900})
    for sent in (zeros, pa.table({"customer_id": zeros["customer_id"].dictionary_encode()})):
        answer = send(client, sent, compression=codec)
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"pointer": "", "code": "compressed"}]


def test_entries_of_a_dictionary_that_no_row_has_are_not_looked_at(client: AppClient) -> None:
    entries = pa.array(["c", *(f"{'x' * 500}{at}" for at in range(5000))])
    ids = pa.DictionaryArray.from_arrays(pa.array([0, 0]), entries)
    out = read(send(client, pa.table({"customer_id": ids})))
    assert out.column("customer_id").to_pylist() == ["c", "c"]


def test_a_stream_cut_short_anywhere_is_refused(client: AppClient) -> None:
    whole = stream(table(3))
    for end in range(0, len(whole), 97):
        answer = send(client, whole[:end])
        assert answer.status_code == 400, end
        assert answer.json()["errors"] == [{"pointer": "", "code": "malformed_arrow"}]
        assert answer.json()["type"] == "/problems/malformed-arrow"
    assert send(client, whole + b"x").status_code == 400


WHOLE = stream(table(3, as_of=pa.array([0] * 3, pa.timestamp("us", "UTC"))))


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=6))
def test_no_changed_byte_breaks_the_service(
    client: AppClient, changes: list[tuple[int, int]]
) -> None:
    body = bytearray(WHOLE)
    for at, byte in changes:
        body[at] = byte
    assert send(client, bytes(body)).status_code in {200, 400, 413, 422}


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=3))
def test_no_changed_description_breaks_the_service(
    client: AppClient, changes: list[tuple[int, int]]
) -> None:
    body = bytearray(stream(with_ids("a", "b")))
    for at, byte in changes:
        body[at % len(body)] = byte
    assert send(client, bytes(body)).status_code in {200, 400, 413, 422}


@given(st.binary(max_size=300))
def test_no_bytes_break_the_service(client: AppClient, body: bytes) -> None:
    assert send(client, body).status_code == 400
    assert send(client, WHOLE[:200] + body).status_code in {400, 413, 422}


def test_nothing_of_the_stream_comes_back_in_an_error(client: AppClient) -> None:
    canary = "canary7f3a"
    for sent in (
        with_ids(canary, canary + "\n"),
        one(**{canary: [1.0]}),
        one(purchases_30d=[canary]),
        one().replace_schema_metadata({f"keepwell.{canary}": "1"}),
        one().replace_schema_metadata({"keepwell.language": canary}),
        stream(with_ids(canary))[:-9],
    ):
        answer = send(client, sent)
        assert answer.status_code in {400, 422}
        assert canary not in answer.text


def test_without_pyarrow_the_answer_says_what_to_do(
    client: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("service.arrow_input", "service.arrow_output"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = send(client, WHOLE)
    assert answer.status_code == 415
    assert answer.json()["errors"] == [{"pointer": "", "code": "arrow_not_installed"}]
    assert "keepwell[arrow]" in answer.json()["detail"]
    assert client.post(PATH, json.dumps([]).encode()).status_code == 200


def test_channels_are_a_column_of_lists(client: AppClient) -> None:
    allowed: list[list[str] | None] = [None, [], ["message"], ["phone", "app"], ["pots"]] * 6
    kind = pa.list_(pa.string())
    sent = table(channels=pa.array(allowed, kind))
    rows = [
        {"customer_id": row.pop("customer_id"), "channels": row.pop("channels"), "features": row}
        for row in sent.to_pylist()
    ]
    expected = client.post(PATH, rows).json()["results"]
    out = read(send(client, sent)).to_pylist()
    assert [row["action"] for row in out] == [suggested(row["action"]) for row in expected]
    warned = [any("channels" in text for text in row["warnings"]) for row in out]
    assert warned == [names == ["pots"] for names in allowed]
    for other in (pa.large_list(pa.string()), pa.list_(pa.large_string())):
        again = read(send(client, table(channels=pa.array(allowed, kind).cast(other))))
        assert again.to_pylist() == out


@pytest.mark.parametrize(
    ("column", "pointer", "code"),
    [
        (pa.array(["message"]), "/channels", "not_an_array"),
        (pa.array([[1]]), "/channels", "not_an_array"),
        (pa.array([[""]]), "/channels/0", "empty"),
        (pa.array([["a", None]]), "/channels/0", "required"),
        (pa.array([["a\n"]]), "/channels/0", "control_character"),
        (pa.array([["a"] * 65]), "/channels/0", "too_many"),
    ],
)
def test_a_wrong_list_of_channels_is_refused_with_its_place(
    client: AppClient, column: Any, pointer: str, code: str
) -> None:
    answer = send(client, one(channels=column))
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": pointer, "code": code}]
