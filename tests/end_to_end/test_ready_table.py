"""A ready feature table, from keepwell.toml to an answer over HTTP."""

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from churn.bundle import load
from churn.drift import PROBABILITY, Reference
from churn.errors import DataError
from churn.scoring import Scorer
from cli.main import run
from service.settings import Settings
from tests.contract.client import AppClient, build, customer
from tests.ready_table import COLUMNS, NOW, NOW_US, QUERY, lines, trained, write
from tests.support import small_bundle
from training import bulk, config
from training.pipeline import TrainResult
from training.progress import Silent
from training.settings import read as read_settings
from training.table.config import TableConfig
from training.table.folds import OutOfFold, in_folds
from training.table.judged import Judged
from training.table.rows import read
from training.table.score import score
from training.table.train import train


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    trained(folder)
    return folder


@pytest.fixture(scope="module")
def result(shop: Path) -> TrainResult:
    return trained(shop)


@pytest.fixture(scope="module")
def scorer(shop: Path, result: TrainResult) -> Scorer:
    return Scorer(load(shop / "models" / result.version))


def of(shop: Path) -> TableConfig:
    found = read_settings(shop / "keepwell.toml")
    assert isinstance(found, TableConfig)
    return found


def features(line: str) -> dict[str, object]:
    _, _, _, _, plan, calls, spend, noise = line.split(",")
    named = {"plan": plan, "calls": float(calls), "noise": float(noise)}
    return named | ({"spend": float(spend)} if spend else {})


def test_a_good_model_is_promoted_with_its_report(shop: Path, result: TrainResult) -> None:
    assert result.promoted
    assert result.judgement.grade.letter in "BC"
    assert {gate.name for gate in result.judgement.gates} == {
        "leakage_table_column", "calibration", "reason_lowers_risk", "reason_beats_others",
        "reason_steady", "not_worse_than_promoted",
    }  # fmt: skip
    folder = shop / "models" / result.version
    page, card = ((folder / name).read_text() for name in ("report.html", "model_card.md"))
    for text in (page, card):
        assert "400 rows" in text
        assert "Logistic regression" in text
        assert "the label of the table" in text
        assert "purchase in the last" not in text
        assert "one-time buyers" not in text
    auc = result.metrics["roc_auc"]
    assert auc is not None
    assert 0.75 < auc < 0.95
    assert any("judged in folds on 400 rows" in line for line in result.lines)


def drift_of(scorer: Scorer, rows: list[str]) -> dict[str, float]:
    entry = scorer.bundle.manifest.drift
    assert entry is not None
    held = Reference(scorer.schema, entry)
    X = np.array([scorer.rows.inputs.row(features(line)) for line in rows])  # type: ignore[arg-type]
    return held.drift(held.binning.count(X, scorer.score_matrix(X).probability))


def test_new_rows_of_the_same_kind_have_not_drifted_and_others_have(scorer: Scorer) -> None:
    same = drift_of(scorer, lines(1000, seed=4))
    assert same.keys() == {"plan", "calls", "spend", "noise", PROBABILITY}
    assert max(same.values()) < 0.1
    changed = [line.replace(",trial,", ",platinum,") for line in lines(1000, seed=4)]
    other = drift_of(scorer, changed)
    assert other["plan"] > 1.0
    assert {name: psi for name, psi in other.items() if name not in ("plan", PROBABILITY)} == {
        name: psi for name, psi in same.items() if name not in ("plan", PROBABILITY)
    }


def test_scores_of_a_file_are_those_of_requests(shop: Path, scorer: Scorer) -> None:
    out = shop / "scores.ndjson"
    assert score(of(shop), shop / "models", as_of=None, out=out, now=NOW).rows == 400
    found = {one["customer_id"]: one for one in map(json.loads, out.read_text().splitlines())}
    for line in lines()[:40]:
        client = line.split(",")[0]
        one = scorer.score_features(client, features(line), NOW_US)
        assert one.churn_probability == pytest.approx(found[client]["churn_probability"], abs=1e-12)
        assert [reason.text for reason in one.reasons] == [
            reason["text"] for reason in found[client]["reasons"]
        ]


def test_the_label_is_not_needed_to_score(shop: Path, tmp_path: Path) -> None:
    query = QUERY.replace("left_us AS is_churn,", "")
    unlabelled = write(tmp_path, lines()[:30], query)
    with_label = write(tmp_path / "with", lines()[:30])
    for name, given in {"a.csv": unlabelled, "b.csv": with_label}.items():
        score(given, shop / "models", as_of=None, out=tmp_path / name, now=NOW)
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()


