"""Scoring everybody, file to file: the same numbers as one by one, whole files or none."""

import csv
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churn.bundle import load as load_bundle
from churn.errors import BundleNotFound, ConfigError
from churn.events import Event, Kind
from churn.features import FEATURE_NAMES
from churn.policy.action import Action
from churn.registry import Registry
from churn.scoring import Scorer
from tests.policies import quiet
from training import bulk
from training.bulk import score, score_features
from training.calendar import instant
from training.config import Config, load
from training.score_files import schema, write
from training.simulate import simulate

NOW = datetime(2026, 11, 21, tzinfo=UTC)
CUSTOMERS = 300
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Another shop than the one the model was learnt from."""
    folder = tmp_path_factory.mktemp("shop")
    simulate(CUSTOMERS, 11, 8, folder / "shop")
    return load(folder / "shop" / "keepwell.toml")


@pytest.fixture(scope="module")
def scorer(published: Path) -> Scorer:
    registry = Registry(published)
    return Scorer(load_bundle(registry.path(registry.current() or "")))


def scored(shop: Config, published: Path, out: Path, **more: Any) -> list[dict[str, Any]]:
    result = score(shop, published, **({"as_of": None, "now": NOW} | more), out=out)
    assert result.path == out
    assert [entry.name for entry in out.parent.iterdir()] == [out.name]
    if out.suffix == ".parquet":
        rows = pq.read_table(out).to_pylist()
    elif out.suffix == ".csv":
        with out.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert result.rows == len(rows)
    return rows


class Notes:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def stage(self, name: str, total: int | None = None) -> None:
        pass

    def advance(self, n: int = 1) -> None:
        pass

    def note(self, line: str) -> None:
        self.lines.append(line)


def test_rows_that_are_no_events_are_kept_and_told_of(published: Path, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "customer_id,occurred_at,amount\na,2026-01-05,10\na,2026-02-30,10\nb,2026-03-01,-4\n"
    )
    (tmp_path / "keepwell.toml").write_text(
        "[events]\nquery = \"SELECT *, 'purchase' AS kind"
        " FROM read_csv('log.csv', all_varchar = true)\"\n"
    )
    notes = Notes()
    config = load(tmp_path / "keepwell.toml")
    out = tmp_path / "out" / "scores.parquet"
    assert score(config, published, as_of=None, out=out, now=NOW, progress=notes).rows == 1
    rejected = pq.read_table(tmp_path / "quarantine.parquet")
    assert rejected.num_rows == 2
    assert any("2 rejected rows" in line for line in notes.lines)


@pytest.fixture(scope="module")
def rows(
    shop: Config, published: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    out = tmp_path_factory.mktemp("out") / "scores.parquet"
    return scored(shop, published, out)


def events_of(shop: Config) -> dict[str, list[Event]]:
    """Each customer's events, read without the project's own reader."""
    histories: dict[str, list[Event]] = {}
    for row in pq.read_table(shop.base_dir / "events.parquet").to_pylist():
        given = {name: row[name] for name in Event._fields if row.get(name) is not None}
        given["kind"] = Kind(row["kind"])
        for name in ("occurred_at", "known_at"):
            if name in given:
                at = given[name]
                given[name] = instant(at if at.tzinfo else at.replace(tzinfo=UTC))
        histories.setdefault(row["customer_id"], []).append(Event(**given))
    return histories


ACTION = (
    "action", "action_channel", "act_by", "action_expected_value", "action_lower_bound",
    "action_cost", "holdout", "explored", "propensity", "situation", "action_why",
    "action_alternatives",
)  # fmt: skip


def suggested(row: dict[str, Any]) -> tuple[Any, ...] | None:
    """What a row of the file suggests."""
    found = tuple(row[name] for name in ACTION)
    return None if found == (None,) * len(ACTION) else found


def told(action: Action) -> tuple[Any, ...]:
    """The same of a customer scored alone."""
    by = None if action.act_by is None else date(1970, 1, 1) + timedelta(days=action.act_by)
    return (
        action.code, action.channel, by, action.expected_value, action.lower_bound, action.cost,
        action.holdout, action.explored, action.propensity, action.situation, action.why,
        [
            dict(zip(("code", "expected_value", "lower_bound", "cost"), one, strict=True))
            for one in action.alternatives
        ],
    )  # fmt: skip


def test_everybody_is_scored_once(rows: list[dict[str, Any]]) -> None:
    assert len({row["customer_id"] for row in rows}) == len(rows) == CUSTOMERS
    assert {row["status"] for row in rows} == {"scored", "lapsed"}
    for row in rows:
        assert (row["churn_probability"] is not None) == (row["status"] == "scored")
        assert (row["risk_band"] is not None) == (row["status"] == "scored")
        assert (row["action"] is not None) == (
            row["status"] == "scored" or row["situation"] == "open_complaint"
        )
        assert (len(row["risk_curve"]) > 0) == (row["status"] == "scored")
    assert {row["risk_band"] for row in rows} == {"low", "medium", "high", None}


def test_bulk_gives_the_bits_that_one_by_one_gives(
    rows: list[dict[str, Any]], shop: Config, scorer: Scorer
) -> None:
    as_of = instant(datetime(2024, 12, 1, tzinfo=UTC))  # the end of the simulated log
    histories = events_of(shop)
    for row in rows:
        one = scorer.score_events(row["customer_id"], histories[row["customer_id"]], as_of)
        assert one.warnings == ()
        assert row["status"] == one.status
        assert row["churn_probability"] == one.churn_probability
        assert row["risk_band"] == one.risk_band
        curve = [(point["days"], point["probability"]) for point in row["risk_curve"]]
        assert curve == list(one.risk_curve)
        median = one.next_purchase and one.next_purchase.median
        days = row["next_purchase_days"]
        assert median == (None if days is None else as_of + int(days * 86_400_000_000))
        assert suggested(row) == (one.action and told(one.action))
        assert row["customer_value"] == (one.customer_value and one.customer_value.amount)
        assert row["value_segment"] == one.value_segment
        assert row["loss_category"] == one.loss_category
        assert row["model_version"] == one.model_version
        assert [
            (
                *(why["code"], why["family"], why["contribution"], why["share"], why["feature"]),
                *(why["value"], why["norm"], why["controllable"], why["text"]),
            )
            for why in row["reasons"]
        ] == [
            (
                *(why.code, why.family, why.contribution, why.share, why.feature),
                *(why.value, why.norm, why.controllable, why.text),
            )
            for why in one.reasons
        ]


def test_an_earlier_date_sees_only_what_was_known_then(
    shop: Config, published: Path, scorer: Scorer, tmp_path: Path
) -> None:
    when = datetime(2024, 8, 3, 12, tzinfo=UTC)
    histories = events_of(shop)
    early = scored(shop, published, tmp_path / "early.parquet", as_of=when)
    statuses = set()
    for row in early:
        before = [
            event for event in histories[row["customer_id"]] if event.occurred_at < instant(when)
        ]
        one = scorer.score_events(row["customer_id"], before, instant(when))
        assert (row["status"], row["churn_probability"]) == (one.status, one.churn_probability)
        statuses.add(row["status"])
    assert "insufficient_history" in statuses  # those who came later


def test_csv_is_sorted_for_a_manager(
    rows: list[dict[str, Any]], shop: Config, published: Path, tmp_path: Path
) -> None:
    table = scored(shop, published, tmp_path / "scores.csv")
    assert list(table[0])[:4] == ["customer_id", "status", "churn_probability", "risk_band"]
    by_id = {row["customer_id"]: row for row in rows}
    told = [row for row in table if row["churn_probability"]]
    at_stake = [
        by_id[row["customer_id"]]["churn_probability"] * by_id[row["customer_id"]]["customer_value"]
        for row in told
    ]
    assert at_stake == sorted(at_stake, reverse=True)
    assert len({row["value_segment"] for row in told}) == 3
    assert all(row["churn_probability"] == "" for row in table[len(told) :])
    for row in table:
        texts = [why["text"] for why in by_id[row["customer_id"]]["reasons"]]
        assert row["reasons"] == " | ".join(texts)
        assert row["action"] == (by_id[row["customer_id"]]["action"] or "")
        value = by_id[row["customer_id"]]["customer_value"]
        amount = float(row["customer_value"] or "nan")
        assert amount == pytest.approx(
            float("nan") if value is None else value, abs=0.006, nan_ok=True
        )


def test_a_policy_of_ones_own_decides_what_is_suggested(
    shop: Config, published: Path, tmp_path: Path
) -> None:
    policy = quiet(cooldown_days=0, contact_cap=1000)
    free = scored(shop, published, tmp_path / "free" / "s.parquet", policy=policy)
    never = quiet(contact_cap=0)
    stopped = scored(shop, published, tmp_path / "never" / "s.parquet", policy=never)
    assert {row["policy_version"] for row in free} == {policy.version}
    assert any(row["action"] not in ("none", None) for row in free)
    service = {code for code, action in never.actions.items() if action.service}
    assert {row["action"] for row in stopped} <= service | {"none", None}
    assert not any(row["explored"] or row["holdout"] for row in (*free, *stopped))


def test_ndjson_holds_what_parquet_does(
    rows: list[dict[str, Any]], shop: Config, published: Path, tmp_path: Path
) -> None:
    as_text = json.loads(json.dumps(rows, default=str))  # dates
    assert scored(shop, published, tmp_path / "scores.ndjson") == as_text


def test_without_reasons_the_probabilities_are_the_same(
    rows: list[dict[str, Any]], shop: Config, published: Path, tmp_path: Path
) -> None:
    bare = scored(shop, published, tmp_path / "bare.parquet", reasons=0)
    assert "reasons" not in bare[0]
    assert "action" not in bare[0]
    assert [row["churn_probability"] for row in bare] == [row["churn_probability"] for row in rows]


def test_reasons_are_as_many_and_in_the_language_that_was_asked_for(
    rows: list[dict[str, Any]], shop: Config, published: Path, tmp_path: Path
) -> None:
    russian = scored(shop, published, tmp_path / "ru.parquet", reasons=1, language="ru")
    assert max(len(row["reasons"]) for row in russian) == 1
    for row, english in zip(russian, rows, strict=True):
        assert [why["code"] for why in row["reasons"]] == [
            why["code"] for why in english["reasons"][:1]
        ]
        assert all(any("а" <= letter <= "я" for letter in why["text"]) for why in row["reasons"])


class Heard:
    """A listener that keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def stage(self, name: str, total: int | None = None) -> None:
        pass

    def advance(self, n: int = 1) -> None:
        pass

    def note(self, line: str) -> None:
        self.notes.append(line)


