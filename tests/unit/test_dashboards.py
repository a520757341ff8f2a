"""The dashboards: Grafana's form, and expressions that Prometheus can read."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*"))
}
VARIABLES = {"$__rate_interval": "5m", "$job": "keepwell"}
KINDS = {"row", "stat", "timeseries", "heatmap", "table"}
WIDTH = 24


def expressions(board: dict[str, Any]) -> Iterator[str]:
    """Every expression of a dashboard, its variables filled in."""
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    asked += [annotation["expr"] for annotation in board["annotations"]["list"]]
    for expression in asked:
        for variable, value in VARIABLES.items():
            expression = expression.replace(variable, value)
        yield expression


def test_there_is_one_for_the_service_the_model_and_the_decisions() -> None:
    assert set(BOARDS) == {"service", "model", "decisions"}
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS)


@pytest.mark.parametrize("name", BOARDS)
def test_panels_have_what_grafana_asks_for_and_do_not_overlap(name: str) -> None:
    board = BOARDS[name]
    taken: set[tuple[int, int]] = set()
    assert [panel["id"] for panel in board["panels"]] == list(range(1, len(board["panels"]) + 1))
    for panel in board["panels"]:
        assert panel["type"] in KINDS
        assert panel["title"]
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= WIDTH
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${datasource}"
            assert 'job=~"$job"' in target["expr"]
    assert {variable["name"] for variable in board["templating"]["list"]} == {"datasource", "job"}


@pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed (apt-get install prometheus)",
)
def test_prometheus_can_read_every_expression(tmp_path: Path) -> None:
    rules = [
        {"record": f"{name}:panel_{at}", "expr": expression}
        for name, board in BOARDS.items()
        for at, expression in enumerate(expressions(board))
    ]
    assert len(rules) > 30
    assert not [rule for rule in rules if re.search(r"\$", rule["expr"])]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_finds_the_dashboards_and_prometheus() -> None:
    provisioning = GRAFANA / "provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "keepwell.yaml").read_text())[
        "providers"
    ]
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    mounted = dict(volume.split(":")[:2] for volume in compose["grafana"]["volumes"])
    assert mounted["./deploy/grafana/dashboards"] == provider["options"]["path"]
    assert mounted["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    home = compose["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home).parent == Path(provider["options"]["path"])
    assert Path(home).stem in BOARDS
    assert source["url"] == "http://prometheus:9090"
    assert source["uid"] == "prometheus"
    assert "prometheus" in compose