def test_codes_of_the_file_do_not_matter_but_names_do(shop: Path, tmp_path: Path) -> None:
    row = lines()[0].split(",")
    other = [*row[:4], "never seen", *row[5:]]
    only_gold = [line for line in lines()[:60] if ",gold," in line]
    notes: list[str] = []

    class Told(Silent):
        def note(self, line: str) -> None:
            notes.append(line)

    given = write(tmp_path, [*only_gold, ",".join(other)])
    out = tmp_path / "scores.csv"
    score(given, shop / "models", as_of=None, out=out, now=NOW, progress=Told())
    assert any("1 customers have a plan that was not seen in training" in note for note in notes)
    score(of(shop), shop / "models", as_of=None, out=tmp_path / "all.csv", now=NOW)
    before = {
        one["customer_id"]: one
        for one in csv.DictReader((tmp_path / "all.csv").read_text().splitlines())
    }
    after = {one["customer_id"]: one for one in csv.DictReader(out.read_text().splitlines())}
    for line in only_gold:
        client = line.split(",")[0]
        assert after[client] == before[client]


def test_of_several_rows_the_latest_known_one_counts(shop: Path, tmp_path: Path) -> None:
    query = QUERY.replace("plan,", "made, plan,")
    rows = [
        "a,no,2025-01-01,h,trial,9,1,1", "a,no,2025-06-01,h,gold,0,99,1",
        "b,no,2025-03-01,h,gold,0,99,1",
    ]  # fmt: skip
    given = write(tmp_path, rows, query, 'as_of = "made"\n' + COLUMNS)
    found = {}
    for day in (None, NOW.replace(year=2025, month=2), NOW.replace(year=2024)):
        out = tmp_path / "scores.csv"
        score(given, shop / "models", as_of=day, out=out, now=NOW)
        found[day and day.year * 100 + day.month] = {
            one["customer_id"]: float(one["churn_probability"])
            for one in csv.DictReader(out.read_text().splitlines())
        }
    assert set(found[None]) == {"a", "b"}
    assert set(found[202502]) == {"a"}
    assert found[202502]["a"] > 0.5 > found[None]["a"]
    assert found[202411] == {}


def test_a_dated_table_is_judged_out_of_time(tmp_path: Path) -> None:
    query = QUERY.replace("plan,", "made, plan,")
    given = write(tmp_path, lines(700), query, 'as_of = "made"\n' + COLUMNS)
    found = train(given, tmp_path / "models", now=NOW)
    assert any("judged as of 2026-0" in line for line in found.lines)
    card = (found.path / "model_card.md").read_text()
    assert "outcomes known by then" in card
    verdict = load(found.path).manifest.verdict
    assert verdict is not None
    assert verdict.judged_as_of.startswith("2026-0")


def test_a_column_that_is_the_answer_keeps_the_model_from_being_promoted(tmp_path: Path) -> None:
    query = QUERY.replace("calls,", "calls, CASE left_us WHEN 'yes' THEN 9 ELSE 1 END AS final,")
    found = train(write(tmp_path, lines(), query), tmp_path / "models", now=NOW)
    assert not found.promoted
    assert [gate.column for gate in found.judgement.failed] == ["final"]


def test_a_column_whose_categories_are_all_rare_does_not_end_training(tmp_path: Path) -> None:
    town = "'t' || (CAST(substr(home, 2) AS INTEGER) % 40) AS town, calls,"  # of ten rows each
    given = write(tmp_path, lines(), QUERY.replace("calls,", town))
    bundle = load(train(given, tmp_path / "models", now=NOW).path)
    column, drift = bundle.model.schema.extra("town"), bundle.manifest.drift
    assert column is not None
    assert drift is not None
    assert column.categories == ()
    assert drift.features["town"].counts == [400]


def test_a_model_of_events_and_a_table_do_not_mix(shop: Path, tmp_path: Path) -> None:
    small_bundle(tmp_path / "models")
    with pytest.raises(DataError, match=r"reads events, but .* has a \[table\]"):
        score(of(shop), tmp_path / "models", as_of=None, out=tmp_path / "a.csv", now=NOW)
    text = '[events]\nquery = "SELECT 1 AS customer_id"\n'
    events = config.parse(text, tmp_path / "keepwell.toml")
    with pytest.raises(DataError, match=r"reads a ready table, but .* has \[events\]"):
        bulk.score(events, shop / "models", as_of=None, out=tmp_path / "a.csv", now=NOW)


@pytest.fixture(scope="module")
def client(shop: Path, result: TrainResult) -> Iterator[AppClient]:
    with build(Settings(models_dir=shop / "models")) as client:
        yield client


