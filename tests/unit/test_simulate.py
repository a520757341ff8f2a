"""The folder a simulation writes: the log, the truth beside it, and nobody else's work."""

from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

import training.simulate
from churn.errors import ConfigError
from churn.events import Feed
from training import config
from training.ingest import ingest
from training.simulate import SimulationResult, as_of_dates, simulate

NAMES = ("events.parquet", "keepwell.toml", "truth.parquet")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> SimulationResult:
    return simulate(2_000, 24, 11, tmp_path_factory.mktemp("shop") / "out")


def sql(shop: SimulationResult, query: str) -> list[tuple]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE VIEW events AS FROM '{shop.path / 'events.parquet'}'")
        connection.execute(f"CREATE VIEW truth AS FROM '{shop.path / 'truth.parquet'}'")
        return connection.execute(query).fetchall()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


class Stops:
    """A listener that stops the work in the middle of it."""

    def stage(self, name: str, total: int | None = None) -> None:
        pass

    def advance(self, n: int = 1) -> None:
        raise InterruptedError("stopped")

    def note(self, line: str) -> None:
        pass


class Counts:
    """A listener that remembers how far the work has come."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.done = 0

    def stage(self, name: str, total: int | None = None) -> None:
        self.total = total

    def advance(self, n: int = 1) -> None:
        self.done += n

    def note(self, line: str) -> None:
        pass


def test_the_folder_holds_the_log_the_truth_and_a_configuration(shop):
    assert tuple(sorted(path.name for path in shop.path.iterdir())) == NAMES
    assert [path.name for path in shop.path.parent.iterdir()] == [shop.path.name]


def test_the_result_counts_what_was_written(shop):
    assert sql(shop, "SELECT count(*), count(DISTINCT customer_id) FROM events") == [
        (shop.events, 2_000)
    ]
    assert sql(shop, "SELECT count(*) FROM truth") == [(shop.truth_rows,)]
    churn = "SELECT avg(churn_probability_60d) FROM truth WHERE as_of = '2025-11-02'"
    assert sql(shop, churn)[0][0] == pytest.approx(shop.churn_rate)


def test_the_configuration_is_read_and_the_log_ingested_without_a_rejected_row(shop, tmp_path):
    settings = config.load(shop.path / "keepwell.toml")
    now = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp()) * 1_000_000
    found = ingest(settings, tmp_path / "work", now_us=now, n_buckets=2)
    assert found.usability.accepted == found.usability.rows == shop.events
    assert found.complete_until == settings.complete_until_us
    assert found.feeds == frozenset(Feed)


def test_the_log_has_every_promised_kind_and_stays_within_its_span(shop):
    kinds = {
        "purchase",
        "return",
        "complaint",
        "complaint_resolved",
        "visit",
        "cart_abandoned",
        "review",
        "survey",
        "contact",
        "reward",
    }
    rows = sql(
        shop, "SELECT kind, min(occurred_at)::DATE, max(occurred_at)::DATE FROM events GROUP BY 1"
    )
    assert {kind for kind, _, _ in rows} == kinds
    assert min(first for _, first, _ in rows) >= date(2024, 1, 1)
    assert max(last for _, _, last in rows) < date(2026, 1, 1)


def test_amounts_are_positive_and_nothing_is_known_before_it_happens(shop):
    bad = """SELECT count(*) FROM events
             WHERE amount <= 0 OR discount < 0 OR quantity <= 0 OR known_at <= occurred_at
                OR (amount IS NULL) = (kind IN ('purchase', 'return'))"""
    assert sql(shop, bad) == [(0,)]
    assert sql(shop, "SELECT count(*) > 0 FROM events WHERE known_at > occurred_at") == [(True,)]


def test_a_resolution_follows_the_complaint_of_its_case(shop):
    pairs = """SELECT count(*), count(*) FILTER (r.occurred_at > c.occurred_at)
               FROM events r JOIN events c USING (case_id)
               WHERE r.kind = 'complaint_resolved' AND c.kind = 'complaint'"""
    n, in_order = sql(shop, pairs)[0]
    assert n == in_order > 100
    filed = sql(shop, "SELECT count(*), count(DISTINCT case_id) FROM events WHERE kind='complaint'")
    assert filed[0][0] == filed[0][1] > n


def test_no_category_comes_twice_in_an_order(shop):
    lines = """SELECT count(*), count(DISTINCT (order_id, category)), count(DISTINCT order_id)
               FROM events WHERE kind = 'purchase'"""
    n, distinct, orders = sql(shop, lines)[0]
    assert n == distinct > orders


def test_the_truth_has_one_row_for_each_eligible_customer_and_date(shop):
    expected = """
        SELECT DISTINCT e.customer_id, d.as_of
        FROM events e JOIN (SELECT DISTINCT as_of FROM truth) d
          ON e.occurred_at < d.as_of AND e.occurred_at >= d.as_of - INTERVAL 180 DAY
        WHERE e.kind = 'purchase'"""
    rows = "SELECT customer_id, as_of FROM truth"
    assert sql(shop, f"({expected}) EXCEPT ({rows})") == []
    assert sql(shop, f"({rows}) EXCEPT ({expected})") == []
    assert sql(shop, f"SELECT count(*) FROM (SELECT DISTINCT * FROM ({rows}))")[0][0] == (
        shop.truth_rows
    )


def test_the_open_complaint_is_the_last_one_that_the_log_shows_unresolved(shop):
    expected = """
        SELECT t.customer_id, t.as_of,
               min(date_diff('day', date_trunc('day', c.occurred_at), t.as_of))
        FROM truth t JOIN events c ON c.customer_id = t.customer_id
        WHERE c.kind = 'complaint' AND c.occurred_at < t.as_of AND NOT EXISTS (
            FROM events r WHERE r.kind = 'complaint_resolved' AND r.case_id = c.case_id
                            AND r.occurred_at < t.as_of)
        GROUP BY ALL"""
    rows = "SELECT customer_id, as_of, open_complaint_days FROM truth WHERE has_open_complaint"
    assert sql(shop, f"({expected}) EXCEPT ({rows})") == []
    assert sql(shop, f"({rows}) EXCEPT ({expected})") == []


def test_probabilities_fall_with_the_horizon_and_who_is_gone_stays_away(shop):
    wrong = """SELECT count(*) FROM truth
               WHERE NOT (1 >= churn_probability_30d
                          AND churn_probability_30d >= churn_probability_60d
                          AND churn_probability_60d >= churn_probability_90d
                          AND churn_probability_90d >= 0)
                  OR is_alive <> (life <> 'gone')
                  OR (NOT is_alive AND (churn_probability_90d < 1 OR contact_effect_60d <> 0))"""
    assert sql(shop, wrong) == [(0,)]
    came_back = """SELECT count(*) FROM truth t JOIN events e USING (customer_id)
                   WHERE NOT is_alive AND e.kind = 'purchase' AND e.occurred_at >= t.as_of"""
    assert sql(shop, came_back) == [(0,)]


def test_the_same_seed_gives_the_same_bytes_whatever_the_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(training.simulate, "CHUNK_CUSTOMERS", 60)
    monkeypatch.setattr(training.simulate, "MAX_THREADS", 1)
    simulate(200, 4, 5, tmp_path / "one")
    monkeypatch.setattr(training.simulate, "MAX_THREADS", 4)
    simulate(200, 4, 5, tmp_path / "four")
    assert contents(tmp_path / "one") == contents(tmp_path / "four")


def test_another_seed_gives_another_shop(tmp_path):
    simulate(50, 3, 1, tmp_path / "a")
    simulate(50, 3, 2, tmp_path / "b")
    a, b = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert all(a[name] != b[name] for name in NAMES)


def test_a_shop_of_one_customer_has_that_customer(tmp_path):
    result = simulate(1, 3, 1, tmp_path / "out")
    assert sql(result, "SELECT DISTINCT customer_id FROM events") == [("c-0000001",)]
    assert result.as_of == (date(2024, 2, 1),)


def test_the_last_date_leaves_a_whole_horizon_and_the_others_are_campaign_days():
    dates = as_of_dates(date(2026, 1, 1))
    assert dates == (*(date(2025, month, 1) for month in range(6, 11)), date(2025, 11, 2))


@pytest.mark.parametrize(
    ("customers", "months", "seed", "named"),
    [(0, 24, 1, "customers"), (10, 2, 1, "months"), (10, 241, 1, "months"), (10, 24, -1, "seed")],
)
def test_an_argument_out_of_range_is_named_and_writes_nothing(
    tmp_path, customers, months, seed, named
):
    with pytest.raises(ConfigError, match=f"^{named}: must be"):
        simulate(customers, months, seed, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_simulation_is_replaced(tmp_path):
    simulate(50, 3, 1, tmp_path / "out")
    before = contents(tmp_path / "out")
    simulate(50, 3, 2, tmp_path / "out")
    assert contents(tmp_path / "out") != before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "out").mkdir()
    simulate(10, 3, 1, tmp_path / "out")
    assert tuple(contents(tmp_path / "out")) == NAMES


@pytest.mark.parametrize("name", ["notes.txt", "events.parquet", "keepwell.toml"])
def test_a_folder_with_other_work_is_refused_and_kept(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigError, match="no simulation wrote"):
        simulate(10, 3, 1, tmp_path)
    assert contents(tmp_path) == {name: b"mine"}


def test_a_configuration_edited_since_is_kept(tmp_path):
    simulate(10, 3, 1, tmp_path / "out")
    edited = tmp_path / "out" / "keepwell.toml"
    edited.write_text(edited.read_text().replace("horizon_days = 60", "horizon_days = 30"))
    before = contents(tmp_path / "out")
    with pytest.raises(ConfigError, match="changed since"):
        simulate(10, 3, 1, tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ConfigError, match="not a folder"):
        simulate(10, 3, 1, tmp_path / "out")


def test_a_parent_that_is_a_file_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="cannot be written"):
        simulate(10, 3, 1, tmp_path / "file" / "out")


def test_work_that_stops_in_the_middle_leaves_nothing_and_keeps_what_was_there(tmp_path):
    simulate(10, 3, 1, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(ConfigError, match="stopped"):
        simulate(10, 3, 2, tmp_path / "out", progress=Stops())
    assert contents(tmp_path / "out") == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_progress_counts_customers(tmp_path, monkeypatch):
    monkeypatch.setattr(training.simulate, "CHUNK_CUSTOMERS", 20)
    listener = Counts()
    simulate(50, 3, 1, tmp_path / "out", progress=listener)
    assert (listener.total, listener.done) == (50, 50)
