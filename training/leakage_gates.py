"""The gates against leakage: what `training.leakage` found, held against limits, the column named.

The limits leave room above every honest column measured (`docs/gates.md` has the figures).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from training.leakage import OWN, Evidence, Excess
from training.separation import Booleans, Floats, separation
from training.verdicts import Gate, Outcome

COLUMN_LIMIT, COLUMN_WARNING = 0.70, 0.64
UNCHANGING_LIMIT = 0.70
TIME_LIMIT, TIME_WARNING = 0.12, 0.08
TIME_MATTERS = 0.66
TIMING_LIMIT, TIMING_WARNING = 0.75, 0.68
TIMING_HONEST = 0.62
TIMING_ABOVE_PURCHASES = 0.10
MODEL_WARNING = 0.90
TABLE_COLUMN_LIMIT, TABLE_COLUMN_WARNING = 0.95, 0.90
CHANCE = 0.02
"""A ROC AUC less two standard errors must not be further than this below its limit."""
SURE = 3.0
"""A knowledge of the future must be this many standard errors from none."""

REMEDY = (
    "Does it hold what became known later? Give it the date on which it was known (`known_at`), "
    "or leave it out."
)


@dataclass(frozen=True, slots=True)
class _Figure:
    """What one column shows in one gate; `fails` and `warns` say what follows."""

    one: Evidence
    figure: float
    fails: bool
    warns: bool


def leakage_gates(
    evidence: Sequence[Evidence], model: Excess | None, model_auc: float | None
) -> tuple[Gate, ...]:
    """Hold what was found against the limits.

    Parameters
    ----------
    evidence : sequence of Evidence
        Of every column, as `training.leakage.inspect` gives it.
    model : Excess or None
        Of the model's own probabilities, as `training.leakage.inspect_model` gives it.
    model_auc : float or None
        The model's out-of-time ROC AUC.
    """
    regular = max(
        (one.timing.auc for one in evidence if one.source is None and one.timing), default=0.0
    )
    return (
        _worst(
            "leakage_column",
            "highest ROC AUC of one column, among customers whose purchases promise the same",
            COLUMN_LIMIT,
            [
                _Figure(
                    one,
                    one.added.auc,
                    _surely(one.added.auc, COLUMN_LIMIT, one.added.error),
                    _surely(one.added.auc, COLUMN_WARNING, one.added.error),
                )
                for one in evidence
                if one.added is not None
            ],
            lambda one, figure: (
                f"{_named(one)} explains "
                f"{'too much' if figure > COLUMN_LIMIT else 'a lot'}: of customers whose purchases "
                f"promise the same it tells who leaves with a ROC AUC of {figure:.2f}, as hardly "
                "anything known in time does"
            ),
            "beyond the days of purchases no column explains too much",
        ),
        _worst(
            "leakage_unchanging",
            "highest ROC AUC of a column that has one value at all dates",
            UNCHANGING_LIMIT,
            [
                _Figure(
                    one,
                    one.coming.auc,
                    _surely(one.coming.auc, UNCHANGING_LIMIT, one.coming.error),
                    False,
                )
                for one in evidence
                if one.never_changes and one.coming is not None
            ],
            lambda one, figure: (
                f"{_named(one)} never changes, and yet tells who leaves with a ROC AUC of "
                f"{figure:.2f}: it looks like a value as of today"
            ),
            "no column that never changes tells who leaves",
        ),
        _worst(
            "leakage_time",
            "ROC AUC of the coming window beyond that of the one that has just ended",
            TIME_LIMIT,
            [
                _Figure(
                    one,
                    one.excess.value,
                    one.excess.value > TIME_LIMIT and _sure(one.excess),
                    one.excess.value > TIME_WARNING and _sure(one.excess),
                )
                for one in evidence
                if one.excess is not None and _matters(one)
            ],
            lambda one, figure: (
                f"{_named(one)} knows the coming window better than the one that has just ended "
                f"(by {figure:.2f} of ROC AUC), as only a look ahead does"
            ),
            "every column knows the past at least about as well as the future",
        ),
        _worst(
            "leakage_timing",
            "highest ROC AUC of one column for who comes back soon, among those who come back",
            TIMING_LIMIT,
            [
                _Figure(
                    one,
                    one.timing.auc,
                    one.timing.auc > max(TIMING_LIMIT, regular + TIMING_ABOVE_PURCHASES)
                    and one.timing.auc - 2 * one.timing.error > TIMING_WARNING,
                    one.timing.auc > max(TIMING_WARNING, regular + TIMING_ABOVE_PURCHASES / 2)
                    and one.timing.auc - 2 * one.timing.error > TIMING_HONEST,
                )
                for one in evidence
                if one.source is not None and one.timing is not None
            ],
            lambda one, figure: (
                f"{_named(one)} tells, of those who come back, who comes soon (ROC AUC "
                f"{figure:.2f}), as if it had seen the first days of the window"
            ),
            "beyond the days of purchases no column tells when customers come back",
        ),
        _model_gate(evidence, model, model_auc),
    )


def table_leakage_gate(X: Floats, names: Sequence[str], is_churn: Booleans) -> Gate:
    """The gate of a ready table, where nothing but the strength of a column can be asked.

    Parameters
    ----------
    X : ndarray of float64, shape (n, n_columns)
        Categories as codes; NaN is missing.
    names : sequence of str
    is_churn : ndarray of bool, shape (n,)
    """
    figures = []
    for at, name in enumerate(names):
        told = separation(None, X[:, at], is_churn)
        if told is not None:
            one = Evidence(name, OWN, told, None, None, None, False)
            fails, warns = (
                _surely(told.auc, limit, told.error)
                for limit in (TABLE_COLUMN_LIMIT, TABLE_COLUMN_WARNING)
            )
            figures.append(_Figure(one, told.auc, fails, warns))
    return _worst(
        "leakage_table_column",
        "highest ROC AUC of one column of the table alone",
        TABLE_COLUMN_LIMIT,
        figures,
        lambda one, figure: f"{_named(one)} alone tells who leaves with a ROC AUC of {figure:.2f}",
        "no column of the table tells too much alone",
    )


def _worst(
    name: str,
    measured: str,
    limit: float,
    figures: list[_Figure],
    accusation: Callable[[Evidence, float], str],
    good: str,
) -> Gate:
    if not figures:
        sentence = f"There is nothing to ask: {good}."
        return Gate(name, measured, None, limit, Outcome.PASSED, sentence)
    worst = max(figures, key=lambda f: (f.fails, f.warns, f.figure))
    if not worst.warns and not worst.fails:
        sentence = (
            f"{good[:1].upper()}{good[1:]}; the highest is {worst.one.name}: {worst.figure:.2f}."
        )
        return Gate(name, measured, worst.figure, limit, Outcome.PASSED, sentence)
    outcome = Outcome.FAILED if worst.fails else Outcome.WARNING
    alike = sorted(
        (f for f in figures if f is not worst and (f.fails if worst.fails else f.warns)),
        key=lambda f: -f.figure,
    )
    also = f" Likewise {_listed([f.one.name for f in alike])}." if alike else ""
    sentence = f"{accusation(worst.one, worst.figure)}.{also} {REMEDY}"
    return Gate(name, measured, worst.figure, limit, outcome, sentence, worst.one.name)


def _model_gate(
    evidence: Sequence[Evidence], model: Excess | None, model_auc: float | None
) -> Gate:
    name = "leakage_model"
    measured = "the model's ROC AUC of the coming window beyond that of the one just ended"
    suspects = sorted(
        (one for one in evidence if one.source is not None and one.excess is not None),
        key=lambda one: -one.excess.value if one.excess else 0.0,
    )[:3]
    look_at = f" Look first at {_listed([one.name for one in suspects])}." if suspects else ""
    if model is not None and model.value > TIME_LIMIT and _sure(model):
        sentence = (
            "All columns together know the coming window better than the one that has just ended "
            f"(by {model.value:.2f} of ROC AUC), as only a look ahead does.{look_at}"
        )
        return Gate(name, measured, model.value, TIME_LIMIT, Outcome.FAILED, sentence)
    figure = None if model is None else model.value
    if model_auc is not None and model_auc > MODEL_WARNING:
        sentence = (
            f"A ROC AUC of {model_auc:.2f} is rare on a log of purchases unless they are as "
            f"regular as a subscription's: make sure that nothing known later is in it.{look_at}"
        )
        return Gate(name, measured, figure, TIME_LIMIT, Outcome.WARNING, sentence)
    sentence = "The model knows the past better than the future, as it should."
    return Gate(name, measured, figure, TIME_LIMIT, Outcome.PASSED, sentence)


def _surely(figure: float, limit: float, error: float) -> bool:
    """Whether a ROC AUC is beyond a limit, and not by chance alone."""
    return figure > limit and figure - 2 * error > limit - CHANCE


def _matters(one: Evidence) -> bool:
    """Whether a column explains enough to do harm; honest news (a complaint) is recent too."""
    return one.added is None or one.added.auc > TIME_MATTERS


def _sure(excess: Excess) -> bool:
    return bool(excess.value > SURE * excess.error)


def _named(one: Evidence) -> str:
    return f"{one.name} ({one.source})" if one.source else one.name


def _listed(names: list[str]) -> str:
    if len(names) > 3:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
