"""`keepwell policy report --retention`: management figures of a log."""

import json
from pathlib import Path

import pytest

from cli.main import run
from training.simulate import simulate


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop") / "shop"
    simulate(800, 12, 3, folder)
    return folder


def told(shop: Path, *arguments: str) -> int:
    return run(["policy", "report", "--retention", "-c", str(shop / "keepwell.toml"), *arguments])


def test_the_figures_add_up(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(shop, "--models-dir", str(tmp_path), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    won = found["acquired"] + found["returned"]
    assert found["customers_at_end"] == found["customers_at_start"] - found["lost"] + won
    assert found["retention_rate"] + found["churn_rate"] == pytest.approx(100.0)
    assert found["lost"] > 20
    assert found["lost_by"] is None
    assert found["cohorts"][0]["bought"][0] == 100.0
    assert "CRR" in found["definitions"]["retention_rate"]


def test_without_a_model_the_lost_are_counted_only(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    period = ("--from", "2024-09-01", "--to", "2024-10-01")
    assert told(shop, "--models-dir", str(tmp_path), *period) == 0
    words = capsys.readouterr().out
    assert "2024-09-01 to 2024-10-01" in words
    assert "CRR = (E - N) / S x 100" in words
    assert "lost by" not in words


def test_a_period_beyond_the_log_is_refused(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(shop, "--models-dir", str(tmp_path), "--to", "2030-01-01") == 1
    assert "complete until" in capsys.readouterr().err
    assert told(shop, "--from", "2024-10-01", "--to", "2024-09-01") == 1
    assert "choose --from before --to" in capsys.readouterr().err
