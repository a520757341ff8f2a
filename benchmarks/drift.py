"""Whether the drift alerts fire for planted shifts, and stay silent for shops that go on as ever.

One shop trains a model with `keepwell train`. Then a real server is asked about everybody, each run
a server and a window of its own: the same shop weeks later, other shops of the same process, and
shops in which something changed thirty days before. The alert rules are the shipped ones, judged by
promtool. The other shops that the limits were settled on are not those that are published.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.drift_shop import NOTHING, SHIFTS, Shop, ask, figures, fired, scraped
from benchmarks.report import Result, machine
from benchmarks.servers import keepwell, running

MONTHS, MADE_AT = 26, date(2025, 11, 1)
LATEST_DAYS = 45
"""Of a model; after that it counts as old, which has an alert of its own."""
SHIFTED_DAYS = 30
UNDISTURBED = 20
BY_ITSELF = ("tenure_days", "active_span_days", "purchases_same_season")
"""What moves with the calendar, and is left out of the alert."""


@dataclass(frozen=True)
class Size:
    """How much is done.

    Attributes
    ----------
    customers : int
        Of each shop.
    home, others : int
        Seeds of the shop that trains, and of the first of the others.
    """

    customers: int
    home: int
    others: int


DEVELOPMENT, PUBLISHED = Size(5_000, 9_100, 9_101), Size(5_000, 9_100, 9_300)


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes
    ----------
    rows : float
        Customers in the window.
    alerts : dict
        Which fired, for which features.
    largest : tuple of (str, float)
        The feature that moved most, of those that may raise the alert.
    probability : float
        PSI of the probability.
    expected, realised : float
        Mean probability; share who left, of those whose log went on undisturbed.
    auc : float
        What the probabilities came to, on the outcomes.
    promised : tuple of float
        The interval that was told before.
    """

    rows: float
    alerts: dict[str, list[str]]
    largest: tuple[str, float]
    probability: float
    expected: float
    realised: float
    auc: float
    promised: tuple[float, float]


def asked(models: Path, shop: Shop, as_of: date, shift: str = NOTHING) -> Run:
    """Start a server, ask it about everybody, and look at its metrics."""
    since = as_of - timedelta(days=SHIFTED_DAYS)
    with running(keepwell(models)) as server:
        p = ask(server.url, shop.people(as_of, shift, since))
        text = scraped(server.url)
    told = figures(text)
    psi = {
        name.split('"')[1]: value
        for name, value in told.items()
        if name.startswith("drift_psi_ratio") and name.split('"')[1] not in BY_ITSELF
    }
    stays = shop.stays(as_of)
    left = np.array([who not in stays for who in p])
    return Run(
        rows=told["drift_window_rows"],
        alerts=fired(text),
        largest=max(psi.items(), key=lambda one: one[1]),
        probability=told["probability_psi_ratio"],
        expected=told["expected_churn_rate"],
        realised=float(left.mean()),
        auc=float(roc_auc_score(left, list(p.values()))),
        promised=(
            told['estimated_roc_auc{bound="low"}'],
            told['estimated_roc_auc{bound="high"}'],
        ),
    )


def measure(size: Size, *, shifted: int = 2) -> Result:
    """Train, ask undisturbed shops, and shops with each shift."""
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="keepwell-bench-") as name:
        folder = Path(name)
        home = Shop.made(folder / "home", size.customers, MONTHS, size.home)
        models = folder / "models"
        train = [sys.executable, "-m", "cli.main", "train", "-c", str(home.ending(MADE_AT))]
        environment = os.environ | {"KEEPWELL_MODELS_DIR": str(models)}
        subprocess.run(train, check=True, stdout=subprocess.DEVNULL, env=environment)
        rng = np.random.default_rng(size.others)
        days = [timedelta(days=int(at)) for at in rng.integers(0, LATEST_DAYS + 1, UNDISTURBED)]
        quiet = []
        for number, later in enumerate(days):
            shop = home
            if number >= UNDISTURBED // 2:
                shop = Shop.made(folder / "other", size.customers, MONTHS, size.others + number)
            quiet.append(asked(models, shop, MADE_AT + later))
            _say(f"undisturbed, {later.days} days later", quiet[-1])
        planted: dict[str, list[Run]] = {title: [] for title in SHIFTS}
        for number in range(shifted):
            shop = Shop.made(folder / "other", size.customers, MONTHS, size.others + 100 + number)
            for title, shift in SHIFTS.items():
                planted[title].append(
                    asked(models, shop, MADE_AT + timedelta(days=SHIFTED_DAYS), shift)
                )
                _say(title, planted[title][-1])
    return _result(size, quiet, planted, load_before)


