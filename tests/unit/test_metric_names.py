"""Every metric that a page, an alert or a dashboard names exists, and each is on a dashboard."""

import re
from pathlib import Path

import pytest

from service.metrics import PREFIX, Metrics

ROOT = Path(__file__).parents[2]
METRICS = {collector.name for collector in Metrics().registry.collect()}
EXPOSED = METRICS | {
    name + suffix for name in METRICS for suffix in ("_total", "_bucket", "_count", "_sum")
}
NO_METRICS = {"churn_rate", "churn_probability_30d"}
"""Fields of answers and files whose names begin alike."""

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "deploy/**/*.*")
    for path in ROOT.glob(pattern)
    if path.suffix in {".md", ".yaml", ".json"}
)


def named(text: str) -> set[str]:
    return set(re.findall(rf"\b{PREFIX}_\w*[a-z]\b", text)) - NO_METRICS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_metric_that_is_named_exists(page: Path) -> None:
    assert named(page.read_text()) <= EXPOSED


def test_every_metric_is_on_a_dashboard() -> None:
    boards = (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")
    shown = set().union(*(named(path.read_text()) for path in boards))
    suffixes = ("", "_total", "_bucket", "_count", "_sum")
    missing = {name for name in METRICS if shown.isdisjoint(name + end for end in suffixes)}
    assert missing == set()
