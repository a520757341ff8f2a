"""Simulated shops of whom a service is asked, a shift planted or not; and which alerts fire.

The log of a shop is that of `keepwell simulate`. A shift changes what is logged from one day on:
nothing before, and nothing of what decides who leaves, but orders that do not happen.
"""

import json
import re
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from training.simulate import simulate

ALERTS = Path(__file__).parents[1] / "deploy" / "prometheus" / "alerts.yaml"
WATCHED = ("KeepwellDrift", "KeepwellProbabilityDrift")
GAUGES = ("churn_drift_psi_ratio", "churn_probability_psi_ratio", "churn_drift_window_rows")
HORIZON_DAYS = 60
LIST_CUSTOMERS = 500

SHIFTS: Mapping[str, str] = {
    "two orders in five are not made": (
        "FROM log WHERE NOT (kind = 'purchase' AND occurred_at >= $since"
        " AND hash(order_id) % 5 < 2)"
    ),
    "cheques are half as large": (
        "SELECT * REPLACE (CASE WHEN occurred_at >= $since THEN amount / 2 ELSE amount END"
        " AS amount) FROM log"
    ),
    "amounts come in hundredths": (
        "SELECT * REPLACE (CASE WHEN occurred_at >= $since THEN amount * 100 ELSE amount END"
        " AS amount) FROM log"
    ),
    "visits do not come any more": (
        "FROM log WHERE NOT (kind IN ('visit', 'cart_abandoned') AND occurred_at >= $since)"
    ),
    "every third order goes wrong": (
        "FROM log UNION ALL BY NAME SELECT customer_id, occurred_at + INTERVAL 2 DAY AS"
        " occurred_at, 'complaint' AS kind, 'planted-' || order_id AS case_id FROM log"
        " WHERE kind = 'purchase' AND occurred_at >= $since AND hash(order_id) % 3 = 0"
        " GROUP BY ALL"
    ),
}
"""What is planted: SQL over the log, from the day `$since` on."""
NOTHING = "FROM log"

_EVENT = (
    "occurred_at", "kind", "amount", "value", "order_id", "case_id", "quantity", "discount",
    "category", "channel", "known_at",
)  # fmt: skip


@dataclass(frozen=True)
class Shop:
    """A simulated shop.

    Attributes
    ----------
    folder : Path
        With its log and a keepwell.toml.
    """

    folder: Path

    @classmethod
    def made(cls, folder: Path, customers: int, months: int, seed: int) -> "Shop":
        simulate(customers, months, seed, folder)
        return cls(folder)

    def ending(self, day: date) -> Path:
        """A keepwell.toml of the log until a day."""
        text = (self.folder / "keepwell.toml").read_text()
        until = f"occurred_at < '{day}'::TIMESTAMPTZ"
        text = text.replace("'events.parquet'", f"'events.parquet' WHERE {until}")
        text = re.sub(r"complete_until = \S+", f"complete_until = {day}", text)
        path = self.folder / "until.toml"
        path.write_text(text)
        return path

    def people(self, as_of: date, shift: str = NOTHING, since: date | None = None) -> list[Any]:
        """Requests for everybody who bought in the two years before `as_of`."""
        columns = ", ".join(
            f"strftime({name}, '%Y-%m-%dT%H:%M:%SZ') AS {name}" if name.endswith("_at") else name
            for name in _EVENT
        )
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(
                f"CREATE TABLE log AS FROM '{self.folder / 'events.parquet'}'"
                f" WHERE occurred_at < '{as_of}'::TIMESTAMPTZ"
                f" AND occurred_at >= '{as_of - timedelta(days=730)}'::TIMESTAMPTZ"
            )
            shifted = shift.replace("$since", f"'{since or as_of}'::TIMESTAMPTZ")
            rows = connection.execute(
                f"SELECT customer_id, list({{{_struct()}}} ORDER BY occurred_at) FROM"
                f" (SELECT customer_id, {columns} FROM ({shifted})"
                f" WHERE occurred_at < '{as_of}'::TIMESTAMPTZ)"
                " GROUP BY customer_id HAVING bool_or(kind = 'purchase') ORDER BY customer_id"
            ).fetchall()
        return [
            {
                "customer_id": who,
                "as_of": f"{as_of}T00:00:00Z",
                "max_reasons": 0,
                "events": [{k: v for k, v in one.items() if v is not None} for one in events],
            }
            for who, events in rows
        ]

    def stays(self, as_of: date) -> set[str]:
        """Who buys in the horizon."""
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            rows = connection.execute(
                f"SELECT DISTINCT customer_id FROM '{self.folder / 'events.parquet'}'"
                f" WHERE kind = 'purchase' AND occurred_at >= '{as_of}'::TIMESTAMPTZ AND"
                f" occurred_at < '{as_of + timedelta(days=HORIZON_DAYS)}'::TIMESTAMPTZ"
            ).fetchall()
        return {who for (who,) in rows}


