"""Training on what users bring: the good log, and every bad one."""

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from churn.bundle import load
from churn.features import FEATURES
from churn.registry import Registry
from churn.scoring import Scorer
from cli.main import run
from tests.decisions_table import START
from tests.decisions_table import row as decision
from tests.decisions_table import table as decisions_table
from training import config as configuration
from training.pipeline import train

FIRST = date(2023, 1, 1)
SELECT = (
    "SELECT who AS customer_id, day AS occurred_at, 'purchase' AS kind, paid AS amount "
    "FROM 'log.csv'"
)


def purchases(
    customers: int = 60, days: int = 400, gap: tuple[float, float] = (5.0, 60.0), seed: int = 1
) -> list[tuple[str, str, str]]:
    """Customers who buy at rates of their own and stop at some time of their own, or not."""
    rng = np.random.default_rng(seed)
    lines = []
    for n in range(customers):
        day, mean = float(rng.uniform(0, days / 2)), float(rng.uniform(*gap))
        end = float(rng.uniform(days / 4, days * 1.5))
        while day < min(days, end):
            when = FIRST + timedelta(days=int(day))
            lines.append((f"c{n}", when.isoformat(), f"{rng.uniform(5, 90):.2f}"))
            day += 0.5 + rng.exponential(mean)
    return lines


def project(
    folder: Path,
    lines: Iterable[tuple[str, str, str]],
    query: str = SELECT,
    problem: str = "horizon_days = 30",
    header: str = "who,day,paid",
) -> Path:
    """A folder with a log and a keepwell.toml."""
    folder.mkdir(exist_ok=True)
    (folder / "log.csv").write_text(
        "\n".join([header, *(",".join(line) for line in lines)]) + "\n", encoding="utf-8"
    )
    config = folder / "keepwell.toml"
    config.write_text(f'[events]\nquery = """{query}"""\n[problem]\n{problem}\n', encoding="utf-8")
    return config


def same_day_every_month(customers: int) -> list[tuple[str, str, str]]:
    return [
        (f"c{n}", (FIRST + timedelta(days=week * 7 + n % 7)).isoformat(), "9.90")
        for n in range(customers)
        for week in range(60)
    ]


def one_purchase_each() -> list[tuple[str, str, str]]:
    # The log ends with an event, so a last stranger keeps it open.
    days = [(f"c{n}", (FIRST + timedelta(days=n % 300)).isoformat(), "9.90") for n in range(900)]
    return [*days, ("last", (FIRST + timedelta(days=400)).isoformat(), "9.90")]


GOOD = purchases()

# What is wrong: the project, the exit code, and what the line must say.
BAD: dict[str, tuple[dict[str, object], int, tuple[str, ...]]] = {
    "a missing column": (
        {"lines": GOOD, "query": "SELECT who AS customer_id, day AS occurred_at FROM 'log.csv'"},
        1,
        ("keepwell.toml", "[events] query", "kind"),
    ),
    "a column that the file lacks": (
        {"lines": GOOD, "query": SELECT.replace("paid", "sum_paid")},
        1,
        ("keepwell.toml", "[events] query", "sum_paid"),
    ),
    "a file that is not there": (
        {"lines": GOOD, "query": SELECT.replace("log.csv", "other.csv")},
        1,
        ("keepwell.toml", "[events] query", "other.csv"),
    ),
    "a date that is none, cast": (
        {
            "lines": [*GOOD, ("c1", "2023-13-45", "3")],
            "query": SELECT.replace("day AS", "day::DATE AS"),
        },
        1,
        ("keepwell.toml", "[events] query", "TRY_CAST"),
    ),
    "dates that are none": (
        {"lines": [(who, f"day {day}", paid) for who, day, paid in GOOD]},
        1,
        ("keepwell.toml", "occurred_at"),
    ),
    "a mistake in the SQL": (
        {"lines": GOOD, "query": "SELECT who FRM 'log.csv'"},
        1,
        ("keepwell.toml", "[events] query", "syntax"),
    ),
    "no rows": (
        {"lines": GOOD, "query": f"{SELECT} WHERE paid < 0"},
        1,
        ("keepwell.toml", "[events] query gives no rows"),
    ),
    "no purchases": (
        {"lines": GOOD, "query": SELECT.replace("'purchase'", "'visit'")},
        1,
        ("keepwell.toml", "purchase"),
    ),
    "a log too short": (
        {"lines": [line for line in GOOD if line[1] < "2023-03-01"]},
        1,
        ("days too short", "[problem] horizon_days", "longer history"),
    ),
    "a horizon longer than the log": (
        {"lines": GOOD, "problem": "horizon_days = 300"},
        1,
        ("days too short", "[problem] horizon_days"),
    ),
    "one customer only": (
        {"lines": [("c1", day, paid) for _, day, paid in GOOD]},
        1,
        ("customer", "bring more customers"),
    ),
    "no churners": (
        {"lines": same_day_every_month(80)},
        1,
        ("churned", "lower [problem] horizon_days"),
    ),
    "all churners": (
        {"lines": one_purchase_each()},
        1,
        ("churned", "raise [problem] horizon_days"),
    ),
    "a horizon of zero": (
        {"lines": GOOD, "problem": "horizon_days = 0"},
        2,
        ("keepwell.toml", "horizon_days"),
    ),
    "a key that does not exist": (
        {"lines": GOOD, "problem": "horizont_days = 30"},
        2,
        ("keepwell.toml", "horizont_days", "horizon_days"),
    ),
    "an inactivity beyond the window": (
        {"lines": GOOD, "problem": "observation_window_days = 90\ninactivity_days = 180"},
        2,
        ("keepwell.toml", "observation_window_days", "inactivity_days"),
    ),
}