def test_scoring_beyond_the_logs_end_is_told(shop: Config, published: Path, tmp_path: Path) -> None:
    heard = Heard()
    end = datetime(2024, 12, 1, tzinfo=UTC)
    scored(shop, published, tmp_path / "a.parquet", as_of=end, progress=heard)
    assert heard.notes == []
    (tmp_path / "a.parquet").unlink()
    scored(shop, published, tmp_path / "b.parquet", as_of=end + MICROSECOND, progress=heard)
    (note,) = heard.notes
    assert "complete until 2024-12-01 only" in note


def test_a_feed_that_the_log_lacks_is_unknown_not_zero(
    shop: Config, published: Path, tmp_path: Path
) -> None:
    (tmp_path / "narrow").mkdir()
    narrow = tmp_path / "narrow" / "keepwell.toml"
    text = (shop.base_dir / "keepwell.toml").read_text(encoding="utf-8")
    source = str(shop.base_dir / "events.parquet")
    query = f"SELECT * FROM '{source}' WHERE kind NOT IN ('complaint', 'complaint_resolved')"
    narrow.write_text(text.replace("SELECT * FROM 'events.parquet'", query), encoding="utf-8")
    (tmp_path / "out").mkdir()
    table = scored(load(narrow), published, tmp_path / "out" / "s.parquet", reasons=8)
    assert not any(why["family"] == "complaints" for row in table for why in row["reasons"])
    assert not any(row["situation"] == "open_complaint" for row in table)


