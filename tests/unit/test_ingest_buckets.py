import tempfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from churn.events import Event, EventLog, Kind, customer_log
from training.buckets import bucket_of, buckets_of
from training.config import from_mapping
from training.ingest import ingest

NOW = 1_000_000_000


def test_the_bucket_of_a_customer_never_changes() -> None:
    # The published check value of CRC-32 is cbf43926 for these nine digits.
    assert bucket_of("123456789", 2**32) == 0xCBF43926
    assert [bucket_of(name) for name in ("c-1042", "ж", "", "17850")] == [1, 25, 0, 1]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))), st.integers(1, 2**16))
@settings(deadline=None, max_examples=50)
def test_one_customer_and_many_are_dealt_alike(customer_ids: list[str], n_buckets: int) -> None:
    column = pa.array(["left out", *customer_ids], pa.string())[1:]
    expected = [bucket_of(customer_id, n_buckets) for customer_id in customer_ids]
    assert buckets_of(column, n_buckets).tolist() == expected


NAMES = st.none() | st.sampled_from(["a", "b", "ж", "B"])
NUMBERS = st.none() | st.sampled_from([0.5, 1.0, 2.0])
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "occurred_at": st.integers(0, 3),
    "kind": st.sampled_from([Kind.PURCHASE, Kind.RETURN, Kind.VISIT]),
    "order_id": NAMES,
    "amount": NUMBERS,
    "value": st.none() | st.sampled_from([-1.0, 0.0, -0.0]),
    "quantity": NUMBERS,
    "discount": NUMBERS,
    "category": NAMES,
    "case_id": NAMES,
    "channel": NAMES,
    "event_id": NAMES,
    "known_at": st.none() | st.integers(3, 5),
}
EVENTS = st.builds(Event, **FIELDS)


@st.composite
def events_and_repeats(draw: st.DrawFn) -> list[Event]:
    """Some events, some of them twice, some of them again with one field changed."""
    events = draw(st.lists(EVENTS, max_size=4))
    for event in draw(st.lists(st.sampled_from(events), max_size=6)) if events else []:
        field = draw(st.none() | st.sampled_from(sorted(FIELDS)))
        change: dict[str, Any] = {} if field is None else {field: draw(FIELDS[field])}
        events.append(event._replace(**change))
    return events


BOUGHT = Event(occurred_at=0, kind=Kind.PURCHASE)
LOGS = st.dictionaries(
    st.sampled_from(["a", "b", "Ж", "17850", " x "]), events_and_repeats(), min_size=1, max_size=4
).map(lambda log: {customer: [BOUGHT, *events] for customer, events in log.items()})


@given(LOGS, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_a_file_and_a_list_of_events_give_the_same_log(
    log: dict[str, list[Event]], order: Random
) -> None:
    rows = [
        {"customer_id": customer, **event._asdict(), "kind": event.kind.value}
        for customer, events in log.items()
        for event in events
    ]
    order.shuffle(rows)
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(_table(rows), Path(folder) / "log.parquet")
        config = from_mapping({"events": {"query": "FROM 'log.parquet'"}}, Path(folder) / "k.toml")
        ingested = ingest(config, Path(folder) / "work", now_us=NOW, n_buckets=2)
        found = {
            customer: one
            for k in range(2)
            for customer, one in _by_customer(ingested.bucket(k)).items()
        }
    assert found.keys() == log.keys()
    for customer, events in log.items():
        _assert_same(found[customer], customer_log(customer, events))
    kept = sum(one.n_events for one in found.values())
    assert ingested.usability.accepted == kept
    assert ingested.usability.quarantined.get("duplicate", 0) == len(rows) - kept


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    moment = pa.timestamp("us", tz="UTC")
    types = dict.fromkeys(("amount", "value", "quantity", "discount"), pa.float64())
    types |= dict.fromkeys(("occurred_at", "known_at"), moment)
    return pa.table(
        {
            name: pa.array([row[name] for row in rows], types.get(name, pa.string()))
            for name in rows[0]
        }
    )


def _by_customer(log: EventLog) -> dict[str, EventLog]:
    assert log.customer_ids.tolist() == sorted(log.customer_ids.tolist())
    parts = {}
    for i, customer in enumerate(log.customer_ids):
        own = slice(log.offsets[i], log.offsets[i + 1])
        parts[customer] = EventLog(
            customer_ids=log.customer_ids[i : i + 1],
            offsets=log.offsets[i : i + 2] - log.offsets[i],
            **{name: getattr(log, name)[own] for name in EventLog._fields[2:]},
        )
    return parts


def _assert_same(one: EventLog, other: EventLog) -> None:
    for name in ("offsets", "time", "known_at", "kind", "amount", "value", "quantity", "discount"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for name in ("order", "case", "category"):
        np.testing.assert_array_equal(
            _renamed(getattr(one, name)), _renamed(getattr(other, name)), err_msg=name
        )


def _renamed(codes: NDArray[np.int64]) -> list[int]:
    """Codes counted anew in order of appearance; -1 stays."""
    new: dict[int, int] = {}
    return [-1 if code < 0 else new.setdefault(code, len(new)) for code in codes.tolist()]
