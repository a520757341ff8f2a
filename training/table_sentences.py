"""What the tables by horizon, lead time and inactivity say, each in a sentence.

Every function takes the trials, by ascending value, and the value configured.
"""

from collections.abc import Sequence
from itertools import pairwise

from training.gaps import days_in_words
from training.trials import Quality, Trial


def about_horizons(trials: Sequence[Trial], configured: int) -> str:
    """Say how the churn rate and the ROC AUC move with the horizon."""
    first, last = trials[0], trials[-1]
    said = (
        f"from {first.problem.horizon_days} to {last.problem.horizon_days} days the churn rate "
        f"goes from {first.churn_rate:.0%} to {last.churn_rate:.0%}"
    )
    judged = {one.problem.horizon_days: one.quality for one in trials if one.quality}
    if not judged:
        return f"{said}; too few customers to try a model on"
    best = max(judged, key=lambda days: judged[days].roc_auc.value)
    said += f"; customers are ranked best at {best} days (ROC AUC {_auc(judged[best])})"
    now = judged.get(configured)
    if now is None or configured == best:
        return said
    alike = now.roc_auc.high >= judged[best].roc_auc.low
    return said + (
        f", at {configured} alike ({_auc(now)}: the intervals overlap)"
        if alike
        else f", at {configured} worse ({_auc(now)})"
    )


def about_leads(trials: Sequence[Trial], configured: int) -> str:
    """Say what each lead time costs in ROC AUC."""
    judged = {one.problem.lead_time_days: one.quality for one in trials if one.quality}
    if len(judged) < 2 or 0 not in judged:
        return "too few values can be tried to say what a lead time costs"
    none = judged[0].roc_auc
    costs = [
        f"{days_in_words(days)} {round(quality.roc_auc.value - none.value, 3) + 0.0:+.3f}"
        + (" (within the interval)" if quality.roc_auc.high >= none.low else "")
        for days, quality in judged.items()
        if days
    ]
    return "ROC AUC against acting on the day: " + ", ".join(costs)


def about_inactivities(trials: Sequence[Trial], configured: int) -> str:
    """Say whom a longer inactivity takes in."""
    if len(trials) < 2:
        return "too few values can be tried to say what a longer inactivity brings"
    said = []
    for shorter, longer in pairwise(trials):
        more = longer.customers - shorter.customers
        if more > 0:
            lost = (longer.churned - shorter.churned) / more
            said.append(
                f"{longer.problem.inactivity_days} days take in {more:,} more customers than "
                f"{shorter.problem.inactivity_days}, of whom {lost:.0%} leave"
            )
    if not said:
        return "a longer inactivity takes in nobody more"
    return "; ".join(said) + ": who has left already is easy to tell and flatters the ROC AUC"


def _auc(quality: Quality) -> str:
    return f"{quality.roc_auc.value:.3f}"
