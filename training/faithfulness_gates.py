"""The gates of the reasons: what `training.faithfulness` found, held against limits."""

from training.faithfulness import Faithfulness
from training.verdicts import Gate, Outcome

LOWERS_LIMIT = 0.95
BEATS_LIMIT = 0.85
STEADY_LIMIT = 0.90
MIN_TOLD = 30
"""With fewer customers at risk a share says nothing."""


def faithfulness_gates(found: Faithfulness) -> tuple[Gate, ...]:
    """Ask whether the first reason of a customer at risk is what moves the risk."""
    worst = f" It holds least for {_worst(found)}." if found.by_family else ""
    return (
        _gate(
            "reason_lowers_risk",
            "share of customers at risk whose risk falls when their first reason is at its norm",
            found,
            found.lowers,
            LOWERS_LIMIT,
            "the risk falls when the first reason is taken away",
            worst,
        ),
        _gate(
            "reason_beats_others",
            "share of other kinds of reasons that would lower the risk less than the first",
            found,
            found.beats_others,
            BEATS_LIMIT,
            "the first reason moves the risk more than another would",
            worst,
        ),
        _gate(
            "reason_steady",
            "share of customers at risk whose first reason stays with 1% noise on every figure",
            found,
            found.steady,
            STEADY_LIMIT,
            "the first reason stays the first when every figure is off by a hundredth",
            "",
        ),
    )


def _gate(
    name: str, measured: str, found: Faithfulness, share: float, limit: float, what: str, more: str
) -> Gate:
    if found.told < MIN_TOLD or share != share:
        sentence = f"Too few customers at risk have a reason ({found.told}) to ask whether {what}."
        return Gate(name, measured, None, limit, Outcome.PASSED, sentence)
    if share >= limit:
        sentence = f"Of {found.told:,} customers at risk, in {share:.0%} of cases {what}."
        return Gate(name, measured, share, limit, Outcome.PASSED, sentence)
    sentence = (
        f"In only {share:.1%} of cases {what}; {limit:.0%} are asked for: do not act on the "
        f"reasons.{more}"
    )
    return Gate(name, measured, share, limit, Outcome.FAILED, sentence)


def _worst(found: Faithfulness) -> str:
    often = [one for one in found.by_family if one[1] >= found.told * 0.05] or found.by_family
    return str(min(often, key=lambda one: one[2] + one[3])[0])
