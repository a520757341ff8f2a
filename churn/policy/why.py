"""The sentence that says why an action is suggested, or none."""

from collections.abc import Sequence

from churn.features import Family
from churn.policy.decide import Decision
from churn.policy.policy import Policy, Situation
from churn.reasons import Reason
from churn.words import Language, number, worded

# Of the reasons that raise the risk, the one that goes with a situation is told first.
TOLD_FIRST: dict[Situation, tuple[Family, ...]] = {
    "repeated_complaint": (Family.COMPLAINTS,),
    "quality": (Family.RETURNS, Family.SATISFACTION),
    "high_cheque_stopped": (Family.SILENCE, Family.CHEQUE),
    "active_shift": (Family.FREQUENCY, Family.SILENCE),
    "periodic_switched": (Family.SILENCE, Family.FREQUENCY),
    "one_time": (Family.TENURE, Family.SILENCE),
    "cheque_decline": (Family.CHEQUE,),
    "engagement_drop": (Family.ENGAGEMENT,),
    "promotion_only": (Family.DISCOUNT,),
}

CASE: dict[str, dict[Language, str]] = {
    "low": {"en": "the risk is low", "ru": "риск низкий"},
    "open_complaint": {"en": "a complaint is open", "ru": "есть нерешённая жалоба"},
    "repeated_complaint": {
        "en": "complaints came again, or the last one was badly resolved",
        "ru": "жалобы повторяются, или последнюю решили плохо",
    },
    "no_reason": {
        "en": "the risk is raised, but no single cause stands out",
        "ru": "риск повышен, но ни одна причина не выделяется",
    },
}

WHY_NONE: dict[str, dict[Language, str]] = {
    "not_foreseen": {
        "en": "the policy has no action for this case",
        "ru": "для такого случая действий не предусмотрено",
    },
    "contacted": {
        "en": "the customer was contacted lately",
        "ru": "с клиентом недавно связывались",
    },
    "not_allowed": {
        "en": "the customer allows no channel for it",
        "ru": "клиент не разрешил подходящих каналов",
    },
    "nothing_pays": {
        "en": "nothing that may be done is worth its cost",
        "ru": "ни одно действие не окупается",
    },
    "answered": {
        "en": "what is owed has been done",
        "ru": "всё обещанное сделано",
    },
    "nothing_claimed": {
        "en": "nothing is claimed of what may be done",
        "ru": "об эффекте возможных действий ничего не известно",
    },
    "no_place": {
        "en": "no place is left for what is owed",
        "ru": "для обещанного не хватило мест",
    },
    "limits": {
        "en": "the budget or the places bring more with others",
        "ru": "бюджет и места полезнее другим клиентам",
    },
}

WORTH: dict[Language, tuple[str, str]] = {
    "en": ("; expected to bring ", " after its cost of "),
    "ru": ("; ожидаемая выгода ", " за вычетом расходов "),
}
DRAWN: dict[Language, str] = {
    "en": "drawn at random, to learn what it brings",
    "ru": "выбрано случайно, чтобы измерить, что это даёт",
}
WITHHELD: dict[Language, str] = {
    "en": "withheld from this customer, to measure what it brings",
    "ru": "этому клиенту не предлагать: он в контрольной группе",
}


def why(
    policy: Policy,
    decision: Decision,
    situation: Situation,
    band: str,
    reasons: Sequence[Reason],
    language: Language,
    currency: str,
) -> str:
    """Why a decision was taken, in one sentence.

    Parameters
    ----------
    policy : Policy
        Has the words of its actions.
    decision : Decision
        What was chosen.
    situation : Situation
        The customer's case.
    band : {"low", "medium", "high"}
        Risk band.
    reasons : sequence of Reason
        Those that raise the risk, the largest first.
    language : {"en", "ru"}
        Of the sentence.
    currency : str
        Of the money in it.
    """
    case = case_of(situation, band, reasons, language)
    return sentence(policy, decision, case, decision.why_none, language, currency)


def sentence(
    policy: Policy,
    decision: Decision,
    case: str,
    because: str | None,
    language: Language,
    currency: str,
) -> str:
    """The sentence about a case that is in words already.

    Parameters
    ----------
    policy, decision, language, currency
        As `why` takes them.
    case : str
        What `case_of` says.
    because : str or None
        Why nothing is done, `churn.policy.decide.NoneBecause` or a plan's; None where something is.
    """
    if because in WHY_NONE:
        case = f"{case}; {WHY_NONE[because][language]}"
    text = f"{case}: {policy.text(decision.action, language)}"
    if decision.expected_value is not None and decision.expected_value > 0.0:
        worth, after = WORTH[language]
        value = number(decision.expected_value, language, 2)
        cost = worded(decision.cost, "money", language, currency)  # few differ
        text += f"{worth}{value} {currency}".rstrip() + after + cost
    if decision.explored:
        text += f"; {DRAWN[language]}"
    if decision.holdout:
        text += f"; {WITHHELD[language]}"
    return text


def case_of(situation: Situation, band: str, reasons: Sequence[Reason], language: Language) -> str:
    """What a customer's case is; parameters as `why` takes them."""
    if situation == "open_complaint":
        return CASE[situation][language]
    if band == "low" and situation != "repeated_complaint":
        return CASE["low"][language]
    for family in TOLD_FIRST.get(situation, ()):
        for reason in reasons:
            if reason.family == family:
                return reason.text
    if situation == "repeated_complaint":
        return CASE[situation][language]
    return reasons[0].text if reasons else CASE["no_reason"][language]
