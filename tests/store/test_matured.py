"""What became of those who were scored: in both databases, against a reckoning by hand."""

import random
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.events import Event, Kind
from churn.realised import realised
from service.realised import DAYS, LEAST_CUSTOMERS, Realised
from service.store import matured
from service.store.database import Database
from service.store.histories import Histories
from service.store.matured import Became, Scored, first_scores, outcomes
from service.store.recorded import Remembered, Scores
from tests.decided import decided, plant
from training.metrics import evaluate

TODAY = 20_000
HORIZON = 60
MATURED = TODAY - HORIZON
SEED = 20261122


def purchase(day: float) -> Event:
    return Event(int(day * DAY), Kind.PURCHASE, amount=1.0)


def said(customer_id: str, day: int, p: float | None = 0.5, **changes: Any) -> Remembered:
    given = Remembered(
        customer_id=customer_id,
        day=day,
        model_version="m",
        as_of=day * DAY,
        scored_at=day * DAY + 7,
        probability=p,
        status="lapsed" if p is None else "scored",
        band=None,
        reasons="[]",
        horizon_days=HORIZON,
    )
    return given._replace(**changes)


def became(database: Database, *rows: Remembered, lead: int = 0) -> dict[str, Became]:
    Scores(database).record(rows)
    found = first_scores(database, (MATURED - DAYS) * DAY, MATURED * DAY)
    return {
        who: one
        for who in found
        for one in outcomes(database, {who: found[who]}, lead)
    }  # fmt: skip


def test_who_bought_within_the_horizon_has_stayed(database: Database) -> None:
    day = MATURED - 1
    bought_on = {
        "before": day - 1,
        "at-the-instant": day,
        "within": day + 30,
        "last-moment": day + HORIZON - 0.001,
        "at-the-end": day + HORIZON,
    }
    events = [(who, purchase(day - 50)) for who in bought_on]
    events += [(who, purchase(at)) for who, at in bought_on.items()]
    events.append(("returned", purchase(day - 5)))
    events.append(("returned", Event((day + 5) * DAY, Kind.RETURN, amount=1.0)))
    Histories(database).append(events, 0)
    found = became(database, *(said(who, day) for who in [*bought_on, "returned"]))
    left = {who for who, one in found.items() if one.is_churn}
    assert left == {"before", "at-the-end", "returned"}
    assert found.keys() == {*bought_on, "returned"}


def test_the_lead_time_comes_before_the_horizon(database: Database) -> None:
    day = MATURED - 10
    Histories(database).append(
        [(who, purchase(at)) for who, offset in (("soon", 3), ("late", 62))
         for at in (day - 9, day + offset)],
        0,
    )  # fmt: skip
    found = became(database, said("soon", day), said("late", day), lead=5)
    assert {who: one.is_churn for who, one in found.items()} == {"soon": True, "late": False}


def test_of_whom_nothing_was_stored_before_it_is_not_known(database: Database) -> None:
    day = MATURED - 1
    Histories(database).append([("came-later", purchase(day + 3))], 0)
    assert became(database, said("came-later", day), said("never", day)) == {}


def test_a_customer_counts_once_with_the_first_score_of_the_period(database: Database) -> None:
    start = MATURED - DAYS
    rows = [
        said("c", start - 1, 0.1),
        said("c", start, 0.2),
        said("c", start + 5, 0.3),
        said("late", start + 5, 0.4, scored_at=(start + 8) * DAY),  # no prediction any more
        said("late", start + 9, 0.45),
        said("lapsed", start + 1, None),
        said("outside", MATURED, 0.6),
    ]
    random.Random(SEED).shuffle(rows)
    Scores(database).record(rows)
    found = first_scores(database, start * DAY, MATURED * DAY)
    assert {who: one.probability for who, one in found.items()} == {"c": 0.2, "late": 0.45}
    assert found["c"] == Scored(start * DAY, 0.2, HORIZON)


