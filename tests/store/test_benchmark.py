"""A short form of what `python -m benchmarks store` fills a store with."""

import json
from pathlib import Path
from random import Random

import pytest

from benchmarks import store
from churn.events import Kind
from service.store.database import Database
from service.store.histories import Histories


def test_every_customer_has_the_history_that_is_sent_in_the_body(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "CUSTOMERS", 2 * store.DISTINCT)
    store.fill(store_url)
    database = Database(store_url)
    histories = Histories(database)
    asked = [store.customer(at) for at in (0, 7, store.DISTINCT + 7, 2 * store.DISTINCT - 1)]
    found = histories.read([*asked, store.customer(2 * store.DISTINCT)])
    assert list(found) == asked
    sent = store.histories()
    for at, history in zip((0, 7, 7, store.DISTINCT - 1), found.values(), strict=True):
        amounts = [event.amount for event in history.events()]
        assert amounts == [one["amount"] for one in sent[at]]
    assert histories.received() == 1
    database.close()


def test_a_batch_holds_as_many_purchases_as_it_says() -> None:
    sent = json.loads(store._batch(Random(1)))["events"]
    assert len(sent) == store.BATCH
    assert {one["kind"] for one in sent} == {Kind.PURCHASE.value}


def test_requests_by_id_are_written(tmp_path: Path) -> None:
    assert "c-%07d" in store._by_id(tmp_path / "load").read_text()
