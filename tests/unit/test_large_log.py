"""The log that training at scale is measured on: the same in every run, and worth learning from."""

import hashlib
from pathlib import Path

import duckdb
import pytest

from benchmarks import large_log
from training import config as configuration

CUSTOMERS = 300


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    large_log.write(folder, CUSTOMERS, "snapshot_every_days = 146")
    return folder


def asked(folder: Path, sql: str) -> list[tuple[object, ...]]:
    return duckdb.sql(sql.replace("$log", f"'{folder / 'events' / '*.parquet'}'")).fetchall()


def test_the_same_log_is_written_again(log: Path, tmp_path: Path) -> None:
    large_log.write(tmp_path, CUSTOMERS)
    digests = [
        {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (folder / "events").iterdir()
        }
        for folder in (log, tmp_path)
    ]
    assert len(digests[0]) == 30
    assert digests[0] == digests[1]


def test_chunks_differ_and_do_not_depend_on_how_many_there_are(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, more = tmp_path / "few", tmp_path / "more"
    monkeypatch.setattr(large_log, "CHUNK", 100)
    large_log.write(few, 200)
    large_log.write(more, CUSTOMERS)
    first = "SELECT * FROM $log WHERE customer_id IN (SELECT 'c' || i FROM range(200) AS t(i))"
    assert sorted(map(str, asked(few, first))) == sorted(map(str, asked(more, first)))
    lives = "SELECT list(occurred_at ORDER BY occurred_at) FROM $log GROUP BY customer_id"
    assert len({str(life) for life in asked(more, lives)}) == CUSTOMERS


def test_a_month_lies_in_its_own_file_in_order_of_time(log: Path) -> None:
    for path in (log / "events").iterdir():
        times = [row[0] for row in duckdb.sql(f"SELECT occurred_at FROM '{path}'").fetchall()]
        assert times == sorted(times)
        assert {f"{time:%Y-%m}" for time in times} == {path.stem}


def test_every_customer_buys_and_most_come_back(log: Path) -> None:
    ((buyers, once),) = asked(
        log,
        "SELECT count(*), avg((days = 1)::INT) FROM (SELECT count(DISTINCT occurred_at::DATE)"
        " AS days FROM $log WHERE kind = 'purchase' GROUP BY customer_id)",
    )
    assert buyers == CUSTOMERS
    assert isinstance(once, float)
    assert 0.05 < once < 0.3
    ((each,),) = asked(log, "SELECT count(*) / count(DISTINCT customer_id) FROM $log")
    assert isinstance(each, float)
    assert 40 < each < 60


def test_each_kind_carries_what_belongs_to_it(log: Path) -> None:
    rows = asked(
        log,
        "SELECT kind, count(order_id) > 0, count(case_id) > 0, count(amount) > 0,"
        " count(discount) > 0, count(value) > 0, count(category) > 0 FROM $log GROUP BY kind",
    )
    given = {kind: which for kind, *which in rows}
    assert given == {
        "purchase": [True, False, True, True, False, True],
        "return": [True, False, True, False, False, False],
        "complaint": [True, True, False, False, False, False],
        "complaint_resolved": [True, True, False, False, False, False],
        "review": [True, False, False, False, True, False],
        "visit": [False] * 6,
        "cart_abandoned": [False] * 6,
    }


def test_its_configuration_is_read_as_any_other(log: Path) -> None:
    config = configuration.load(log / "keepwell.toml")
    assert config.training.snapshot_every_days == 146
