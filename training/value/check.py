"""Check out of time what customers are said to bring, against what they then brought.

Nobody sees what a customer would have brought had they not left, so V itself cannot be checked
customer by customer. Its parts can: what those who came back within the horizon brought, and what
the others did; and their sum, weighed by the churn probability, against the margin realised.
"""

from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
from scipy.stats import norm, rankdata

from churn.compiled import Booleans, Floats
from churn.events import MICROSECONDS_PER_DAY
from churn.features import FEATURE_NAMES, POSITION
from training import bgnbd, gamma_gamma
from training.backtest import MODEL, Judged
from training.baselines import BGNBD_MAX_ROWS, histories
from training.calendar import Calendar, date_of
from training.config import Config
from training.ingest import Ingested
from training.intervals import Interval
from training.snapshots import collect
from training.value.fit import Window, fit_value, value_days, without_treated
from training.value.rows import collect_value

CLASSIC, OWN = "bgnbd_gamma_gamma", "own_average"
NAMES = {
    MODEL: "Keepwell",
    CLASSIC: "BG/NBD x Gamma-Gamma",
    OWN: "The customer's own average",
}
TENTHS = 10
FEWEST = 100
_Z = float(norm.ppf(0.975))
_NOTHING = 1e-6


@dataclass(frozen=True, slots=True)
class Tenth:
    """A tenth of the customers by expected margin: what was expected, and what came."""

    expected: float
    realised: Interval


@dataclass(frozen=True)
class ValueCheck:
    """Expected and realised margin of the customers of one date.

    Attributes
    ----------
    as_of : date
        Everything was learnt from what was known by then.
    days : int
        Over which margin was counted, from the end of the lead time.
    realised : ndarray of float64, shape (n,)
        Margin of the orders that came.
    expected : dict of str to ndarray of float64, shape (n,)
        By Keepwell and by each rival in `NAMES`.
    came_back : ndarray of bool, shape (n,)
        Whether the customer bought within the horizon.
    if_back, if_gone : ndarray of float64, shape (n,)
        Expected of a customer who does, and who does not.
    """

    as_of: date
    days: int
    realised: Floats
    expected: dict[str, Floats]
    came_back: Booleans
    if_back: Floats
    if_gone: Floats

    @cached_property
    def ranks(self) -> dict[str, Interval]:
        """Rank correlation of expected and realised margin, with its 95% interval."""
        return {name: rank_correlation(e, self.realised) for name, e in self.expected.items()}

    def ratio(self, name: str) -> Interval:
        """Realised over expected margin of all customers together."""
        return _ratio(self.realised, self.expected[name])

    @cached_property
    def parts(self) -> tuple[tuple[str, int, Interval], ...]:
        """For those who came back and those who did not: how many, realised over expected."""
        back = self.came_back
        return tuple(
            (name, int(rows.sum()), _ratio(self.realised[rows], expected[rows]))
            for name, rows, expected in (
                ("bought within the horizon", back, self.if_back),
                ("did not", ~back, self.if_gone),
            )
            if expected[rows].sum() > _NOTHING * self.realised.sum()
        )

    def tenths(self, name: str) -> list[Tenth]:
        """Tenths of the customers by expected margin, the least first."""
        order = np.argsort(self.expected[name], kind="stable")
        return [
            Tenth(float(self.expected[name][rows].mean()), _mean(self.realised[rows]))
            for rows in np.array_split(order, TENTHS)
        ]

    def miss(self, name: str) -> float:
        """Mean distance of the tenths from what was expected, in parts of the mean margin."""
        tenths = self.tenths(name)
        off = [abs(tenth.realised.value - tenth.expected) for tenth in tenths]
        return float(np.mean(off)) / max(float(self.realised.mean()), np.finfo(np.float64).tiny)

    def figures(self) -> dict[str, float]:
        """For a manifest: how well margin is ranked and met, and by the better rival."""
        rivals = [rank.value for name, rank in self.ranks.items() if name != MODEL]
        return {
            "value_rank_correlation": self.ranks[MODEL].value,
            "value_rank_correlation_of_rival": max(rivals),
            "value_realised_over_expected": self.ratio(MODEL).value,
            "value_miss_of_tenths": self.miss(MODEL),
        }


def check_value(
    config: Config, ingested: Ingested, calendar: Calendar, judged: Judged
) -> ValueCheck | None:
    """Judge the same procedure as of the date that leaves the longest window on both sides.

    Parameters
    ----------
    config, ingested, calendar : Config, Ingested, Calendar
        The problem, the log and its dates.
    judged : Judged
        Has churn probabilities of the test date and of earlier ones, each made as of then.

    Returns
    -------
    ValueCheck or None
        None where no cheques are recorded, or too few customers were there.
    """
    as_of, days = max(
        (
            (as_of, longest_window(config, calendar, as_of, ingested.complete_until))
            for as_of in (judged.test.dates[0], *(past.as_of for past in judged.earlier))
        ),
        key=lambda found: found[1],
    )
    return check_at(config, ingested, calendar, as_of, days, _predicted(judged, as_of))