def test_features_are_scored_and_explained_over_http(client: AppClient) -> None:
    body = {"customer_id": "a", "features": {"plan": "trial", "calls": 7, "spend": 3.0}}
    answer = client.post("/score", body)
    assert answer.status_code == 200
    found = answer.json()
    assert found["status"] == "scored"
    assert found["churn_probability"] > 0.5
    assert "7 calls; others make 1" in [reason["text"] for reason in found["reasons"]]
    assert any("noise" in warning for warning in found["warnings"])


def test_events_are_refused_by_a_model_that_reads_none(client: AppClient) -> None:
    answer = client.post("/score", customer())
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["errors"] == [{"pointer": "/events", "code": "events_not_read"}]
    assert "send `features`" in problem["detail"]


def test_the_columns_of_the_table_are_listed(client: AppClient) -> None:
    model = client.get("/v1/model").json()
    assert [one["name"] for one in model["features"]] == ["plan", "calls", "spend", "noise"]
    codes = {one["code"] for one in client.get("/v1/reasons").json()["reasons"]}
    assert "service" in codes


def test_nothing_known_is_no_score(client: AppClient) -> None:
    answer = client.post("/score", {"customer_id": "a", "features": {"plan": "trial"}})
    assert answer.json()["status"] == "insufficient_history"


def test_the_command_line_takes_a_table(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = str(shop / "keepwell.toml")
    assert run(["check", "-c", toml, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accepted"] == 400
    assert run(["check", "-c", toml]) == 0
    assert "400 rows" in capsys.readouterr().out
    assert run(["backtest", "-c", toml, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["as_of"] == []
    assert set(answer["models"]) == {"keepwell", "logistic", "lightgbm_default"}
    assert set(answer["models"]["keepwell"]) >= {"roc_auc", "log_loss", "ece", "by_date"}
    assert run(["backtest", "-c", toml, "--as-of", "2025-01-01"]) == 2
    assert "[table] as_of" in capsys.readouterr().err
    out = str(tmp_path / "scores.parquet")
    models = ["--models-dir", str(shop / "models")]
    assert run(["score", "-c", toml, *models, "--out", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 400


ECOMMERCE = """
[table]
query = \"\"\"
SELECT CustomerID AS customer_id, Churn AS is_churn, (row_number() OVER () - 1) % 2815 AS pair,
       * EXCLUDE (CustomerID, Churn)
FROM '{folder}/ecommerce_churn.parquet'
\"\"\"
group = "pair"
"""
IRANIAN = """
[table]
query = \"\"\"
SELECT row_number() OVER () AS customer_id, Churn AS is_churn, Complains AS complains,
       "Call  Failure" AS call_failures, "Subscription  Length" AS months,
       "Charge  Amount" AS charge, "Seconds of Use" AS seconds, "Frequency of use" AS calls,
       "Frequency of SMS" AS messages, "Distinct Called Numbers" AS numbers,
       "Age Group" AS age_group, "Tariff Plan" AS plan, Status AS status, Age AS age,
       "Customer Value" AS value
FROM '{folder}/iranian_churn.parquet'
\"\"\"
"""
needs_data = pytest.mark.skipif(
    "KEEPWELL_EVAL_DATA" not in os.environ, reason="KEEPWELL_EVAL_DATA is not set"
)


def judged(text: str, folder: Path) -> tuple[Judged, OutOfFold]:
    toml = folder / "keepwell.toml"
    toml.write_text(text.format(folder=os.environ["KEEPWELL_EVAL_DATA"]))
    given = read_settings(toml)
    assert isinstance(given, TableConfig)
    return in_folds(read(given, now_us=NOW_US).rows, given.training.seed, Silent())


@needs_data
def test_customers_of_a_shop_who_are_in_the_table_twice_stay_in_one_fold(tmp_path: Path) -> None:
    found, known = judged(ECOMMERCE, tmp_path)
    fold = dict(zip(found.test.customer_id.tolist(), known.fold.tolist(), strict=True))
    first = min(int(customer) for customer in fold)
    assert len(fold) == 5630
    assert all(fold[str(first + at)] == fold[str(first + at + 2815)] for at in range(2815))
    metrics = found.to_dict(60)["models"]
    assert metrics["keepwell"]["roc_auc"] >= 0.980
    assert metrics["keepwell"]["log_loss"] <= 0.125
    assert metrics["keepwell"]["roc_auc"] > metrics["lightgbm_default"]["roc_auc"] + 0.005
    assert metrics["logistic"]["roc_auc"] == pytest.approx(0.894, abs=0.005)


@needs_data
def test_customers_of_a_telephone_company_are_ranked_well(tmp_path: Path) -> None:
    metrics = judged(IRANIAN, tmp_path)[0].to_dict(60)["models"]
    assert metrics["keepwell"]["roc_auc"] >= 0.988
    assert metrics["logistic"]["roc_auc"] == pytest.approx(0.931, abs=0.005)
