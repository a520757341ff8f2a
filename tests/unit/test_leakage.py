"""Columns that know the future, planted beside a shop's honest ones, and what is found of them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

import churn.columns
from churn.features import POSITION
from churn.words import Language
from training.calendar import Calendar, instant
from training.config import load
from training.ingest import ingest
from training.leakage import OWN, Evidence, inspect, inspect_model
from training.leakage_gates import leakage_gates, table_leakage_gate
from training.simulate import simulate
from training.snapshots import Snapshots, collect
from training.verdicts import Gate, Outcome

HORIZON = 60
DAY = 86_400e6

Column = np.ndarray


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Snapshots:
    """Every labelled snapshot of a simulated shop with complaints, visits, returns and reviews."""
    folder = tmp_path_factory.mktemp("shop")
    simulate(1500, 12, 8, folder)
    config = load(folder / "keepwell.toml")
    ingested = ingest(config, folder / "work", now_us=instant(datetime(2026, 1, 1, tzinfo=UTC)))
    dates = Calendar.of(config, ingested).training_dates(ingested.complete_until)
    return collect(ingested, dates, config.problem)


def asked(shop: Snapshots, **columns: Column) -> dict[str, Evidence]:
    words: dict[Language, str] = {"en": "planted", "ru": "подложено"}
    rows = replace(
        shop,
        X=np.column_stack([shop.X, *columns.values()]),
        columns=tuple(churn.columns.Column(n, "numeric", "own", "", words) for n in columns),
    )
    found = inspect(
        rows,
        shop.dates[-1],
        window=int(HORIZON * DAY),
        horizon_days=HORIZON,
        seed=7,
    )
    return {one.name: one for one in found}


def failures(shop: Snapshots, **columns: Column) -> dict[str, Gate]:
    gates = leakage_gates(list(asked(shop, **columns).values()), None, 0.78)
    return {gate.name: gate for gate in gates if not gate.passed}


def last_purchase(shop: Snapshots) -> np.ndarray:
    """The latest purchase ever seen of each row's customer, in microseconds: as of today."""
    _, who = np.unique(shop.customer_id.astype(str), return_inverse=True)
    known = np.full(who.max() + 1, -np.inf)
    np.maximum.at(known, who, shop.as_of - DAY * shop.X[:, POSITION["days_since_last_purchase"]])
    returned = np.isfinite(shop.next_purchase_days)
    np.maximum.at(known, who[returned], (shop.as_of + DAY * shop.next_purchase_days)[returned])
    return known[who]


def status_today(shop: Snapshots, rng: np.random.Generator) -> Column:
    today = shop.as_of.max() + HORIZON * DAY
    return (last_purchase(shop) < today - 90 * DAY).astype(float)


def purchases_today(shop: Snapshots, rng: np.random.Generator) -> Column:
    total = shop.X[:, POSITION["purchases_total"]] + np.isfinite(shop.next_purchase_days)
    _, who = np.unique(shop.customer_id.astype(str), return_inverse=True)
    known = np.zeros(who.max() + 1)
    np.maximum.at(known, who, total)
    return known[who]


def next_purchase(shop: Snapshots, rng: np.random.Generator) -> Column:
    return np.minimum(shop.next_purchase_days, 365.0)


def next_purchase_and_noise(shop: Snapshots, rng: np.random.Generator) -> Column:
    return np.minimum(shop.next_purchase_days, 365.0) + rng.normal(0, 60, len(shop))


def flag_of_70_percent_of_churners(shop: Snapshots, rng: np.random.Generator) -> Column:
    return (shop.is_churn & (rng.random(len(shop)) < 0.7)).astype(float)


def flag_of_half_the_churners(shop: Snapshots, rng: np.random.Generator) -> Column:
    return (shop.is_churn & (rng.random(len(shop)) < 0.5)).astype(float)


def flag_right_in_70_percent(shop: Snapshots, rng: np.random.Generator) -> Column:
    return (shop.is_churn ^ (rng.random(len(shop)) < 0.3)).astype(float)


def missing_for_60_percent_of_churners(shop: Snapshots, rng: np.random.Generator) -> Column:
    gone = shop.is_churn & (rng.random(len(shop)) < 0.6)
    return np.where(gone, np.nan, rng.normal(size=len(shop)))


def silence_two_weeks_too_late(shop: Snapshots, rng: np.random.Generator) -> Column:
    bought = shop.next_purchase_days < 14
    return np.where(bought, 0.0, shop.X[:, POSITION["days_since_last_purchase"]] + 14)


LEAKS: list[tuple[Callable[..., Column], set[str]]] = [
    (status_today, {"leakage_column", "leakage_unchanging"}),
    (purchases_today, {"leakage_unchanging"}),
    (next_purchase, {"leakage_column", "leakage_time", "leakage_timing"}),
    (next_purchase_and_noise, {"leakage_column", "leakage_time"}),
    (flag_of_70_percent_of_churners, {"leakage_column", "leakage_time"}),
    (flag_of_half_the_churners, {"leakage_column"}),
    (missing_for_60_percent_of_churners, {"leakage_column", "leakage_time"}),
    (silence_two_weeks_too_late, {"leakage_timing"}),
]


@pytest.fixture(scope="module")
def evidence(shop: Snapshots) -> dict[str, Evidence]:
    """Of the shop's own columns and of every leak, each asked alone."""
    leaks = (*(leak for leak, _ in LEAKS), flag_right_in_70_percent)
    planted = {leak.__name__: leak(shop, np.random.default_rng(5)) for leak in leaks}
    return asked(shop, **planted)


