"""How true the model is where the truth is known: the simulated shop.

The model is fitted as of the last date that leaves a whole horizon, exactly as `backtest` does,
and its probabilities are held against the true ones of the generating process.
"""

import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from churn.bundle import load
from churn.events import Feed
from churn.features import POSITION, Family
from churn.registry import Registry
from churn.scoring import BANDS, MatrixScores, Scorer
from training import config as configuration
from training.backtest import labelled
from training.calendar import Calendar, instant, moment
from training.fit import fit
from training.ingest import ingest
from training.packing import pack
from training.progress import Silent
from training.simulate import simulate
from training.snapshots import Snapshots

RECENT_DAYS = 60
NOW = datetime(2030, 1, 1, tzinfo=UTC)  # after every simulated event


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was measured on one shop.

    Attributes
    ----------
    customers : int
        Eligible customers at the test date.
    ece : float
        Of the probabilities against the true ones, ten equal-count bins.
    deciles : list of (float, float)
        Mean predicted and mean true probability per decile of risk.
    curve : dict of int to list of (float, float)
        The same for every point of the risk curve that the truth is known for, by its days.
    crossings : int
        Customers whose curve rises anywhere.
    evidence : str
        Why so many trees and that calibration.
    open_complaints : int
        High-risk customers with an unresolved complaint of the last 60 days.
    named : float
        Share of them with a complaint among their three reasons.
    named_without : float
        Share of customers who never complained with a complaint among theirs.
    shift_without_feed : float
        Mean absolute change of the probability of customers without complaints when the caller
        records no complaints at all.
    """

    customers: int
    ece: float
    deciles: list[tuple[float, float]]
    curve: dict[int, list[tuple[float, float]]]
    crossings: int
    evidence: str
    open_complaints: int
    named: float
    named_without: float
    shift_without_feed: float


def measure(customers: int, months: int, seed: int) -> Verdict:
    """Simulate a shop, fit as of its last test date, and compare with the truth."""
    with tempfile.TemporaryDirectory(prefix="keepwell-") as folder:
        shop = Path(folder) / "shop"
        simulate(customers, months, seed, shop)
        scorer, test, feeds, evidence = _fitted(shop, Path(folder))
        truth = pq.read_table(shop / "truth.parquet").to_pylist()
    as_of = moment(test.dates[0]).replace(tzinfo=None)
    now = {row["customer_id"]: row for row in truth if row["as_of"].replace(tzinfo=None) == as_of}
    true = {
        days: np.array(
            [now[customer][f"churn_probability_{days}d"] for customer in test.customer_id]
        )
        for days in (30, 60, 90)
    }
    scores = scorer.score_matrix(test.X)
    bins = np.array_split(np.argsort(scores.probability, kind="stable"), 10)
    curve = {
        days: _deciles(bins, scores.curve[:, at], true[days])
        for at, days in enumerate(scorer.bundle.model.curve.days.tolist())
        if days in true
    }
    deciles = _deciles(bins, scores.probability, true[60])
    sizes = [len(rows) / len(test) for rows in bins]
    without = scorer.score_matrix(test.X, feeds=feeds - {Feed.COMPLAINTS})
    open_days = test.X[:, POSITION["days_since_open_complaint"]]
    never = np.isnan(test.X[:, POSITION["days_since_last_complaint"]])
    wronged = np.flatnonzero((scores.band == BANDS.index("high")) & (open_days <= RECENT_DAYS))
    return Verdict(
        customers=len(test),
        ece=sum(
            size * abs(mean - truth) for size, (mean, truth) in zip(sizes, deciles, strict=True)
        ),
        deciles=deciles,
        curve=curve,
        crossings=int((np.diff(scores.curve, axis=1) > 0.0).any(axis=1).sum()),
        evidence=evidence,
        open_complaints=len(wronged),
        named=_share_named(scorer, test, scores, wronged),
        named_without=_share_named(scorer, test, scores, np.flatnonzero(never)[:5000]),
        shift_without_feed=float(np.abs(without.probability - scores.probability)[never].mean()),
    )


def _deciles(
    bins: list[NDArray[np.int64]], probability: NDArray[np.float64], true: NDArray[np.float64]
) -> list[tuple[float, float]]:
    return [(float(probability[rows].mean()), float(true[rows].mean())) for rows in bins]


def _fitted(shop: Path, folder: Path) -> tuple[Scorer, Snapshots, frozenset[Feed], str]:
    config = configuration.load(shop / "keepwell.toml")
    ingested = ingest(config, folder / "work", now_us=instant(NOW))
    calendar = Calendar.of(config, ingested)
    training, test, _ = labelled(config, ingested, calendar, calendar.last_test_date(), Silent())
    fitted = fit(
        training,
        test,
        horizon_days=config.problem.horizon_days,
        window=calendar.window,
        feeds=ingested.feeds,
        seed=config.training.seed,
    )
    manifest, files = pack(config, ingested, fitted, test, training, {}, NOW)
    path = Registry(folder / "models").publish(manifest, files)
    return Scorer(load(path)), test, ingested.feeds, fitted.calibration.evidence


def _share_named(
    scorer: Scorer, test: Snapshots, scores: MatrixScores, rows: NDArray[np.int64]
) -> float:
    """Share of the rows that have a complaint among their three reasons."""
    if scores.contributions is None or len(rows) == 0:
        return float("nan")
    named = 0
    for row in rows:
        found = scorer.explain_row(
            test.X[row],
            scores.contributions[row],
            max_reasons=3,
            language="en",
        )
        named += any(reason.family is Family.COMPLAINTS for reason in found)
    return named / len(rows)


def main() -> None:
    """Print the verdict on a shop of 30,000 customers over 24 months, or as told."""
    customers, months, seed = (int(n) for n in sys.argv[1:4] or (30_000, 24, 11))
    verdict = measure(customers, months, seed)
    print(
        f"{verdict.customers:,} eligible customers of a simulated shop "
        f"({customers:,} x {months} months, seed {seed})"
    )
    print(verdict.evidence)
    print(f"ECE against the true probability: {verdict.ece:.4f} (bar .01)")
    for predicted, true in verdict.deciles:
        print(f"  predicted {predicted:.3f}   true {true:.3f}")
    print(f"risk curves that rise anywhere: {verdict.crossings}")
    for days, deciles in verdict.curve.items():
        worst = max(abs(predicted - true) for predicted, true in deciles)
        print(f"  within {days} days: at most {worst:.3f} off in any decile of risk (bar .02)")
    print(
        f"high risk with a recent unresolved complaint: {verdict.open_complaints}; a complaint is "
        f"among the three reasons of {verdict.named:.1%} (bar 80%), and of "
        f"{verdict.named_without:.1%} of customers who never complained (bar 2%)"
    )
    print(
        "a request without the complaints feed moves the probability of complaint-free customers "
        f"by {verdict.shift_without_feed:.4f} on average (bar .02)"
    )


if __name__ == "__main__":
    main()