def ask(url: str, people: Sequence[Any]) -> dict[str, float]:
    """Have a service score customers; the probability of each who has one."""
    found = {}
    for first in range(0, len(people), LIST_CUSTOMERS):
        lines = [json.dumps(one).encode() for one in people[first : first + LIST_CUSTOMERS]]
        for answer in _post(f"{url}/v1/score/batch", b"\n".join(lines)):
            row = json.loads(answer)
            if row["churn_probability"] is not None:
                found[row["customer_id"]] = row["churn_probability"]
    return found


def scraped(url: str) -> str:
    """What the service's metrics say."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def figures(exposition: str) -> dict[str, float]:
    """Values of an exposition by name with labels, without the prefix."""
    found = re.findall(r"^churn_(\S+(?:\{[^}]*\})?) (\S+)$", exposition, re.MULTILINE)
    return {name: float(value) for name, value in found}


def fired(exposition: str) -> dict[str, list[str]]:
    """Which alerts fire, and for which features, if the metrics stay as they are for two hours.

    Prometheus's own tool decides, by the rules as they are shipped.
    """
    series = "\n".join(
        f"      - series: '{name}'\n        values: '{value:.6f}x180'"
        for name, value in _series(exposition)
    )
    trials = "\n".join(
        f"      - eval_time: 2h\n        alertname: {name}\n        exp_alerts: []"
        for name in WATCHED
    )
    with tempfile.TemporaryDirectory(prefix="keepwell-") as folder:
        trial = Path(folder) / "trial.yaml"
        trial.write_text(
            f"rule_files: [{ALERTS}]\nevaluation_interval: 5m\ntests:\n  - interval: 1m\n"
            f"    input_series:\n{series}\n    alert_rule_test:\n{trials}\n"
        )
        tool = shutil.which("promtool")
        if tool is None:
            raise RuntimeError("promtool is missing: apt-get install prometheus")
        done = subprocess.run(
            [tool, "test", "rules", str(trial)], capture_output=True, text=True, check=False
        )
    told = done.stdout + done.stderr
    alerts: dict[str, list[str]] = {}
    for labels in re.findall(r"Labels:\{([^}]*)\}", told):
        named = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        alerts.setdefault(named["alertname"], []).append(named.get("feature", ""))
    if (done.returncode == 0) is bool(alerts):
        raise RuntimeError(told)
    return alerts


def _series(exposition: str) -> Iterator[tuple[str, float]]:
    """The series that are watched, as a scrape would label them, with their values."""
    for line in exposition.splitlines():
        if line.startswith(GAUGES):
            found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            assert found is not None
            labels = [*filter(None, [found[2]]), 'job="keepwell"']
            yield f"{found[1]}{{{','.join(labels)}}}", float(found[3])


def _struct() -> str:
    return ", ".join(f"'{name}': {name}" for name in _EVENT)


def _post(url: str, body: bytes) -> list[bytes]:
    asked = urllib.request.Request(
        url, body, {"Content-Type": "application/x-ndjson"}, method="POST"
    )
    with urllib.request.urlopen(asked, timeout=120) as answer:
        lines: list[bytes] = answer.read().splitlines()
    return lines
