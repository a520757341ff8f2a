"""Every feature, recomputed in SQL from what its words say, agrees with the loop.

The queries in `tests/oracle` know nothing of the loop: they are relations over the visible events,
gaps and islands for orders, episodes between resolutions for complaints.
"""

from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from churn.events import KIND_CODES, Event, canonical
from churn.features import FEATURE_NAMES, Family, FeatureSettings, features
from tests.random_logs import AS_OF, DAY, log_of, random_histories

ORACLE = Path(__file__).parents[1] / "oracle"
CUSTOMERS = 500
TOLERANCE = 1e-9
MOMENTS = (
    (AS_OF, FeatureSettings(observation_window_days=730, horizon_days=60)),
    (AS_OF - 200 * DAY, FeatureSettings(observation_window_days=400, horizon_days=30)),
    (AS_OF - 433 * DAY + 12_345_678, FeatureSettings(observation_window_days=730, horizon_days=90)),
    (AS_OF - 650 * DAY, FeatureSettings(observation_window_days=200, horizon_days=14)),
)
Columns = dict[str, NDArray[np.float64]]


@cache
def both() -> tuple[Columns, Columns]:
    """Each feature's values over all customers and moments, by the loop and by SQL."""
    histories = random_histories(CUSTOMERS, seed=20)
    rows = [row for name, events in histories.items() for row in _rows(name, events)]
    given = {
        "customers": pa.table({"customer_id": [*histories]}),
        "events": pa.Table.from_pylist(rows),
    }
    with duckdb.connect(config={"threads": 2}) as connection:
        for name, table in given.items():
            connection.register(f"given_{name}", table)
            connection.execute(f"CREATE TABLE {name} AS FROM given_{name}")
        expected = [_by_sql(connection, as_of, settings) for as_of, settings in MOMENTS]
    log = log_of(histories)
    found = np.concatenate([features(log, as_of, settings) for as_of, settings in MOMENTS])
    return (
        {name: found[:, at] for at, name in enumerate(FEATURE_NAMES)},
        {name: np.concatenate([one[name] for one in expected]) for name in expected[0]},
    )


def _rows(customer_id: str, events: list[Event]) -> list[dict[str, Any]]:
    return [
        {
            "customer_id": customer_id,
            **event._asdict(),
            "kind": event.kind.value,
            "kind_code": KIND_CODES[event.kind],
            "known_at": event.occurred_at if event.known_at is None else event.known_at,
        }
        for event in canonical(events)
    ]


def _by_sql(
    connection: duckdb.DuckDBPyConnection, as_of: int, settings: FeatureSettings
) -> Columns:
    connection.execute(f"SET VARIABLE as_of = {as_of}::BIGINT")
    connection.execute(f"SET VARIABLE window_days = {settings.observation_window_days}::BIGINT")
    connection.execute(f"SET VARIABLE horizon_days = {settings.horizon_days}::BIGINT")
    connection.execute((ORACLE / "seen.sql").read_text())
    found: Columns = {}
    for family in Family:
        query = (ORACLE / f"{family}.sql").read_text()
        result = connection.execute(
            f"SELECT family.* FROM customers LEFT JOIN (\n{query}\n) AS family USING (customer_id)"
            " ORDER BY customers.customer_id"
        )
        names = [column[0] for column in result.description]
        columns = list(zip(*result.fetchall(), strict=True))
        found |= {
            name: np.array([np.nan if x is None else float(x) for x in column])
            for name, column in zip(names[1:], columns[1:], strict=True)
        }
    return found


def test_sql_knows_exactly_the_registered_features() -> None:
    assert sorted(both()[1]) == sorted(FEATURE_NAMES)


@pytest.mark.parametrize("name", FEATURE_NAMES)
def test_a_feature_is_what_its_words_say(name: str) -> None:
    loop, sql = (columns[name] for columns in both())
    missing = np.isnan(sql)
    np.testing.assert_array_equal(np.isnan(loop), missing, err_msg=f"{name}: missing")
    np.testing.assert_allclose(
        loop[~missing], sql[~missing], rtol=TOLERANCE, atol=TOLERANCE, err_msg=name
    )


@pytest.mark.parametrize("name", FEATURE_NAMES)
def test_the_agreement_is_about_values_that_differ(name: str) -> None:
    values = both()[0][name]
    known = values[~np.isnan(values)]
    assert len(known) >= 100
    assert len(np.unique(known)) >= 2