@pytest.mark.parametrize("command", ["train", "backtest"])
@pytest.mark.parametrize("wrong", BAD)
def test_bad_input_is_one_clear_line(
    wrong: str, command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given, code, expected = BAD[wrong]
    config = project(tmp_path / "shop", **given)  # type: ignore[arg-type]
    models = tmp_path / "models"
    there = ["--models-dir", str(models)] if command == "train" else []
    assert run([command, "-c", str(config), "--json", *there]) == code
    out, err = capfd.readouterr()
    assert out == ""
    said = [line for line in err.splitlines() if line.startswith("keepwell: ")]
    assert len(said) == 1
    assert err.splitlines()[-1] == said[0]
    assert "Traceback" not in err
    for words in expected:
        assert words in said[0]
    assert not models.exists()
    left = {entry.name for entry in config.parent.iterdir()}
    assert left - {"quarantine.parquet"} == {"log.csv", "keepwell.toml"}


def test_no_configuration_is_one_clear_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "-c", str(tmp_path / "keepwell.toml")]) == 2
    assert "no such file; `keepwell init DIR` writes one" in capfd.readouterr().err


def test_a_failed_training_leaves_the_published_model_in_place(
    published: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    registry = Registry(published)
    before = (registry.current(), registry.versions())
    config = project(tmp_path / "shop", same_day_every_month(80))
    assert run(["train", "-c", str(config), "--models-dir", str(published)]) == 1
    assert (registry.current(), registry.versions()) == before
    assert sorted(entry.name for entry in published.iterdir()) == sorted(
        [*registry.versions(), "current"]
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a model, learnt from a log with some rows that are no events."""
    folder = tmp_path_factory.mktemp("trained")
    bad = [("c1", "someday", "5"), ("", "2023-02-01", "5"), ("c2", "2023-02-01", "-4")]
    future = [("c3", "2199-01-01", "5")]
    lines = [*purchases(400), *bad, *future, GOOD[0], GOOD[0]]
    config = configuration.load(
        project(
            folder,
            lines,
            query=SELECT.replace("'log.csv'", "read_csv('log.csv', all_varchar = true)"),
        )
    )
    train(config, folder / "models", now=datetime(2026, 11, 21, tzinfo=UTC))
    return folder


def test_a_trained_model_is_published_and_promoted(trained: Path) -> None:
    registry = Registry(trained / "models")
    current = registry.current()
    assert current is not None
    assert registry.versions() == [current]
    assert sorted(entry.name for entry in registry.path(current).iterdir()) == [
        "golden.json",
        "manifest.json",
        "model.joblib",
        "model_card.md",
        "report.html",
    ]
    assert not list((trained / "models").glob(".*"))


def test_the_manifest_says_what_a_reader_needs(trained: Path) -> None:
    registry = Registry(trained / "models")
    manifest = load(registry.path(registry.current() or "")).manifest
    assert manifest.horizon_days == 30
    assert manifest.feeds == ["cheques", "orders"]
    offered = {feature.name for feature in FEATURES if feature.feed in manifest.feeds}
    assert {entry.name for entry in manifest.features} == offered
    for entry in manifest.features:
        reference = entry.reference
        numbers = [
            reference.minimum, reference.p01, reference.p50, reference.p99, reference.maximum,
        ]  # fmt: skip
        known = [number for number in numbers if number is not None]
        assert known == sorted(known)
        assert len(known) in (0, 5)
    assert 0 < manifest.thresholds.medium < manifest.thresholds.high < 1
    assert manifest.metrics["roc_auc"] is not None
    assert 0.5 < manifest.metrics["roc_auc"] < 1
    assert len(manifest.data_fingerprint) == 64
    assert {"numpy", "lightgbm", "python"} <= set(manifest.libraries)
    # The last label ends when the log does: 2024-02-04 is the day after the last good event.
    made_at = date.fromisoformat(str(manifest.training["made_at"]))
    dates = [date.fromisoformat(str(day)) for day in manifest.training["snapshots"]]  # type: ignore[attr-defined]
    assert made_at - timedelta(days=31) <= max(dates) <= made_at - timedelta(days=30)


def test_rejected_rows_are_kept_with_their_reason(trained: Path) -> None:
    import pyarrow.parquet as pq

    rows = pq.read_table(trained / "quarantine.parquet").to_pylist()
    assert sorted(row["reason"] for row in rows) != []
    assert len(rows) == 6
    assert len({row["reason"] for row in rows}) == 5


def test_the_report_names_the_model_it_is_about(trained: Path) -> None:
    registry = Registry(trained / "models")
    version = registry.current() or ""
    page = (registry.path(version) / "report.html").read_text(encoding="utf-8")
    assert version in page
    assert "belong to a model made as of" in page


def test_the_same_log_gives_the_same_model(trained: Path, tmp_path: Path) -> None:
    config = configuration.load(trained / "keepwell.toml")
    again = train(config, tmp_path / "models", now=datetime(2026, 11, 22, tzinfo=UTC))
    registry = Registry(trained / "models")
    first = load(registry.path(registry.current() or ""))
    second = load(again.path)
    assert second.manifest.files["model.joblib"] == first.manifest.files["model.joblib"]
    assert second.manifest.files["golden.json"] == first.manifest.files["golden.json"]
    assert second.version != first.version
    assert Scorer(second).bundle.manifest.thresholds == first.manifest.thresholds


def test_progress_and_result_are_told_apart(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = project(tmp_path / "shop", purchases(400))
    models = tmp_path / "models"
    assert run(["train", "-c", str(config), "--models-dir", str(models), "--json"]) == 0
    out, err = capfd.readouterr()
    told = json.loads(out)
    assert told["version"] == Registry(models).current()
    assert told["promoted"] is True
    assert "computing features" in err


def decided(config: Path, days: Iterable[int]) -> None:
    """Decisions of some days of the log about all customers, a fifth of them withheld."""
    first = (FIRST - START.date()).days
    rows = [
        decision(
            customer_id=f"c{n}",
            day=first + day,
            withheld=n % 5 == 0,
            propensity=0.2 if n % 5 == 0 else 0.8,
        )
        for day in days
        for n in range(120)
    ]
    pq.write_table(decisions_table(rows), config.parent / "decisions.parquet")
    text = config.read_text(encoding="utf-8")
    config.write_text(f'{text}[training]\ndecisions = "decisions.parquet"\n', encoding="utf-8")


def test_customers_who_were_treated_teach_neither_risk_nor_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {}
    for name, days in (("plain", ()), ("treated", (150, 260))):
        config = project(tmp_path / name, purchases(120, seed=3))
        if days:
            decided(config, days)
        run(["train", "-c", str(config), "--models-dir", str(tmp_path / name / "models"), "--json"])
        out, err = capsys.readouterr()
        published = Path(json.loads(out)["path"])  # promoted or not: the log is small
        report = (published / "report.html").read_text(encoding="utf-8")
        for told in (err, report):
            assert ("who got a retention action in the window" in told) == bool(days)
        assert ("for values, of " in err) == bool(days)
        values[name] = load(published).model.value
    plain, treated = values["plain"], values["treated"]
    assert plain is not None
    assert treated is not None
    assert (plain.weight != treated.weight).any()


def test_a_ready_table_does_not_ignore_who_was_treated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "keepwell.toml"
    config.write_text(
        '[table]\nquery = "SELECT * FROM \'t.csv\'"\n[training]\ndecisions = "d.parquet"\n',
        encoding="utf-8",
    )
    assert run(["train", "-c", str(config), "--models-dir", str(tmp_path / "models")]) == 2
    assert "[training] decisions are for [events]" in capsys.readouterr().err