@pytest.mark.parametrize(
    ("leak", "stopped_by"), LEAKS, ids=lambda one: getattr(one, "__name__", "")
)
def test_a_column_that_knows_the_future_is_stopped_and_named(
    leak: Callable[..., Column], stopped_by: set[str], evidence: dict[str, Evidence]
) -> None:
    name = leak.__name__
    honest = [one for one in evidence.values() if one.source != OWN]
    gates = leakage_gates([*honest, evidence[name]], None, 0.78)
    failed = {gate.name: gate for gate in gates if not gate.passed}
    assert stopped_by <= set(failed)
    for gate in failed.values():
        assert gate.column == name
        assert f"{name} (your own column)" in gate.sentence
        assert "known_at" in gate.sentence
        assert gate.figure is not None
        assert gate.figure > gate.limit


def test_what_could_as_well_be_a_strong_complaint_is_a_warning_and_named(
    evidence: dict[str, Evidence],
) -> None:
    gates = leakage_gates([evidence["flag_right_in_70_percent"]], None, 0.78)
    suspected = {gate.column for gate in gates if gate.outcome is not Outcome.PASSED}
    assert suspected == {"flag_right_in_70_percent"}


def test_no_column_of_the_honest_shop_is_suspected(evidence: dict[str, Evidence]) -> None:
    honest = [one for one in evidence.values() if one.source != OWN]
    gates = leakage_gates(honest, None, 0.78)
    assert {gate.outcome for gate in gates} == {Outcome.PASSED}


def test_an_honest_column_passes_however_well_it_tells(shop: Snapshots) -> None:
    rng = np.random.default_rng(6)
    n = len(shop)
    # A complaint before leaving: of four leavers in ten, of one stayer in twenty. And a place that
    # never changes, the silence in other units.
    complained = (rng.random(n) < np.where(shop.is_churn, 0.4, 0.05)).astype(float)
    silence = shop.X[:, POSITION["days_since_last_purchase"]]
    _, who = np.unique(shop.customer_id.astype(str), return_inverse=True)
    town = rng.integers(1, 40, who.max() + 1)[who].astype(float)
    assert failures(shop, complained=complained, silence_hours=silence * 24, town=town) == {}


def test_an_honest_column_knows_the_past_better_than_the_future(
    evidence: dict[str, Evidence],
) -> None:
    silence = evidence["days_since_last_purchase"].excess
    leak = evidence["flag_right_in_70_percent"].excess
    assert silence is not None
    assert leak is not None
    assert silence.value < -0.1
    assert leak.value > 0.1


def test_where_a_column_comes_from_is_said(evidence: dict[str, Evidence]) -> None:
    assert evidence["days_since_last_purchase"].source is None
    assert "`discount`" in str(evidence["discounted_share"].source)
    assert "`value`" in str(evidence["last_rating"].source)
    assert evidence["status_today"].never_changes
    assert not evidence["next_purchase"].never_changes


def test_that_a_column_never_changes_needs_customers_seen_twice(shop: Snapshots) -> None:
    _, who = np.unique(shop.customer_id.astype(str), return_inverse=True)
    one_date = np.where(who % 2 == 0, shop.dates[0], shop.dates[-1])
    once = shop.where(shop.as_of == one_date)
    assert not asked(once, same=np.ones(len(once)))["same"].never_changes
    twice = shop.where(np.isin(shop.as_of, [shop.dates[0], shop.dates[-1]]))
    assert asked(twice, same=np.ones(len(twice)))["same"].never_changes


def test_an_empty_column_is_not_asked(shop: Snapshots) -> None:
    rows = shop.where(shop.as_of >= shop.dates[-6])
    assert "nothing" not in asked(rows, nothing=np.full(len(rows), np.nan))


def test_where_no_earlier_outcome_had_ended_nothing_can_be_asked(shop: Snapshots) -> None:
    rows = shop.at(shop.dates[-1])
    assert asked(rows) == {}
    assert all(gate.passed for gate in leakage_gates([], None, None))


def test_a_model_that_knows_the_future_is_stopped_though_no_column_is(shop: Snapshots) -> None:
    test = shop.at(shop.dates[-1])
    rng = np.random.default_rng(4)
    earlier = {
        customer: (float(rng.random()), bool(rng.random() < 0.5))
        for customer in test.customer_id.tolist()
    }
    guess = np.clip(test.is_churn * 0.4 + rng.random(len(test)) * 0.6, 0, 1)
    excess = inspect_model(test, guess, earlier)
    assert excess is not None
    failed = [gate for gate in leakage_gates([], excess, 0.95) if not gate.passed]
    assert [gate.name for gate in failed] == ["leakage_model"]


def test_a_rare_roc_auc_alone_is_a_warning() -> None:
    outcomes = {gate.name: gate.outcome for gate in leakage_gates([], None, 0.93)}
    assert outcomes["leakage_model"] is Outcome.WARNING
    assert set(outcomes.values()) == {Outcome.WARNING, Outcome.PASSED}


def test_a_table_may_be_easy_but_no_column_of_it_may_be_the_answer() -> None:
    rng = np.random.default_rng(1)
    left = rng.random(3000) < 0.2
    tenure = rng.normal(left * -1.4, 1.0)
    answer = left + rng.normal(0, 0.2, 3000)
    honest = table_leakage_gate(tenure[:, None], ["tenure"], left)
    assert honest.outcome is Outcome.PASSED
    assert honest.figure == pytest.approx(0.84, abs=0.03)
    leak = table_leakage_gate(np.column_stack([tenure, answer]), ["tenure", "closed"], left)
    assert leak.outcome is Outcome.FAILED
    assert leak.column == "closed"
