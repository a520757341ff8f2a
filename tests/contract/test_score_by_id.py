"""What is stored of a customer is scored as if it had been sent, to the last byte."""

import json
import sqlite3
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.events import Kind
from service import instants, single
from service.settings import Settings
from tests import ready_table
from tests.contract.client import AS_OF, NOW, AppClient, build, customer, keep, purchases
from tests.own_columns import bundle_with_own_columns

unwatched = partial(Settings, stale_after_hours=1e6, stale_limit_hours=1e6)
"""Settings of a service that takes any history for fresh."""
ID = {"customer_id": "c-1042", "as_of": AS_OF}
_names = count()


@pytest.fixture
def stored(published: Path, store_url: str) -> Iterator[AppClient]:
    """A service whose store knows c-1042, in each of the two databases."""
    with build(unwatched(models_dir=published, store_url=store_url)) as client:
        keep(client, "c-1042", purchases())
        yield client


@pytest.fixture(scope="module")
def filling(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppClient]:
    """A service whose store is filled by one example after the other."""
    url = f"sqlite:///{tmp_path_factory.mktemp('filling')}/keepwell.db"
    with build(unwatched(models_dir=published, store_url=url)) as client:
        yield client


def score(client: AppClient, body: dict[str, Any]) -> bytes:
    answer = client.post("/score", body, x_request_id="same")
    assert answer.status_code == 200
    return answer.content


def batch(client: AppClient, customers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    answer = client.post("/v1/score/batch", {"customers": customers}, x_request_id="same")
    assert answer.status_code == 200
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def test_an_id_alone_is_scored_as_the_same_events_are(stored: AppClient) -> None:
    for _ in range(2):  # the first opens the way to the store, the others use it
        assert score(stored, ID) == score(stored, customer())
    how = {"max_reasons": 8, "direction": "both", "language": "ru", "feeds": ["orders", "cheques"]}
    assert score(stored, ID | how) == score(stored, customer(**how))


def test_what_is_stored_is_scored_as_of_now_unless_said(stored: AppClient) -> None:
    body = json.loads(score(stored, {"customer_id": "c-1042"}))
    assert body["as_of"] == body["scored_at"] == instants.text(NOW)
    assert body["status"] == "scored"


def test_an_event_counts_with_the_next_score(stored: AppClient) -> None:
    before = json.loads(score(stored, ID))
    late = {"occurred_at": "2026-11-20T10:00:00Z", "kind": "purchase", "amount": 50.0}
    keep(stored, "c-1042", [late])
    assert score(stored, ID) == score(stored, customer(events=[late, *purchases()]))
    assert json.loads(score(stored, ID))["churn_probability"] < before["churn_probability"]


def test_of_an_unknown_customer_nothing_is_said(stored: AppClient) -> None:
    body = json.loads(score(stored, {"customer_id": "nobody", "as_of": AS_OF}))
    assert body["status"] == "unknown_customer"
    assert body["customer_id"] == "nobody"
    assert body["as_of"] == AS_OF
    for name in ("churn_probability", "probability_interval", "risk_band", "next_purchase",
                 "action", "loss_category", "value_segment", "customer_value"):  # fmt: skip
        assert body[name] is None
    assert body["reasons"] == body["risk_curve"] == body["warnings"] == []
    assert stored.metric("predict_rows_total", mode="single", status="unknown_customer") == 1


def test_null_forms_mean_the_store_too(stored: AppClient) -> None:
    nothing = {"events": None, "features": None}
    assert score(stored, ID | nothing) == score(stored, ID)
    assert json.loads(score(stored, ID | {"events": []}))["status"] == "insufficient_history"


def test_rows_of_a_batch_are_scored_by_id(stored: AppClient) -> None:
    keep(stored, "c-2", purchases(2))
    wrong = {"customer_id": ""}
    rows = [ID, wrong, customer(), {"customer_id": "nobody"}, ID | {"customer_id": "c-2"}, ID]
    found = batch(stored, rows)
    alone = batch(stored, [customer(), customer(customer_id="c-2", events=purchases(2))])
    assert found[0] == found[2] == found[5] == alone[0]
    assert found[1]["status"] == 422
    assert found[3]["status"] == "unknown_customer"
    assert found[4] == alone[1]


def test_lines_of_a_batch_are_scored_by_id(stored: AppClient) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in (ID, customer(), {"customer_id": "nobody"}))
    answer = stored.post(
        "/v1/score/batch", lines.encode(), content_type="application/x-ndjson", x_request_id="same"
    )
    first, second, third = answer.content.splitlines()
    assert first == second == score(stored, customer())
    assert json.loads(third)["status"] == "unknown_customer"