def check_at(
    config: Config,
    ingested: Ingested,
    calendar: Calendar,
    as_of: int,
    days: int,
    predicted: dict[str, float],
) -> ValueCheck | None:
    """Fit as of a date, and hold what is expected of its customers against what they brought.

    Parameters
    ----------
    config, ingested, calendar : Config, Ingested, Calendar
        The problem, the log and its dates.
    as_of : int
        Nothing later is learnt from; microseconds since 1970-01-01 UTC.
    days : int
        Over which margin is counted; see `longest_window`.
    predicted : dict of str to float
        Churn probability by customer, made as of that date. Others are left out, and so are those
        who were treated meanwhile, where decisions are known.
    """
    rows = collect_value(ingested, [as_of], config.problem, window_days=days)
    rows, _ = without_treated(config, rows, days)  # as those learnt from
    p = np.array([predicted.get(one, np.nan) for one in rows.customer_id.tolist()])
    model = fit_value(config, ingested, calendar, rows.X, as_of, wanted_days=days)
    if model is None or model.days != days:
        return None
    margin = config.business.margin_rate
    expected = {MODEL: model.expected_margin(rows.X, p)}
    everyone = collect(
        ingested,
        [as_of],
        config.problem,
        everyone=True,
        max_rows=BGNBD_MAX_ROWS,
        seed=config.training.seed,
    )
    expected |= {
        name: margin * spend for name, spend in _rivals(everyone.X, rows.X, float(days)).items()
    }
    told = np.all([np.isfinite(e) for e in expected.values()], axis=0)
    if int(told.sum()) < FEWEST:
        return None
    within, back, gone = model.orders(rows.X[told]).T
    per_order = margin * model.cheques(rows.X[told])
    return ValueCheck(
        as_of=date_of(as_of, config.events.zone),
        days=days,
        realised=margin * rows.spend[told],
        expected={name: e[told] for name, e in expected.items()},
        came_back=rows.came_back[told],
        if_back=per_order * (within + back),
        if_gone=per_order * gone,
    )


def rank_correlation(x: Floats, y: Floats) -> Interval:
    """Spearman's rank correlation with its 95% interval.

    References
    ----------
    Bonett & Wright (2000), "Sample size requirements for estimating Pearson, Kendall and Spearman
    correlations", Psychometrika 65(1), for the variance of its Fisher transform.
    """
    if len(x) < 4 or np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        return Interval(0.0, -1.0, 1.0)
    r = float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])
    bounded = min(max(r, -1.0 + 1e-12), 1.0 - 1e-12)
    reach = _Z * np.sqrt((1.0 + r * r / 2.0) / (len(x) - 3.0))
    low, high = np.tanh(np.arctanh(bounded) + np.array([-reach, reach])).tolist()
    return Interval(r, low, high)


def longest_window(config: Config, calendar: Calendar, as_of: int, complete_until: int) -> int:
    """Days, up to those of value, that the log holds after a date and that dates before it tell."""
    after = (complete_until - as_of) // MICROSECONDS_PER_DAY - config.problem.lead_time_days
    return Window.of(calendar, as_of, min(value_days(config), after)).days


def _predicted(judged: Judged, as_of: int) -> dict[str, float]:
    """Churn probabilities of a date's customers, as a model made then gave them."""
    if as_of == judged.test.dates[0]:
        customers, p = judged.test.customer_id, judged.probabilities[MODEL]
    else:
        (past,) = (one for one in judged.earlier if one.as_of == as_of)
        customers, p = past.customer_id, past.probability
    return dict(zip(customers.tolist(), p.tolist(), strict=True))


def _rivals(everyone: Floats, X: Floats, days: float) -> dict[str, Floats]:
    """What simple rules expect to be spent in so many days, shape (n,) each."""
    known = everyone[~np.isnan(everyone[:, POSITION["tenure_days"]])]
    orders = bgnbd.fit(*histories(known, FEATURE_NAMES))
    n, mean = _daily(known)
    cheques = gamma_gamma.fit(n[mean > 0.0], mean[mean > 0.0])
    n, mean = _daily(X)
    tenure = np.maximum(X[:, POSITION["tenure_days"]], 30.0)
    return {
        CLASSIC: orders.expected_purchases(*histories(X, FEATURE_NAMES), days)
        * cheques.expected_cheque(n, mean),
        OWN: X[:, POSITION["spend_total"]] / tenure * days,
    }


def _daily(X: Floats) -> tuple[Floats, Floats]:
    """Purchase days, and the mean of what was spent on one: BG/NBD counts days, not orders."""
    n = X[:, POSITION["purchase_days_total"]]
    return n, X[:, POSITION["spend_total"]] / n


def _mean(amounts: Floats) -> Interval:
    mean = float(amounts.mean())
    reach = _Z * float(amounts.std()) / np.sqrt(len(amounts))
    return Interval(mean, mean - reach, mean + reach)


def _ratio(realised: Floats, expected: Floats) -> Interval:
    """Realised over expected, together; its interval by the spread of what is left over."""
    total = float(expected.sum())
    if total <= 0.0:
        return Interval(np.nan, np.nan, np.nan)
    ratio = float(realised.sum()) / total
    reach = _Z * float((realised - ratio * expected).std()) * np.sqrt(len(realised)) / total
    return Interval(ratio, ratio - reach, ratio + reach)
