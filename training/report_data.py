"""The facts that a report and a model card are given about a trained model.

Whoever trained a model hands over plain values (`ReportData`); everything that can be derived is
derived once (`training.findings`), so that the page and the card print the same figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from churn.reliability import Reliability
from training.empc import CampaignProfit, Economics
from training.faithfulness import Faithfulness
from training.findings import MODEL, Findings, findings
from training.gates import CALIBRATION_WARNING
from training.own_report import OwnReport
from training.usability import Usability
from training.value.worth import Worth
from training.verdicts import Gate, Grade

WORTH_A_WARNING = 0.05
"""Miss of a date's churn rate that the reader is told of before everything else."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One date of the calendar and what it was used for."""

    as_of: date
    role: str
    customers: int
    churn_rate: float


@dataclass(frozen=True, slots=True)
class Driver:
    """A feature that the model looks at, in its own units.

    Attributes
    ----------
    name, words : str
        Its identifier, and what it is called in a sentence.
    family : str
        Which kind of reason it tells of.
    unit : str
        As in `churn.features.Feature`, or ``category``.
    contribution : ndarray of float64, shape (n,)
        What it moved each test row by, in log-odds; NaN where that was not computed.
    values : ndarray of float64 or of object, shape (n,)
        Of each test row, missing as NaN; strings for a ``category``, missing as "".
    """

    name: str
    words: str
    family: str
    unit: str
    contribution: NDArray[np.float64]
    values: NDArray[Any]

    @property
    def importance(self) -> float:
        """Mean absolute contribution, in log-odds."""
        return float(np.nanmean(np.abs(self.contribution)))


@dataclass(frozen=True, slots=True)
class Earlier:
    """A date before the test, predicted by a model whose outcomes had ended by then."""

    as_of: date
    is_churn: NDArray[np.bool_]
    probability: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RiskCurve:
    """Risk over time, of the customers of one date.

    Attributes
    ----------
    as_of : date
        The date.
    days : tuple of int
        Horizons, ascending.
    probability : ndarray of float64, shape (n, len(days))
        That a test row's customer buys nothing within so many days.
    bought_nothing : ndarray of float64, shape (n, len(days))
        1 where that came true, 0 where not, NaN where the log ends too early to tell.
    """

    as_of: date
    days: tuple[int, ...]
    probability: NDArray[np.float64]
    bought_nothing: NDArray[np.float64]


