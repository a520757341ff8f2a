"""The gates that a model must pass before it serves anybody: each a figure, a limit, a sentence.

A failed gate keeps a model from being promoted, so its limit is where a model would do harm, far
from what an honest log shows; a warning's limit is where a reader should know. `docs/gates.md`
has every number, and what honest and leaking logs showed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.calibrate import Dated
from training.intervals import Interval, compare
from training.metrics import ece_floor, evaluate
from training.separation import standard_error
from training.verdicts import Gate, Outcome

RECENCY_RULE = "recency_lr"
CALIBRATION_LIMIT, CALIBRATION_WARNING = 0.15, 0.02
STAGE_LIMIT, STAGE_WARNING = 0.20, 0.04
MIN_STAGE = 100
FALL_LIMIT, FALL_WARNING = 0.10, 0.05
SWING_LIMIT, SWING_WARNING = 0.15, 0.08

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Differences = dict[str, Interval | None]


@dataclass(frozen=True, slots=True)
class _Date:
    """How well one date's customers were ranked, and how surely that is known."""

    auc: float
    error: float


def beats_recency_gate(
    is_churn: Booleans, model: Floats, rule: Floats, *, seed: int
) -> tuple[Gate, Differences]:
    """Ask whether the model is better than the best rule of recency, on the same customers.

    It passes if the 95% interval of the difference in ROC AUC or in log loss lies wholly on the
    better side and neither lies wholly on the worse.

    Parameters
    ----------
    is_churn : ndarray of bool, shape (n,)
    model, rule : ndarray of float64, shape (n,)
        Churn probabilities of the model and of ``recency_lr``. The latter is a logistic regression
        on the days since the last purchase: it ranks as every rule of recency does.
    seed : int
        Of the bootstrap.
    """
    differences = compare(is_churn, model, rule, seed=seed)
    better, worse = verdict(differences)
    passed = better and not worse
    auc = differences["roc_auc"]
    told = described(differences)
    sentence = (
        f"It is better than knowing only how long ago each customer bought ({told})."
        if passed
        else f"It is not shown to be better than knowing only how long ago each customer bought "
        f"({told}): that rule is simpler and as good. Bring more customers, a longer history or "
        "more kinds of events."
    )
    gate = Gate(
        "beats_recency",
        "lower end of the 95% interval of the gain in ROC AUC over the recency rule",
        None if auc is None else auc.low,
        0.0,
        Outcome.PASSED if passed else Outcome.FAILED,
        sentence,
    )
    return gate, differences


def verdict(differences: Differences) -> tuple[bool, bool]:
    """Whether a model is shown to be better, and to be worse, in ROC AUC or in log loss."""
    auc, loss = differences["roc_auc"], differences["log_loss"]
    better = (auc is not None and auc.low > 0) or (loss is not None and loss.high < 0)
    worse = (auc is not None and auc.high < 0) or (loss is not None and loss.low > 0)
    return better, worse


def described(differences: Differences) -> str:
    """The differences with their intervals, for people."""
    words = {"roc_auc": "ROC AUC", "log_loss": "log loss"}
    return ", ".join(
        f"{words[name]} {one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"
        for name, one in differences.items()
        if one is not None
    )