def test_a_long_history_is_scored_beside_the_loop(
    stored: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = score(stored, ID)
    monkeypatch.setattr(single, "LARGE_BODY", 10)
    assert score(stored, ID) == here


@pytest.mark.parametrize("name", ["a/b", "a b", "é😀", "x" * 256, "%2F", "'; --", "..", "null"])
def test_any_id_finds_its_own_history(stored: AppClient, name: str) -> None:
    keep(stored, name, purchases(3))
    sent = customer(customer_id=name, events=purchases(3))
    assert score(stored, ID | {"customer_id": name}) == score(stored, sent)
    assert batch(stored, [ID | {"customer_id": name}])[0]["status"] == "scored"


def test_missing_columns_of_ones_own_are_listed(tmp_path: Path, store_url: str) -> None:
    bundle_with_own_columns(tmp_path / "models")
    with build(unwatched(models_dir=tmp_path / "models", store_url=store_url)) as client:
        keep(client, "c-1042", purchases())
        assert score(client, ID) == score(client, customer())
        assert "plan" in json.loads(score(client, ID))["warnings"][0]


def test_a_model_that_reads_no_events_says_what_to_send(tmp_path: Path) -> None:
    ready_table.trained(tmp_path)
    with build(unwatched(models_dir=tmp_path / "models")) as client:
        answer = client.post("/score", ID)
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"pointer": "", "code": "nothing_to_score"}]
        assert "send the `features`" in answer.json()["detail"]
        (row,) = batch(client, [ID])
        assert row["errors"] == [{"pointer": "/customers/0", "code": "nothing_to_score"}]


def test_a_store_put_in_the_place_of_another_is_read(published: Path, tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("first", "second")]
    for url, length in zip(urls, (5, 2), strict=True):
        with build(unwatched(models_dir=published, store_url=url)) as client:
            keep(client, "c-1042", purchases(length))
            expected = score(client, ID)
    with build(unwatched(models_dir=published, store_url=urls[0])) as client:
        assert score(client, ID) == score(client, customer())
        (tmp_path / "second.db").replace(tmp_path / "first.db")
        assert score(client, ID) == expected


def test_a_store_that_breaks_under_the_service_is_told(published: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/keepwell.db"
    with build(unwatched(models_dir=published, store_url=url)) as client:
        keep(client, "c-1042", purchases())
        score(client, ID)
        with sqlite3.connect(tmp_path / "keepwell.db") as plain:
            plain.execute("DROP TABLE histories")
        plain.close()
        answer = client.post("/score", ID)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        (row,) = batch(client, [ID])
        assert (row["status"], row["type"]) == (503, "/problems/store-unavailable")
        assert json.loads(score(client, customer()))["status"] == "scored"


SECONDS = st.integers(0, 400 * 86_400)


def in_order(event: dict[str, Any]) -> dict[str, Any]:
    """Nobody knows of an event before it happens."""
    if "known_at" in event:
        event["known_at"] = max(event["known_at"], event["occurred_at"])
    return event


EVENTS = st.fixed_dictionaries(
    {
        "occurred_at": SECONDS.map(lambda ago: instants.text(NOW - ago * 1_000_000)),
        "kind": st.sampled_from([kind.value for kind in Kind] + ["purchase"] * 5),
    },
    optional={
        "amount": st.floats(0.01, 1e6),
        "value": st.floats(-5, 10),
        "quantity": st.integers(1, 9),
        "discount": st.floats(0, 50),
        "order_id": st.sampled_from(["o-1", "o-2", "é"]),
        "case_id": st.sampled_from(["k-1", "k-2"]),
        "category": st.sampled_from(["a", "b"]),
        "channel": st.just("web"),
        "event_id": st.sampled_from(["e-1", "e-2", "e-3"]),
        "known_at": SECONDS.map(lambda ago: instants.text(NOW - ago * 1_000_000)),
    },
).map(in_order)


@settings(max_examples=60)
@given(st.lists(EVENTS, min_size=1, max_size=30), st.randoms(), st.integers(1, 9), SECONDS)
def test_random_histories_in_random_order_are_scored_as_if_sent(
    filling: AppClient, events: list[dict[str, Any]], random: Any, by: int, ago: int
) -> None:
    name = f"c-{next(_names)}"
    arrived = [*events, random.choice(events)]
    random.shuffle(arrived)
    for at in range(0, len(arrived), by):
        keep(filling, name, arrived[at : at + by])
    as_of = instants.text(NOW - random.choice([0, ago]) * 1_000_000)
    request = {"customer_id": name, "as_of": as_of, "max_reasons": 8, "direction": "both"}
    assert score(filling, request) == score(filling, request | {"events": events})
    stored, sent = batch(filling, [request, request | {"events": events}])
    assert stored == sent
