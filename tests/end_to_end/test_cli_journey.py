"""The analyst's whole journey on the command line: from a simulated shop to a served score."""

import contextlib
import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cli.main import run

KEEPWELL = str(Path(sys.executable).with_name("keepwell"))
METRICS = {"roc_auc", "pr_auc", "brier", "log_loss", "ece", "top_decile_lift"}


@dataclass(frozen=True)
class Finished:
    returncode: int
    stdout: str
    stderr: str


def keepwell(*arguments: object, cwd: Path) -> Finished:
    """Run a command in this process, which spares it two seconds of imports."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), redirect_stdout(out), redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
    return Finished(code, out.getvalue(), err.getvalue())


def done(*arguments: object, cwd: Path) -> str:
    finished = keepwell(*arguments, cwd=cwd)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def document(*arguments: object, cwd: Path) -> Any:
    return json.loads(done(*arguments, "--json", cwd=cwd))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a simulated shop and a model that was trained on it twice."""
    folder = tmp_path_factory.mktemp("journey")
    made = document(
        "simulate", "--customers", 1200, "--months", 15, "--seed", 3, "--out", "shop", cwd=folder
    )
    assert made["customers"] == 1200
    for _ in range(2):
        trained = document("train", "-c", "shop/keepwell.toml", cwd=folder)
        assert trained["promoted"] is True
    return folder


def test_check_reports_and_suggests(shop: Path) -> None:
    report = document("check", "-c", "shop/keepwell.toml", cwd=shop)
    assert report["customers"] == 1200
    assert report["rows"] == report["accepted"]
    assert report["quarantine"] is None
    assert report["suggestions"]["horizon_days"]["why"]
    assert report["gaps"]["after_any"]["p50"] > 0
    assert all(row["roc_auc"]["value"] > 0.5 for row in report["by_horizon"])
    assert report["train"]["possible"] is True
    said = done("check", "-c", "shop/keepwell.toml", cwd=shop)
    assert "1,200 customers" in said
    assert "verdict: `keepwell train` can learn from this log" in said


def test_check_keeps_what_it_sets_aside(shop: Path) -> None:
    folder = shop / "bad"
    folder.mkdir()
    (folder / "log.csv").write_text(
        "who,day,paid\na,2020-01-01,5\na,2020-02-30,6\nb,2020-01-03,0\n"
    )
    (folder / "keepwell.toml").write_text(
        "[events]\nquery = \"SELECT who AS customer_id, day AS occurred_at, 'purchase' AS kind, "
        "paid AS amount FROM read_csv('log.csv', all_varchar = true)\"\n"
    )
    report = document("check", "-c", "bad/keepwell.toml", cwd=shop)
    assert report["accepted"] == 1
    kept = pq.read_table(report["quarantine"]).to_pylist()
    assert len(kept) == 2
    assert all(row["reason"] for row in kept)
    assert Path(report["quarantine"]) == folder / "quarantine.parquet"


def test_a_log_too_short_to_learn_from_is_one_line_and_nothing_half_written(shop: Path) -> None:
    folder = shop / "short"
    folder.mkdir()
    (folder / "log.csv").write_text("who,day\na,2020-01-01\nb,2020-01-09\n")
    (folder / "keepwell.toml").write_text(
        "[events]\nquery = \"SELECT who AS customer_id, day AS occurred_at, 'purchase' AS kind "
        "FROM 'log.csv'\"\n"
    )
    finished = keepwell("train", "-c", "keepwell.toml", "--json", cwd=folder)
    assert finished.returncode == 1
    assert finished.stdout == ""
    said = [line for line in finished.stderr.splitlines() if line.startswith("keepwell: ")]
    assert said == finished.stderr.splitlines()[-1:]
    assert not (folder / "models").exists()


def test_a_query_that_fails_is_one_line_that_names_the_file(shop: Path) -> None:
    folder = shop / "wrong"
    folder.mkdir()
    (folder / "keepwell.toml").write_text('[events]\nquery = "SELEC 1"\n')
    finished = keepwell("check", "-c", "wrong/keepwell.toml", cwd=shop)
    assert finished.returncode == 1
    assert finished.stderr.splitlines()[-1].startswith("keepwell: ")
    assert "wrong/keepwell.toml" in finished.stderr.splitlines()[-1]


