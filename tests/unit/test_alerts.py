"""The alert rules: each is tried by Prometheus's own tool, explained, and of metrics there are."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from service.metrics import Metrics

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
RULES = (FOLDER / "alerts.yaml").read_text()
FILES = ("tests.yaml", "hours.yaml")
TRIALS = "".join((FOLDER / name).read_text() for name in FILES)
ALERTS = re.findall(r"- alert: (\w+)", RULES)


@pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed (apt-get install prometheus)",
)
def test_every_alert_fires_in_its_case_and_none_on_a_quiet_day() -> None:
    trial = [shutil.which("promtool") or "", "test", "rules", *FILES]
    done = subprocess.run(trial, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_is_tried_both_ways(alert: str) -> None:
    outcomes = re.findall(rf"alertname: {alert}\n\s+exp_alerts:(.*)", TRIALS)
    assert " []" in outcomes
    assert "" in outcomes


@pytest.mark.parametrize("alert", ALERTS)
def test_the_run_book_tells_what_to_do(alert: str) -> None:
    told = (ROOT / "docs" / "operations.md").read_text()
    found = re.search(rf"- alert: {alert}\n.*?runbook: docs/operations\.md#([a-z-]+)", RULES, re.S)
    assert found is not None
    sections = {
        re.sub(r"[^a-z -]", "", part.partition("\n")[0].lower()).replace(" ", "-"): part
        for part in told.split("\n## ")[1:]
    }
    assert alert in sections[found[1]]


def test_every_metric_in_the_rules_exists() -> None:
    metrics = Metrics()
    names = {name for collector in metrics.registry.collect() for name in _exposed(collector.name)}
    used = set(re.findall(r"\bchurn_\w+", RULES))
    assert len(used) > 8
    assert used <= names


def _exposed(name: str) -> tuple[str, ...]:
    return name, f"{name}_total", f"{name}_bucket", f"{name}_count"
