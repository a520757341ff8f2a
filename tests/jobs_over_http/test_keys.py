"""Idempotency keys in the store, on both databases."""

import threading

import pytest

from service.jobs import keys, records
from service.store.database import Database
from tests.job_rows import START, add, name, row

DIGEST = keys.digest_of("order-7")
SENT = keys.fingerprint_of(b"body", {"results": "csv"})


def settle(database: Database, number: int) -> bool:
    with database.writing() as connection:
        return keys.settle(connection, DIGEST, name(number), SENT)


def test_a_free_key_is_taken_and_then_told(database: Database) -> None:
    assert keys.claim(database, DIGEST, name(1), START) is None
    assert keys.claim(database, DIGEST, name(2), START) == (name(1), None)
    assert settle(database, 1)
    assert keys.claim(database, DIGEST, name(2), START) == (name(1), SENT)
    assert keys.claim(database, keys.digest_of("order-8"), name(2), START) is None


def test_a_key_that_was_released_is_free_but_a_settled_one_is_not(database: Database) -> None:
    keys.claim(database, DIGEST, name(1), START)
    keys.release(database, DIGEST, name(9))
    assert keys.claim(database, DIGEST, name(2), START) is not None
    keys.release(database, DIGEST, name(1))
    assert keys.claim(database, DIGEST, name(2), START) is None
    assert settle(database, 2)
    keys.release(database, DIGEST, name(2))
    assert keys.claim(database, DIGEST, name(3), START) == (name(2), SENT)


def test_a_claim_that_was_taken_over_cannot_be_settled(database: Database) -> None:
    keys.claim(database, DIGEST, name(1), START)
    assert keys.take_over(database, DIGEST, name(2), dead=name(1))
    assert not keys.take_over(database, DIGEST, name(3), dead=name(1))
    assert not settle(database, 1)
    assert settle(database, 2)
    assert not keys.take_over(database, DIGEST, name(3), dead=name(2))


def test_a_key_ends_with_its_job(database: Database) -> None:
    add(database, row(1, expires_at=START + 10))
    keys.claim(database, DIGEST, name(1), START)
    settle(database, 1)
    assert not keys.expire(database, DIGEST, name(1), START + 9)
    assert keys.expire(database, DIGEST, name(1), START + 10)
    assert keys.claim(database, DIGEST, name(2), START) is None


def test_a_removed_job_takes_its_key_along(database: Database) -> None:
    add(database, row(1))
    keys.claim(database, DIGEST, name(1), START)
    settle(database, 1)
    with database.writing() as connection:
        assert records.remove(connection, name(1))
        assert not records.remove(connection, name(1))
    assert keys.claim(database, DIGEST, name(2), START) is None


def test_of_many_at_once_one_gets_the_key(database: Database, store_url: str) -> None:
    database.prepare()
    got: list[object] = []

    def claim(number: int) -> None:
        other = Database(store_url)
        got.append(keys.claim(other, DIGEST, name(number), START))
        other.close()

    threads = [threading.Thread(target=claim, args=(at,)) for at in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 6
    assert got.count(None) == 1


@pytest.mark.parametrize("text", ["a", "order 7", "~" * 255, "{}"])
def test_printable_texts_are_keys(text: str) -> None:
    assert keys.is_key(text)


@pytest.mark.parametrize("text", ["", "~" * 256, "a\tb", "a\x7f", "ключ"])
def test_other_texts_are_not(text: str) -> None:
    assert not keys.is_key(text)


def test_a_fingerprint_tells_bodies_and_parameters_apart() -> None:
    assert SENT == keys.fingerprint_of(b"body", {"results": "csv"})
    assert SENT != keys.fingerprint_of(b"tody", {"results": "csv"})
    assert SENT != keys.fingerprint_of(b"body", {"results": "ndjson"})