def _result(
    size: Size, quiet: Sequence[Run], planted: dict[str, list[Run]], load_before: float
) -> Result:
    silent = sum(not run.alerts for run in quiet)
    held = sum(run.promised[0] <= run.auc <= run.promised[1] for run in quiet)
    every = {"nothing": list(quiet), **planted}
    shifted = [run for runs in planted.values() for run in runs]
    return Result(
        title="Drift",
        notes=(
            f"A model of a simulated shop ({size.customers:,} customers, {MONTHS} months) as of "
            f"{MADE_AT}; real servers asked about everybody, who are some "
            f"{np.median([run.rows for run in quiet]):,.0f} with a probability. Undisturbed: the "
            f"same shop and {UNDISTURBED // 2} others, up to {LATEST_DAYS} days later. Shifted: "
            f"{len(shifted) // len(planted)} other shops, in which something changed "
            f"{SHIFTED_DAYS} days before they were asked about. The shipped alert rules, judged by "
            "promtool. PSI is beyond chance; AUC and churn rate of shifted shops are on the "
            "undisturbed outcomes."
        ),
        columns=(
            "what changed", "runs", "alerts", "for", "largest PSI", "PSI of the probability",
            "expected churn", "left", "AUC promised", "AUC",
        ),
        rows=[[title, *_row(runs)] for title, runs in every.items()],
        targets={
            "no alert in 20 undisturbed runs": f"{silent} of {len(quiet)} are silent.",
            "an alert for each planted shift": (
                f"{sum(bool(run.alerts) for run in shifted)} of {len(shifted)} shifted runs raise "
                "one."
            ),
            "the promised 95% interval holds the AUC of undisturbed shops": (
                f"{held} of {len(quiet)}."
            ),
        },
        machine=machine(load_before),
    )  # fmt: skip


def _row(runs: Sequence[Run]) -> list[Any]:
    features: dict[str, int] = {}
    for run in runs:
        for feature in run.alerts.get("KeepwellDrift", ()):
            features[feature] = features.get(feature, 0) + 1
    most = sorted(features, key=lambda name: (-features[name], name))[:3]
    largest = max((run.largest for run in runs), key=lambda one: one[1])

    def span(values: list[float]) -> str:
        return f"{min(values):.3f} to {max(values):.3f}"

    return [
        len(runs),
        sum(bool(run.alerts) for run in runs),
        ", ".join(most) + (f" and {len(features) - 3} more" if len(features) > 3 else ""),
        f"{largest[1]:.3f} {largest[0]}",
        span([run.probability for run in runs]),
        span([run.expected for run in runs]),
        span([run.realised for run in runs]),
        f"{np.mean([run.promised[0] for run in runs]):.3f} to "
        f"{np.mean([run.promised[1] for run in runs]):.3f}",
        span([run.auc for run in runs]),
    ]


def _say(what: str, run: Run) -> None:
    sys.stderr.write(
        f"{what}: {run.rows:.0f} rows, {run.largest[0]} {run.largest[1]:.3f}, probability "
        f"{run.probability:.3f}, {sorted(run.alerts)}, AUC {run.auc:.3f} of "
        f"{run.promised[0]:.3f}-{run.promised[1]:.3f}\n"
    )


def run() -> Result:
    return measure(PUBLISHED)


if __name__ == "__main__":
    print(measure(DEVELOPMENT).markdown())
