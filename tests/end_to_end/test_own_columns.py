"""From `[features]` in keepwell.toml to scores: training, bulk scoring and the service agree."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churn.bundle import Bundle, load
from churn.events import Event, Kind
from churn.registry import Registry
from churn.scoring import Scorer
from training.bulk import score, score_features
from training.calendar import instant
from training.config import load as load_config
from training.pipeline import TrainResult, train
from training.progress import Silent
from training.simulate import simulate

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
FEATURES = """
[features]
query = "SELECT client AS customer_id, changed AS known_at, plan, calls FROM 'plans.parquet'"

[features.columns.calls]
family = "service"
unit = "calls"
direction = 1
label = {en = "calls", ru = "звонки"}
text = {en = "{value} calls, usually {norm}", ru = "звонков {value}, обычно {norm}"}
"""


class Notes(Silent):
    """Keeps what a person would be told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, line: str) -> None:
        self.told.append(line)


class Shop:
    """A simulated shop with plans and calls that tell who buys no more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        simulate(500, 10, 7, folder)
        (folder / "keepwell.toml").write_text((folder / "keepwell.toml").read_text() + FEATURES)
        self.config = load_config(folder / "keepwell.toml")
        plans(folder)
        self.trained: TrainResult = train(self.config, folder / "models", now=NOW)
        # These columns know in hindsight which order was the last: a gate stops them, rightly.
        assert {gate.column for gate in self.trained.judgement.failed} <= {"plan", "calls", None}
        Registry(folder / "models").promote(self.trained.version)

    @property
    def bundle(self) -> Bundle:
        return load(self.trained.path)


def plans(folder: Path) -> None:
    """A row per customer and month: calls are many, and the plan lapses, after the last order."""
    last = duckdb.sql(
        "SELECT customer_id, epoch(min(occurred_at)),"
        " epoch(max(occurred_at) FILTER (kind = 'purchase'))"
        f" FROM '{folder}/events.parquet' GROUP BY 1 ORDER BY 1"
    ).fetchall()
    rng = np.random.default_rng(3)
    rows = []
    for n, (client, first, final) in enumerate(last):
        for month in range(12):
            changed = first + month * 30 * 86_400
            silent = final is None or changed > final
            plan = ("gold", "basic")[n % 2]
            if silent and rng.random() < 0.8:
                plan = "lapsed"
            calls = None if n % 9 == 0 else float(rng.poisson(4 if silent else 1))
            row = {"client": client, "plan": plan, "calls": calls}
            rows.append(row | {"changed": datetime.fromtimestamp(changed, UTC)})
    pq.write_table(pa.Table.from_pylist(rows), folder / "plans.parquet")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


def test_the_published_model_reads_them(shop: Shop) -> None:
    manifest = shop.bundle.manifest
    by_name = {entry.name: entry for entry in manifest.features}
    assert by_name["plan"].categories == ["basic", "gold", "lapsed"]
    assert by_name["calls"].family == "service"
    gains = json.loads((shop.trained.path / "manifest.json").read_text())
    assert gains["format_version"] == 2
    assert {"plan", "service"} <= set(shop.bundle.model.schema.families)
    text = shop.bundle.model.lightgbm_text
    assert "num_cat=0" in text
    assert any(f"num_cat={n}" in text for n in range(1, 7))  # categories are split as sets
    assert "calls" in (shop.trained.path / "report.html").read_text()


def history(folder: Path, customer: str) -> list[Event]:
    rows = duckdb.sql(
        "SELECT epoch_us(occurred_at) AS occurred_at, kind, order_id, amount, value, quantity,"
        " discount, category, case_id, channel, epoch_us(known_at) AS known_at"
        f" FROM '{folder}/events.parquet' WHERE customer_id = '{customer}'"
    ).fetchall()
    return [Event(row[0], Kind(row[1]), *row[2:-1], known_at=row[-1]) for row in rows]


def own(folder: Path, customer: str, as_of: int) -> dict[str, Any]:
    found = duckdb.sql(
        f"SELECT plan, calls FROM '{folder}/plans.parquet' WHERE client = '{customer}'"
        f" AND epoch_us(changed) < {as_of} ORDER BY changed DESC LIMIT 1"
    ).fetchall()
    return dict(zip(("plan", "calls"), found[0] if found else (None, None), strict=True))


def test_bulk_scores_are_the_services_to_the_last_bit(shop: Shop, tmp_path: Path) -> None:
    out = tmp_path / "scores.parquet"
    score(shop.config, shop.folder / "models", as_of=None, out=out, now=NOW, reasons=3)
    rows = pq.read_table(out).to_pylist()
    scorer = Scorer(shop.bundle)
    made_at = str(shop.bundle.manifest.training["made_at"])
    as_of = instant(datetime.fromisoformat(made_at).replace(tzinfo=UTC))
    scored = [row for row in rows if row["status"] == "scored"][:40]
    assert len(scored) == 40
    for row in scored:
        customer = row["customer_id"]
        known = own(shop.folder, customer, as_of)
        single = scorer.score_events(
            customer, history(shop.folder, customer), as_of, named=known, max_reasons=3
        )
        assert single.churn_probability == row["churn_probability"], customer
        assert [reason.text for reason in single.reasons] == [r["text"] for r in row["reasons"]]
    codes = {reason["code"] for row in rows for reason in row["reasons"]}
    assert {"plan", "service"} <= codes


def test_what_the_model_did_not_learn_is_told_when_scoring(shop: Shop, tmp_path: Path) -> None:
    other = shop.folder / "other.toml"
    query = "SELECT client AS customer_id, changed AS known_at, 'new' AS plan, 1 AS tier"
    other.write_text(
        (shop.folder / "keepwell.toml").read_text().partition("[features]")[0]
        + f"[features]\nquery = \"{query} FROM 'plans.parquet'\"\n"
    )
    notes = Notes()
    score(
        load_config(other), shop.folder / "models", as_of=None, out=tmp_path / "s.csv", now=NOW,
        reasons=0, progress=notes,
    )  # fmt: skip
    told = "\n".join(notes.told)
    assert "[features] gives no calls, which the model reads: taken as missing" in told
    assert "[features] gives tier, which the model does not read; train again" in told
    assert "customers have a plan that was not seen in training" in told


def test_a_file_of_features_holds_categories_as_text(shop: Shop, tmp_path: Path) -> None:
    scorer = Scorer(shop.bundle)
    plans = ["gold", "lapsed", None, "new"]
    table = {
        "customer_id": pa.array(list("abcd")),
        "days_since_last_purchase": pa.array([40.0] * 4),
        "purchase_days_total": pa.array([5.0] * 4),
        "plan": pa.array(plans).dictionary_encode(),
    }
    pq.write_table(pa.table(table), tmp_path / "in.parquet")
    score_features(scorer, tmp_path / "in.parquet", tmp_path / "out.parquet")
    found = pq.read_table(tmp_path / "out.parquet")["churn_probability"].to_pylist()
    named = {"days_since_last_purchase": 40.0, "purchase_days_total": 5.0}
    expected = [
        scorer.score_features("c", named | {"plan": plan}, 0).churn_probability for plan in plans
    ]
    assert found == expected
    assert len(set(found)) > 1