@dataclass(frozen=True)
class ReportData:
    """A trained model and how it did on customers and dates it had not seen.

    Attributes
    ----------
    model_version : str
    created_at : datetime
    is_churn : ndarray of bool, shape (n,)
        Outcome of each test row.
    probabilities : mapping of str to ndarray, shape (n,)
        Churn probabilities of ``keepwell`` and of every baseline for the test rows.
    thresholds : mapping of str to float
        Lowest probability of the bands ``medium`` and ``high``.
    calibration : str
        The calibration layer that was chosen, and why.
    target : str
        What the probability is of, to follow "how probable is it that ...".
    horizon_days, lead_time_days, inactivity_days, observation_window_days : int or None
        The problem, as in `keepwell.toml`; None where the rows came without dates.
    as_of : ndarray of datetime64[D], shape (n,), or None
        Date of each test row.
    is_one_time : ndarray of bool, shape (n,), or None
        Whether the customer had bought on one day only.
    category : ndarray of object, shape (n,), or None
        The customer's favourite category, "" where there is none.
    earlier : tuple of Earlier
        The same model made for earlier dates, and what became of them.
    calendar : tuple of Snapshot
        Every snapshot used; roles are ``training``, ``calibration``, both, and ``test``.
    curves : tuple of RiskCurve
        Risk at other horizons: of the test date, and of an earlier one where all are known.
    reliability : Reliability or None
        How far a probability may be off.
    drivers : tuple of Driver
        The features that the model looks at, the most important first.
    families : mapping of str to float
        Mean absolute contribution of each reason family on the test rows, in log-odds.
    usability : Usability or None
        What the event log holds.
    own : OwnReport or None
        What the columns of the user's own hold.
    facts : tuple of str
        What else there is to know of the rows, a fact each.
    settings, libraries : mapping of str to str
    warnings : tuple of str
        What the reader should know before trusting the figures.
    data_fingerprint : str
    seed : int
        Of the training and of the bootstrap.
    currency : str
        Of money.
    gates : tuple of Gate
        What was asked before promotion, and the answers.
    grade : Grade or None
        The letter for a manager and why.
    faithfulness : Faithfulness or None
        How far the first reasons hold.
    empc : mapping of str to CampaignProfit
        Expected maximum profit of a retention campaign with each model, ``keepwell`` first.
    economics : Economics or None
        What that campaign costs and brings.
    worth : Worth or None
        What is at stake with each test customer, and what kind of loss each would be.
    """

    model_version: str
    created_at: datetime
    is_churn: NDArray[np.bool_]
    probabilities: Mapping[str, NDArray[np.float64]]
    thresholds: Mapping[str, float]
    calibration: str
    target: str
    horizon_days: int | None = None
    lead_time_days: int = 0
    inactivity_days: int | None = None
    observation_window_days: int | None = None
    as_of: NDArray[np.datetime64] | None = None
    is_one_time: NDArray[np.bool_] | None = None
    category: NDArray[np.object_] | None = None
    earlier: tuple[Earlier, ...] = ()
    calendar: tuple[Snapshot, ...] = ()
    curves: tuple[RiskCurve, ...] = ()
    reliability: Reliability | None = None
    drivers: tuple[Driver, ...] = ()
    families: Mapping[str, float] = field(default_factory=dict)
    usability: Usability | None = None
    own: OwnReport | None = None
    facts: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    data_fingerprint: str = ""
    seed: int = 7
    currency: str = ""
    gates: tuple[Gate, ...] = ()
    grade: Grade | None = None
    faithfulness: Faithfulness | None = None
    empc: Mapping[str, CampaignProfit] = field(default_factory=dict)
    economics: Economics | None = None
    worth: Worth | None = None

    @property
    def cautions(self) -> tuple[str, ...]:
        """What to know before trusting it: failed gates, warnings, probabilities that are off."""
        told = [f"It is not promoted: {g.sentence}" for g in self.gates if not g.passed]
        told += self.warnings
        ece, chance = self.findings.metrics[MODEL].ece, self.findings.floor.p95
        if ece > chance:
            # As the gate words it, or the page would say two things of one figure.
            advice = (
                "good to plan with, not to be read to the point"
                if ece - chance <= CALIBRATION_WARNING
                else "rely on the order of customers rather than on the probabilities themselves"
            )
            told.append(
                f"The probabilities are off by {ece:.3f} on average, more than chance explains (up "
                f"to {chance:.3f} in 95% of cases): {advice}."
            )
        dates = self.findings.dates
        worst = max(dates, key=lambda date: abs(date.miss), default=None)
        if worst is not None and worst.misses and abs(worst.miss) >= WORTH_A_WARNING:
            told.append(
                f"As of {worst.name} the same procedure expected {worst.predicted:.0%} to leave "
                f"and {worst.churn_rate.value:.0%} did: when habits or the mix of customers "
                "change, everybody's probability is off together until new outcomes are known."
            )
        return tuple(told)

    @cached_property
    def findings(self) -> Findings:
        """What follows from these facts, computed once for all who print it."""
        return findings(self)


def purchase_target(horizon_days: int, lead_time_days: int, inactivity_days: int) -> str:
    """What the probability of a model of purchases is of, in words.

    Examples
    --------
    >>> purchase_target(60, 0, 180)
    'a customer who bought in the last 180 days buys nothing in the next 60 days'
    """
    wait = f", after {lead_time_days} days" if lead_time_days else ""
    return (
        f"a customer who bought in the last {inactivity_days} days "
        f"buys nothing in the next {horizon_days} days{wait}"
    )
