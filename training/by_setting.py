"""What each setting of the problem costs and brings, tried out on the log itself.

Every value of a setting is tried on the same date, the last on which all of them can be judged, so
that the rows of a table differ in the setting and not in the season.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from churn.events import MICROSECONDS_PER_DAY
from training.calendar import date_of
from training.config import Config, Problem
from training.gaps import Gaps
from training.ingest import Ingested
from training.progress import Progress
from training.suggestions import Suggestion, room_days, span_needed
from training.table_sentences import about_horizons, about_inactivities, about_leads
from training.trials import Trial, try_problem

HORIZONS = (14, 30, 45, 60, 90, 120, 180)
LEAD_TIMES = (0, 7, 14)
INACTIVITIES = (90, 180, 365)


@dataclass(frozen=True, slots=True)
class Table:
    """The values of one setting, tried on one date.

    Attributes
    ----------
    key : str
        The setting, of ``[problem]``.
    title : str
        What is shown, at which date, with the other settings.
    trials : tuple of Trial
        One for each value, ascending.
    sentence : str
        What the table says.
    """

    key: str
    title: str
    trials: tuple[Trial, ...]
    sentence: str

    def rows(self) -> list[dict[str, Any]]:
        """The table as plain values for JSON."""
        return [trial.to_dict(self.key) for trial in self.trials]

    def lines(self) -> Iterator[str]:
        """The table for a terminal."""
        if not self.trials:
            return
        yield self.title
        yield (
            "    days customers   churn   ROC AUC              log loss gain        top-decile lift"
        )
        for trial in self.trials:
            days = getattr(trial.problem, self.key)
            line = f"  {days:>6} {trial.customers:>9,} {trial.churn_rate:>7.1%}   "
            if trial.quality is None:
                yield line + "too few customers of one outcome to tell"
                continue
            auc, gain, lift = (
                trial.quality.roc_auc,
                trial.quality.log_loss_gain,
                trial.quality.top_decile_lift,
            )
            yield (
                f"{line}{auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}] "
                f"{gain.value:.3f} [{gain.low:.3f}, {gain.high:.3f}] "
                f"{lift.value:.2f} [{lift.low:.2f}, {lift.high:.2f}]"
            )
        yield f"  {self.sentence}"


def tabulate(
    config: Config,
    sample: Ingested,
    gaps: Gaps,
    suggestions: Sequence[Suggestion],
    progress: Progress,
) -> tuple[Table, ...]:
    """Try horizons, lead times and inactivities; nothing where the log has room for none.

    Parameters
    ----------
    config : Config
        The problem as configured, and the seed.
    sample : Ingested
        The log, or a part of its customers.
    gaps : Gaps
        Of the whole log.
    suggestions : sequence of Suggestion
        What is suggested is tried as well.
    progress : Progress
        Told of each trial.
    """
    plans = list(_plans(config.problem, _span_days(sample), gaps, suggestions))
    progress.stage("trying settings", sum(len(plan.problems) for plan in plans))
    return tuple(_table(config, sample, plan, progress) for plan in plans)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to try for one setting, and how to say what came of it."""

    key: str
    problems: list[Problem]
    sentence: Callable[[Sequence[Trial], int], str]


def _plans(
    problem: Problem, span_days: float, gaps: Gaps, suggestions: Sequence[Suggestion]
) -> Iterator[_Plan]:
    suggested = {one.key: one.days for one in suggestions}
    room = room_days(span_days, problem.lead_time_days)

    def values(key: str, usual: Sequence[int], most: int) -> list[int]:
        wanted = {*usual, getattr(problem, key), suggested.get(key, usual[0])}
        return [value for value in sorted(wanted) if value <= most]

    is_quick = gaps.after_any.quantile(0.5) <= 7
    horizons = values("horizon_days", (7, *HORIZONS) if is_quick else HORIZONS, room)
    if not horizons:
        return
    base = problem
    if problem.horizon_days > room:
        # The configured horizon cannot be tried, so the rest is with the longest that can.
        longest = suggested.get("horizon_days", horizons[-1])
        base = problem.model_copy(update={"horizon_days": longest})
    days = base.horizon_days
    leads = [
        lead
        for lead in values("lead_time_days", LEAD_TIMES, days // 2)
        if span_needed(days, lead) <= span_days
    ]
    history = int(span_days) - base.lead_time_days - days
    most = min(history, problem.observation_window_days)
    for key, chosen, sentence in (
        ("horizon_days", horizons, about_horizons),
        ("lead_time_days", leads, about_leads),
        ("inactivity_days", values("inactivity_days", INACTIVITIES, most), about_inactivities),
    ):
        if chosen:
            problems = [base.model_copy(update={key: value}) for value in chosen]
            yield _Plan(key, problems, sentence)


def _span_days(sample: Ingested) -> float:
    return (sample.complete_until - sample.first_event) / MICROSECONDS_PER_DAY


def _table(config: Config, sample: Ingested, plan: _Plan, progress: Progress) -> Table:
    key = plan.key
    longest = max(one.lead_time_days + one.horizon_days for one in plan.problems)
    as_of = sample.complete_until - longest * MICROSECONDS_PER_DAY

    def one(problem: Problem) -> Trial:
        return try_problem(sample, problem, as_of, config.training.seed)

    trials = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for trial in pool.map(one, plan.problems):
            trials.append(trial)
            progress.advance()
    others = ", ".join(
        f"{name} = {getattr(plan.problems[0], name)}"
        for name in ("horizon_days", "lead_time_days", "inactivity_days")
        if name != key
    )
    title = f"by {key}, as of {date_of(as_of, config.events.zone)} ({others}):"
    return Table(key, title, tuple(trials), plan.sentence(trials, getattr(config.problem, key)))
