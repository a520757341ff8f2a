"""What a manager is told about a campaign: one of a few verdicts, in a sentence each."""

from enum import StrEnum

from training.intervals import Interval

FEW_WITHHELD = 30


class Verdict(StrEnum):
    """What the figures allow to be said."""

    SERVICE = "service"
    NOT_MEASURED = "not_measured"
    TOO_EARLY = "too_early"
    EARNS = "earns"
    KEEPS = "keeps"
    LOSES = "loses"
    HARMS = "harms"
    NO_EFFECT = "no_effect"


SENTENCES = {
    Verdict.SERVICE: "owed to the customer and never withheld, so no lift is claimed",
    Verdict.NOT_MEASURED: "nobody was left without it, so what it does cannot be told",
    Verdict.TOO_EARLY: "too early to tell",
    Verdict.EARNS: "keeps customers and earns more than it costs",
    Verdict.KEEPS: "keeps customers; whether that pays is not yet certain",
    Verdict.LOSES: "costs more than it brings: stop it, or make it cheaper",
    Verdict.HARMS: "drives customers away: stop it",
    Verdict.NO_EFFECT: "no effect as large as expected, and enough customers to have seen one",
}


def judge(
    service: bool,
    treated: int,
    withheld: int,
    lift: Interval | None,
    profit: Interval | None,
    needed: int | None,
) -> Verdict:
    """Say what the intervals allow, and no more.

    Parameters
    ----------
    service : bool
        Owed, so never withheld.
    treated, withheld : int
        Customers whose outcome is known.
    lift, profit : Interval or None
        Differences between them, as a share and in currency.
    needed : int or None
        More customers until the expected effect would show.
    """
    if service:
        return Verdict.SERVICE
    if lift is None:
        return Verdict.NOT_MEASURED if withheld == 0 and treated > 0 else Verdict.TOO_EARLY
    if min(treated, withheld) < FEW_WITHHELD:
        return Verdict.TOO_EARLY
    if lift.high < 0.0:
        return Verdict.HARMS
    if profit is not None and profit.high < 0.0:
        return Verdict.LOSES
    if lift.low > 0.0:
        return Verdict.EARNS if profit is not None and profit.low > 0.0 else Verdict.KEEPS
    return Verdict.TOO_EARLY if needed else Verdict.NO_EFFECT


def sentence(verdict: Verdict, needed: int | None) -> str:
    """The verdict in words, with how many more customers it takes where it is too early."""
    said = SENTENCES[verdict]
    if verdict is Verdict.TOO_EARLY and needed:
        said += f": about {needed:,} more customers to see the effect that the policy expects"
    return said