@pytest.mark.parametrize("name", ["scores.xlsx", "scores", "scores.PARQUET"])
def test_another_ending_is_refused_before_any_work(
    shop: Config, published: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ConfigError, match=r"--out .*: the file's ending must be one of"):
        score(shop, published, as_of=None, out=tmp_path / name, now=NOW)
    assert list(tmp_path.iterdir()) == []


def test_without_a_model_the_way_out_is_told(shop: Config, tmp_path: Path) -> None:
    with pytest.raises(BundleNotFound, match="run `keepwell train` first"):
        score(shop, tmp_path / "models", as_of=None, out=tmp_path / "s.csv", now=NOW)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_in_the_middle_leaves_the_file_that_was_there(
    shop: Config, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "scores.csv"
    out.write_text("yesterday's")
    calls = 0
    real = bulk.features

    def fails_later(*arguments: Any) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls > 5:
            raise OSError("no space left on device")
        return real(*arguments)

    monkeypatch.setattr(bulk, "features", fails_later)
    with pytest.raises(OSError, match="no space left"):
        score(shop, published, as_of=None, out=out, now=NOW)
    assert out.read_text() == "yesterday's"
    assert [entry.name for entry in tmp_path.iterdir()] == ["scores.csv"]


@pytest.mark.parametrize("name", ["it's.csv", "two words.ndjson", "Ünï.parquet"])
def test_a_file_may_have_any_name(shop: Config, published: Path, tmp_path: Path, name: str) -> None:
    assert len(scored(shop, published, tmp_path / name, reasons=0)) == CUSTOMERS


def test_features_in_a_file_score_as_the_rows_do(scorer: Scorer, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    X = rng.gamma(2.0, 9.0, size=(500, len(FEATURE_NAMES))).round(1)
    X[rng.random(X.shape) < 0.2] = np.nan
    columns: dict[str, Any] = {
        name: pa.array(X[:, at], from_pandas=True) for at, name in enumerate(FEATURE_NAMES)
    }
    absent = "visits_7d"
    del columns[absent]
    X[:, FEATURE_NAMES.index(absent)] = np.nan
    ids = [f"c{n}" for n in range(500)]
    pq.write_table(pa.table({"customer_id": ids} | columns), tmp_path / "features.parquet")
    result = score_features(scorer, tmp_path / "features.parquet", tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert result.rows == 500
    assert table["customer_id"].to_pylist() == ids
    expected = scorer.score_matrix(X).probability
    found = table["churn_probability"].to_numpy()
    assert np.array_equal(found, expected, equal_nan=True)


def test_no_tables_are_an_empty_file(tmp_path: Path) -> None:
    def nothing() -> Iterator[pa.Table]:
        yield from ()

    assert write(nothing(), tmp_path / "new" / "empty.parquet", schema(3)) == 0
    assert pq.read_table(tmp_path / "new" / "empty.parquet").num_rows == 0
