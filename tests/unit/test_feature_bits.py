"""The same bits in bulk, for one customer, through the service and without Numba."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from churn.events import MICROSECONDS_PER_DAY, EventLog, customer_log
from churn.features import FEATURE_NAMES, FeatureSettings, feature_rows, features
from service import strict_json
from service.schemas import EventInput
from service.validation import score_request
from training.config import Config, from_mapping, load
from training.ingest import ingest
from training.simulate import simulate

NOW_US = int(datetime(2026, 11, 21, tzinfo=UTC).timestamp()) * 10**6
SETTINGS = FeatureSettings(observation_window_days=365, horizon_days=60)
PLAIN_SAMPLE = 2_000
WITHOUT_NUMBA = """
import sys
import numpy as np
from churn.compiled import HAS_NUMBA
from churn.events import EventLog
from churn.features import FeatureSettings, features
assert not HAS_NUMBA
given = dict(np.load(sys.argv[1]))
as_of = int(given.pop("as_of"))
names = given.pop("customer_ids").astype(object)
log = EventLog(customer_ids=names, **given)
np.save(sys.argv[2], features(log, as_of, FeatureSettings(365, 60)))
"""


@dataclass(frozen=True)
class Case:
    """A log as buckets, and the same rows as JSON objects of each customer, shuffled."""

    buckets: tuple[EventLog, ...]
    as_of: int
    rows: dict[str, list[dict[str, Any]]]

    def bulk(self) -> tuple[list[str], NDArray[np.float64]]:
        names = [name for log in self.buckets for name in log.customer_ids]
        return names, np.concatenate([features(log, self.as_of, SETTINGS) for log in self.buckets])


def case_of(config: Config, work: Path, rows: dict[str, list[dict[str, Any]]]) -> Case:
    ingested = ingest(config, work, now_us=NOW_US, n_buckets=4)
    buckets = tuple(ingested.bucket(k) for k in range(4))
    order = Random(5)
    for events in rows.values():
        order.shuffle(events)
    return Case(buckets, ingested.complete_until - 100 * MICROSECONDS_PER_DAY, rows)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("simulated")
    simulate(400, 12, 3, folder / "shop")
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in pq.read_table(folder / "shop" / "events.parquet").to_pylist():
        given = {name: value for name, value in row.items() if name in EventInput.model_fields}
        for name in ("occurred_at", "known_at"):
            if given.get(name) is not None:
                given[name] = given[name].isoformat()
        rows.setdefault(row["customer_id"], []).append(given)
    return case_of(load(folder / "shop" / "keepwell.toml"), folder / "work", rows)


@pytest.fixture(scope="module")
def cdnow(tmp_path_factory: pytest.TempPathFactory) -> Case:
    source = Path(os.environ["KEEPWELL_EVAL_DATA"]) / "cdnow.parquet"
    folder = tmp_path_factory.mktemp("cdnow")
    query = f"""
        SELECT customer_id, date AS occurred_at, 'purchase' AS kind, dollar_value AS amount,
               number_of_cds AS quantity
        FROM '{str(source).replace("'", "''")}' WHERE dollar_value > 0 AND number_of_cds > 0"""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in pq.read_table(source).to_pylist():
        if row["dollar_value"] > 0 and row["number_of_cds"] > 0:
            rows.setdefault(str(row["customer_id"]), []).append(
                {
                    "occurred_at": f"{row['date']:%Y-%m-%d}T00:00:00Z",
                    "kind": "purchase",
                    "amount": row["dollar_value"],
                    "quantity": float(row["number_of_cds"]),
                }
            )
    config = from_mapping({"events": {"query": query}}, folder / "keepwell.toml")
    return case_of(config, folder / "work", rows)


@pytest.fixture(
    params=[
        "simulated",
        pytest.param(
            "cdnow",
            marks=pytest.mark.skipif(
                "KEEPWELL_EVAL_DATA" not in os.environ, reason="KEEPWELL_EVAL_DATA is not set"
            ),
        ),
    ]
)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.getfixturevalue(request.param)
    return found


def assert_same_bits(one: NDArray[np.float64], other: NDArray[np.float64]) -> None:
    assert one.shape == other.shape
    differs = (one.view(np.int64) != other.view(np.int64)).any(axis=0)
    assert not differs.any(), [FEATURE_NAMES[at] for at in np.flatnonzero(differs)]


def alone(log: EventLog) -> Iterator[EventLog]:
    """Each customer of a log as a log of its own."""
    for i in range(log.n_customers):
        own = slice(log.offsets[i], log.offsets[i + 1])
        columns = {name: getattr(log, name)[own] for name in EventLog._fields[2:]}
        yield EventLog(log.customer_ids[i : i + 1], log.offsets[i : i + 2] - own.start, **columns)


def test_the_bulk_run_has_every_customer_and_something_to_say(case: Case) -> None:
    names, X = case.bulk()
    assert sorted(names) == sorted(case.rows)
    known = ~np.isnan(X[:, FEATURE_NAMES.index("average_gap_days")])
    assert known.sum() > 100


def test_one_customer_at_a_time_has_the_bits_of_bulk(case: Case) -> None:
    own = [features(one, case.as_of, SETTINGS) for log in case.buckets for one in alone(log)]
    assert_same_bits(np.concatenate(own), case.bulk()[1])


def test_the_service_has_the_bits_of_bulk(case: Case) -> None:
    names, expected = case.bulk()
    rows = []
    for name in names:
        body = json.dumps({"customer_id": name, "events": case.rows[name]}).encode()
        request = score_request(
            strict_json.parse(body), max_events=len(case.rows[name]), feature_names=frozenset()
        )
        assert request.events is not None
        rows.append(features(customer_log(name, request.events), case.as_of, SETTINGS))
    assert_same_bits(np.concatenate(rows), expected)


def test_plain_python_has_the_bits_of_bulk(case: Case) -> None:
    for log in case.buckets:
        chosen = np.arange(min(log.n_customers, PLAIN_SAMPLE // len(case.buckets)))
        as_ofs = np.full(len(chosen), case.as_of)
        plain = feature_rows(log, chosen, as_ofs, SETTINGS, compiled=False)
        assert_same_bits(plain, feature_rows(log, chosen, as_ofs, SETTINGS))


def test_a_process_without_numba_has_the_bits_of_bulk(case: Case, tmp_path: Path) -> None:
    (log, *_) = case.buckets
    n = min(log.n_customers, PLAIN_SAMPLE)
    size = log.offsets[n]
    columns = {name: getattr(log, name)[:size] for name in EventLog._fields[2:]}
    np.savez(
        tmp_path / "log.npz", as_of=case.as_of, customer_ids=log.customer_ids[:n].astype(str),
        offsets=log.offsets[: n + 1], **columns,
    )  # fmt: skip
    subprocess.run(
        [sys.executable, "-c", WITHOUT_NUMBA, tmp_path / "log.npz", tmp_path / "X.npy"],
        env=os.environ | {"KEEPWELL_NUMBA": "0"}, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert_same_bits(np.load(tmp_path / "X.npy"), features(log, case.as_of, SETTINGS)[:n])
