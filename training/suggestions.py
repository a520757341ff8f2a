"""What horizon, lead time and inactivity the gaps between purchases speak for, and why.

Each rule has its number here and in docs/choosing-the-problem.md.
"""

from dataclasses import dataclass

from training.config import Problem
from training.gaps import Gaps, days_in_words, quantile

FEWEST_GAPS = 30
"""Fewer gaps are too few to suggest anything from."""

BACK_BY_HORIZON = 0.80
"""Share of returning customers who should be back by the end of the horizon ..."""
BACK_BY_SHORTEST = 0.50
"""... and the least: with a shorter horizon most of those who count as lost come back."""
BACK_BY_LEAD = 0.10
"""Share of returning customers who may be back before anybody acts."""
LAPSED_RETURN = 0.10
"""Whoever is less likely than this to buy within the horizon has lapsed already."""

ROUND = (
    7, 14, 21, 30, 45, 60, 75, 90, 120, 150, 180, 210, 240, 270, 300, 365, 400, 450, 540, 730,
)  # fmt: skip
LEADS = (0, 1, 3, 7, 14, 30)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A setting that the data speak for.

    Attributes
    ----------
    key : str
        Of ``[problem]``.
    days : int
        The value suggested.
    why : str
        The reason, with its figure.
    configured : int
        The value in force.
    change : bool
        Whether the value in force should be changed.
    now : str
        What the value in force means.
    """

    key: str
    days: int
    why: str
    configured: int
    change: bool
    now: str

    @property
    def line(self) -> str:
        """The suggestion in one sentence."""
        if self.days == self.configured:
            return f"suggestion: keep {self.key} = {self.days}: {self.why}"
        return (
            f"suggestion: {self.key} = {self.days}: {self.why}. Now {self.configured}: {self.now}"
        )

    @property
    def in_force(self) -> int:
        """The value in force after the advice is followed where it is urgent."""
        return self.days if self.change else self.configured


def room_days(span_days: float, lead_time_days: int) -> int:
    """Return the longest horizon that leaves a history and two windows in the log.

    One window to learn from, a later one to be judged on, and a horizon of history before them
    (`training.calendar`).
    """
    return int(span_days - 2 * lead_time_days) // 3


def span_needed(horizon_days: int, lead_time_days: int) -> int:
    """Days that a log must span for a horizon; see `room_days`."""
    return 3 * horizon_days + 2 * lead_time_days


def suggest(gaps: Gaps, span_days: float, problem: Problem) -> tuple[Suggestion, ...]:
    """Horizon, lead time and inactivity, as far as the log can tell.

    Parameters
    ----------
    gaps : Gaps
        Of the log.
    span_days : float
        How long the log is.
    problem : Problem
        What is configured.
    """
    if gaps.ended.total() < FEWEST_GAPS:
        return ()
    horizon = _horizon(gaps, span_days, problem)
    days = horizon.in_force if horizon else problem.horizon_days
    found = (
        horizon,
        _lead_time(gaps, problem, days),
        _inactivity(gaps, problem, days),
    )
    return tuple(one for one in found if one)


def missing(gaps: Gaps, span_days: float, problem: Problem) -> str | None:
    """What the log lacks for a horizon to be suggested; None if it lacks nothing."""
    n = gaps.ended.total()
    if n < FEWEST_GAPS:
        return (
            f"{n} gaps between purchases are too few to suggest a horizon from; at least "
            f"{FEWEST_GAPS} are needed"
        )
    if _horizon(gaps, span_days, problem) is not None:
        return None
    least = next((days for days in _rounds(gaps) if _covers(gaps, days, BACK_BY_SHORTEST)), None)
    if least is None:
        return None
    needed = span_needed(least, problem.lead_time_days)
    return (
        f"no horizon suits both the customers and the log of {span_days:.0f} days: half of "
        f"the returning customers come back within {gaps.after_any.quantile(0.5)} days, so the "
        f"horizon should be at least {least}, for which a log must span {needed} days: "
        f"{needed - int(span_days)} more"
    )


def _rounds(gaps: Gaps) -> list[int]:
    """Round horizons; whole weeks where customers buy by the week, so that windows are alike."""
    if gaps.rhythm != "weekly":
        return list(ROUND)
    return sorted({-(-days // 7) * 7 for days in ROUND})


def _covers(gaps: Gaps, days: int, share: float) -> bool:
    return gaps.after_any.within(days) >= share and days >= quantile(gaps.own, 0.5)


def _horizon(gaps: Gaps, span_days: float, problem: Problem) -> Suggestion | None:
    returns, lead = gaps.after_any, problem.lead_time_days
    room = room_days(span_days, lead)
    rounds = _rounds(gaps)
    fitting = [days for days in rounds if days <= room]
    wanted = next((days for days in rounds if _covers(gaps, days, BACK_BY_HORIZON)), rounds[-1])
    days = wanted if wanted <= room else max(fitting, default=0)
    if not _covers(gaps, days, BACK_BY_SHORTEST):
        return None
    why = (
        f"{returns.within(days):.0%} of returning customers come back within {days} days, half of "
        f"them within {returns.quantile(0.5)}"
    )
    if days < wanted:
        more = span_needed(wanted, lead) - int(span_days)
        why += (
            f"; {wanted} days would cover {returns.within(wanted):.0%}, but need {more} more days "
            "of log"
        )
    now, change = _about_horizon(gaps, problem, days, room, span_days)
    return Suggestion("horizon_days", days, why, problem.horizon_days, change, now)


def _about_horizon(
    gaps: Gaps, problem: Problem, suggested: int, room: int, span_days: float
) -> tuple[str, bool]:
    configured = problem.horizon_days
    own, back = quantile(gaps.own, 0.5), gaps.after_any.within(configured)
    if configured == suggested:
        return "as suggested", False
    if configured > room:
        short = span_needed(configured, problem.lead_time_days) - int(span_days)
        return f"the log is {short} days too short for it; change it", True
    if back < BACK_BY_SHORTEST:
        return f"only {back:.0%} of returning customers are back by then; change it", True
    if configured > 2 * suggested:
        return (
            f"{back:.0%} are back by then, but an outcome is known {configured - suggested} days "
            "later than it need be; change it",
            True,
        )
    if configured > suggested:
        return f"{back:.0%} are back by then; it can stay", False
    remark = f", and half of them usually take {own} days or more" if configured < own else ""
    return (
        f"{back:.0%} are back by then, the other {1 - back:.0%} count as lost and come back later"
        f"{remark}; but an outcome is known sooner, so it can stay",
        False,
    )


def _lead_time(gaps: Gaps, problem: Problem, horizon_days: int) -> Suggestion:
    returns, configured = gaps.after_any, problem.lead_time_days
    fitting = [
        days
        for days in LEADS
        if days == 0 or (4 * days <= horizon_days and returns.within(days) <= BACK_BY_LEAD)
    ]
    days = fitting[-1]
    longer = next((lead for lead in LEADS if lead > days), 2 * days)
    soon = (
        f"{returns.within(days):.0%} are back within {days_in_words(days)} of a purchase, "
        if days
        else ""
    )
    why = (
        f"of returning customers {soon}{returns.within(longer):.0%} within {longer}: who acts "
        "later writes to people who come back on their own"
    )
    change = configured > days and returns.within(configured) > 2 * BACK_BY_LEAD
    if configured < days:
        now = "right if you act within that time of a score; it can stay"
    elif change:
        now = f"{returns.within(configured):.0%} are back before anybody acts; change it"
    else:
        now = "it can stay"
    return Suggestion("lead_time_days", days, why, configured, change, now)


def _inactivity(gaps: Gaps, problem: Problem, horizon_days: int) -> Suggestion | None:
    survival, lead = gaps.after_any.survival, problem.lead_time_days
    window = lead + horizon_days

    def returns(silent: int) -> float:
        return survival.ends_soon(silent, lead, window)

    seen = [
        days
        for days in _rounds(gaps)
        if horizon_days <= days <= problem.observation_window_days
        and days + window <= gaps.limit_days
    ]
    if not seen:
        return None
    days = next((days for days in seen if returns(days) < LAPSED_RETURN), seen[-1])
    why = f"of customers silent for {days} days {returns(days):.1%} buy within the horizon "
    why += f"of {horizon_days} days"
    if returns(days) >= LAPSED_RETURN:
        why += "; the log is too short to see a longer silence end"
    configured = problem.inactivity_days
    if configured + window > gaps.limit_days:
        return Suggestion(
            "inactivity_days", days, why, configured, False,
            "the log is too short to tell; it can stay",
        )  # fmt: skip
    share = returns(configured)
    if configured < days and share > 2 * LAPSED_RETURN:
        now, change = f"{share:.1%} of those it leaves out would still buy; change it", True
    elif configured > days and share < LAPSED_RETURN / 2:
        now, change = (
            f"only {share:.1%} of the longest silent buy: they have left already and flatter the "
            "ROC AUC; change it",
            True,
        )
    else:
        now, change = f"of customers silent for so long {share:.1%} buy; it can stay", False
    return Suggestion("inactivity_days", days, why, configured, change, now)