def calibration_gates(
    is_churn: Booleans, probability: Floats, is_one_time: Booleans | None, *, seed: int
) -> tuple[Gate, ...]:
    """Ask whether the probabilities mean what they say: for all, one-time and repeat buyers.

    Where nobody knows who bought once (`is_one_time` is None), for all only.

    The figure is the ECE beyond what a perfect model shows in 95% of cases by chance. A shift that
    nobody could foresee (a season not in the log) warns; only probabilities that are of no use
    fail.
    """
    asked = [("calibration", "all customers", np.ones(len(is_churn), dtype=np.bool_))]
    if is_one_time is not None:
        asked += [
            ("calibration_one_time", "one-time buyers", is_one_time),
            ("calibration_repeat", "repeat buyers", ~is_one_time),
        ]
    gates = []
    for name, whom, rows in asked:
        everyone = name == "calibration"
        limit, warning = (
            (CALIBRATION_LIMIT, CALIBRATION_WARNING) if everyone else (STAGE_LIMIT, STAGE_WARNING)
        )
        if not everyone and rows.sum() < MIN_STAGE:
            continue
        p = probability[rows]
        ece, chance = evaluate(is_churn[rows], p).ece, ece_floor(p, seed).p95
        beyond = ece - chance
        outcome = _outcome(beyond, limit, warning)
        told = f"{whom}: the probabilities are off by {ece:.3f} on average, "
        sentence = told + (
            f"no more than chance gives (up to {chance:.3f})."
            if beyond <= 0
            else f"little more than chance gives (up to {chance:.3f})."
            if outcome is Outcome.PASSED
            else f"chance explains {chance:.3f}. Rely on the order of customers rather than on "
            "the probabilities themselves."
            if outcome is Outcome.WARNING
            else f"chance explains {chance:.3f}: they say nothing. Look at how the churn rate "
            "moved before the test date, and whether the log is complete."
        )
        gates.append(
            Gate(
                name,
                f"ECE beyond chance, {whom}",
                beyond,
                limit,
                outcome,
                sentence[:1].upper() + sentence[1:],
            )
        )
    return tuple(gates)


def stability_gates(
    is_churn: Booleans, probability: Floats, earlier: Sequence[Dated]
) -> tuple[Gate, ...]:
    """Ask whether the quality of the last dates holds at the test date, and how far it swings.

    Parameters
    ----------
    is_churn : ndarray of bool, shape (n,)
    probability : ndarray of float64, shape (n,)
        At the test date.
    earlier : sequence of Dated
        Earlier dates, each predicted by a booster whose labels had ended by then.
    """
    fall = "mean ROC AUC of earlier dates less that of the test date"
    swing = "highest less lowest ROC AUC of all dates"
    now = _date(is_churn, probability)
    past = [one for one in (_date(d.is_churn, d.probability) for d in earlier) if one is not None]
    if now is None or not past:
        unknown = "There is no earlier date to compare with: how steady it is cannot be said yet."
        return (
            Gate("stability_fall", fall, None, FALL_LIMIT, Outcome.PASSED, unknown),
            Gate("stability_swing", swing, None, SWING_LIMIT, Outcome.PASSED, unknown),
        )
    dates = [now, *past]
    fell = float(np.mean([one.auc for one in past])) - now.auc
    top, bottom = max(dates, key=lambda d: d.auc), min(dates, key=lambda d: d.auc)
    swung = top.auc - bottom.auc
    # Small dates scatter: what two standard errors explain is no change.
    fall_chance = 2 * float(np.hypot(now.error, np.sqrt(np.mean([d.error**2 for d in past]))))
    swing_chance = 2 * float(np.hypot(top.error, bottom.error))
    shown = ", ".join(f"{one.auc:.3f}" for one in dates)
    gates = []
    for name, measured, figure, chance, limit, warning, bad in (
        ("stability_fall", fall, fell, fall_chance, FALL_LIMIT, FALL_WARNING,
         "it ranks customers worse than it did"),
        ("stability_swing", swing, swung, swing_chance, SWING_LIMIT, SWING_WARNING,
         "how well it ranks customers swings from date to date"),
    ):  # fmt: skip
        outcome = _outcome(figure, limit, warning) if figure > chance else Outcome.PASSED
        sentence = (
            f"It ranks customers steadily: ROC AUC {shown}, newest first."
            if outcome is Outcome.PASSED
            else f"{bad[:1].upper()}{bad[1:]}: ROC AUC {shown}, newest first. Look at what changed "
            "in the business or in the log."
        )
        gates.append(Gate(name, measured, figure, limit, outcome, sentence))
    return tuple(gates)


def _outcome(figure: float, limit: float, warning: float) -> Outcome:
    if figure > limit:
        return Outcome.FAILED
    return Outcome.WARNING if figure > warning else Outcome.PASSED


def _date(is_churn: Booleans, probability: Floats) -> _Date | None:
    auc = evaluate(is_churn, probability).roc_auc
    if auc is None:
        return None
    churned = int(is_churn.sum())
    return _Date(auc, standard_error(auc, churned, len(is_churn) - churned))