def test_backtest_judges_the_model_beside_every_baseline(shop: Path) -> None:
    result = document("backtest", "-c", "shop/keepwell.toml", cwd=shop)
    assert set(result) == {"as_of", "horizon_days", "n", "churn_rate", "models"}
    names = {"keepwell", "recency_lr", "rfm_lr", "bgnbd", "lightgbm_default"}
    assert set(result["models"]) == names
    for metrics in result["models"].values():
        assert METRICS <= set(metrics)
        assert set(metrics["by_date"]) == set(result["as_of"])
    table = done("backtest", "-c", "shop/keepwell.toml", "--as-of", result["as_of"][0], cwd=shop)
    assert all(name in table for name in names | METRICS)


def test_everybody_is_scored_in_each_format(shop: Path) -> None:
    scores = document("score", "-c", "shop/keepwell.toml", "--out", "s.parquet", cwd=shop)
    table = pq.read_table(shop / "s.parquet").to_pylist()
    assert scores["rows"] == len(table) == 1200
    known = {row["customer_id"]: row["churn_probability"] for row in table}
    assert any(row["reasons"] for row in table)

    done("score", "-c", "shop/keepwell.toml", "--out", "s.ndjson", "--reasons", 0, cwd=shop)
    lines = [json.loads(line) for line in (shop / "s.ndjson").read_text().splitlines()]
    assert {line["customer_id"]: line["churn_probability"] for line in lines} == known

    done("score", "-c", "shop/keepwell.toml", "--out", "s.csv", "--language", "ru", cwd=shop)
    with (shop / "s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    values = {row["customer_id"]: row["customer_value"] for row in table}
    scored = [row["customer_id"] for row in rows if row["churn_probability"]]
    stakes = [known[who] * (values[who] or 0.0) for who in scored]
    assert stakes == sorted(stakes, reverse=True)
    assert len(scored) == sum(probability is not None for probability in known.values()) > 0
    assert any("заказ" in row["reasons"] for row in rows)


def test_a_version_is_promoted_rolled_back_and_verified(shop: Path) -> None:
    before = document("models", "list", cwd=shop)
    first, second = before["versions"]
    assert before["current"] == second
    assert done("models", "rollback", cwd=shop) == f"{first} is current\n"
    assert document("models", "list", cwd=shop)["current"] == first
    assert keepwell("models", "rollback", cwd=shop).returncode == 1
    assert document("models", "promote", second, cwd=shop) == {"current": second}
    assert f"* {second}" in done("models", "list", cwd=shop)
    verified = document("models", "verify", cwd=shop)
    assert (verified["version"], verified["ok"]) == (second, True)
    assert {check["outcome"] for check in verified["checks"]} == {"passed", "not asked"}
    manifest = document("models", "show", first, cwd=shop)
    assert manifest["model_version"] == first
    assert second in done("models", "show", cwd=shop)
    assert (shop / "models" / second / "report.html").exists()


def test_a_changed_byte_is_refused_by_name(shop: Path) -> None:
    first = document("models", "list", cwd=shop)["versions"][0]
    file = shop / "models" / first / "model.joblib"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        for command in ("verify", "show", "promote"):
            finished = keepwell("models", command, first, cwd=shop)
            assert finished.returncode == 1
            assert "model.joblib has changed" in finished.stderr
    finally:
        file.write_bytes(content)


def test_the_promoted_model_is_served_until_told_to_end(shop: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [KEEPWELL, "serve", "--port", str(port)], cwd=shop, stderr=subprocess.DEVNULL
    )
    try:
        version = document("models", "list", cwd=shop)["current"]
        deadline = time.monotonic() + 120
        while True:
            try:
                url = f"http://127.0.0.1:{port}/v1/model"
                answer = json.load(urllib.request.urlopen(url, timeout=120))
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        assert answer["model_version"] == version
        taken = keepwell("serve", "--port", port, cwd=shop)
        assert taken.returncode == 1
        assert str(port) in taken.stderr
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0


def test_an_interrupted_command_ends_with_130_and_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "keepwell.toml").write_text(
        "[events]\nquery = \"SELECT i::VARCHAR AS customer_id, TIMESTAMP '2020-01-01' + "
        "to_seconds(i) AS occurred_at, 'purchase' AS kind FROM range(20000000) AS r(i)\"\n"
    )
    process = subprocess.Popen(
        [KEEPWELL, "check"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        stderr=subprocess.PIPE,
        text=True,
        # A runner in the background may ignore Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == "reading events\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "keepwell: interrupted"
    assert list((tmp_path / "tmp").iterdir()) == []