def test_pages_lose_and_repeat_nobody(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    day = MATURED - 3
    rows = [said(f"c{at}", day, 0.1 + at / 1000, model_version=f"m{at % 2}") for at in range(50)]
    Scores(database).record(rows)
    monkeypatch.setattr(matured, "PAGE_SCORES", 7)
    monkeypatch.setattr(matured, "PAGE_CUSTOMERS", 3)
    found = first_scores(database, day * DAY, (day + 1) * DAY)
    assert {who: one.probability for who, one in found.items()} == {
        row.customer_id: row.probability for row in rows
    }
    Histories(database).append([(f"c{at}", purchase(day - 1)) for at in range(50)], 0)
    assert sorted(one.probability for one in outcomes(database, found, 0)) == sorted(
        row.probability for row in rows if row.probability is not None
    )


def test_of_many_customers_a_part_is_looked_at_the_same_every_time(database: Database) -> None:
    day = MATURED - 3
    Scores(database).record([said(f"c{at}", day) for at in range(2000)])
    span = (day * DAY, (day + 1) * DAY)
    some = first_scores(database, *span, most=500)
    assert 150 < len(some) <= 500
    assert first_scores(database, *span, most=500) == some
    assert len(first_scores(database, *span)) == 2000


def test_who_was_treated_is_told_from_who_was_held_out(database: Database) -> None:
    day = MATURED - 5
    offers: dict[str, list[dict[str, Any]]] = {
        "nothing": [{"action": "none"}],
        "treated": [{}],
        "held": [{"withheld": True}],
        "both": [{"withheld": True}, {}],
        "service": [{"situation": "open_complaint", "propensity": 1.0}],
        "earlier": [{"day": day - 20}],
        "afterwards": [{"day": day + HORIZON}],
    }
    rows = [
        decided(10 * number + at, customer_id=who, **({"day": day + at} | one))
        for number, (who, made) in enumerate(offers.items())
        for at, one in enumerate(made)
    ]
    plant(database, *rows)
    Histories(database).append([(who, purchase(day - 9)) for who in offers], 0)
    found = became(database, *(said(who, day) for who in offers))
    assert {who for who, one in found.items() if one.treated} == {"treated", "both"}
    assert {who for who, one in found.items() if one.withheld} == {"held"}
    assert found.keys() == offers.keys()


class Models:
    """A model that serves, as far as it is asked about."""

    def __init__(self) -> None:
        manifest = SimpleNamespace(lead_time_days=0, horizon_days=HORIZON)
        self.current: Any = SimpleNamespace(manifest=manifest, version="m")


def test_the_figures_are_those_of_a_backtest_and_told_when_labels_mature(
    database: Database,
) -> None:
    rng = np.random.default_rng(SEED)
    n, day = 600, MATURED - 1
    p = np.clip(rng.beta(2.0, 2.0, n).round(3), 0.01, 0.99)
    stays = rng.random(n) > p
    events = [(f"c{at}", purchase(day - 9)) for at in range(n)]
    events += [(f"c{at}", purchase(day + 9)) for at in range(n) if stays[at]]
    histories = Histories(database)
    histories.append(events, now=0)
    Scores(database).record([said(f"c{at}", day, float(p[at])) for at in range(n)])
    watched = Realised(database, Models())  # type: ignore[arg-type]
    histories.append([("newest", purchase(day + HORIZON - 0.5))], now=2 * TODAY * DAY)
    watched.look()
    assert watched.told()["label_maturity_timestamp_seconds"] == (day - 0.5) * 86_400
    assert watched.told()["realised_customers"] == dict.fromkeys(
        ("counted", "treated", "withheld", "unknown"), 0
    )
    histories.append([("newest", purchase(day + HORIZON + 1))], now=2 * TODAY * DAY)
    watched.look()
    told = watched.told()
    expected = evaluate(~stays, p)
    assert told["label_maturity_timestamp_seconds"] == (day + 1) * 86_400
    assert told["realised_churn_rate"] == pytest.approx(expected.churn_rate)
    assert told["realised_roc_auc"] == pytest.approx(expected.roc_auc)
    assert told["realised_log_loss"] == pytest.approx(expected.log_loss)
    assert told["realised_calibration_error"] == pytest.approx(expected.ece)
    assert told["realised_calibration_ratio"] == pytest.approx((~stays).sum() / p.sum())


def test_who_was_held_out_stands_for_those_who_got_the_action() -> None:
    is_churn = np.array([True, False, True, False, True, False])
    p = np.array([0.9, 0.2, 0.7, 0.7, 0.4, 0.3])
    weight = np.array([3.0, 1.0, 1.0, 2.0, 1.0, 1.0])
    whole = realised(is_churn, p, weight)
    again = weight.astype(int)
    copies = realised(is_churn.repeat(again), p.repeat(again), np.ones(again.sum()))
    assert asdict(whole) == pytest.approx(asdict(copies))


def test_few_outcomes_are_no_figure_and_nothing_is_told_without_orders(
    database: Database, tmp_path: Path
) -> None:
    models = Models()
    watched = Realised(database, models)  # type: ignore[arg-type]
    watched.look()
    assert watched.told() == {}
    day = MATURED - 2
    few = [f"c{at}" for at in range(LEAST_CUSTOMERS - 1)]
    histories = Histories(database)
    histories.append([(who, purchase(day - 9)) for who in few], now=2 * TODAY * DAY)
    histories.append([("newest", purchase(TODAY))], now=2 * TODAY * DAY)
    Scores(database).record([said(who, day) for who in few])
    watched.look()
    assert watched.told().keys() == {"label_maturity_timestamp_seconds", "realised_customers"}
    models.current = None
    watched.look()
    assert watched.told().keys() == {"label_maturity_timestamp_seconds", "realised_customers"}
