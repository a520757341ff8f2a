"""What to do about it: a first catalogue of retention actions by reason and risk band.

It suggests and says why; it claims no expected value, because no campaign has been measured yet.
A message comes before an incentive, and while a complaint is open nothing is promoted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from churn.compiled import Codes, Floats, Integers
from churn.features import Family
from churn.reason_rules import Row
from churn.reasons import Reason
from churn.words import Language


@dataclass(frozen=True, slots=True)
class Entry:
    """One action of the catalogue: its channel and its words."""

    channel: str
    words: dict[Language, str]


@dataclass(frozen=True, slots=True)
class Action:
    """A suggestion: the action's code, its channel, and the sentence that says why."""

    code: str
    channel: str
    why: str


CATALOGUE: dict[str, Entry] = {
    "none": Entry("none", {
        "en": "leave the customer alone",
        "ru": "не беспокоить клиента"}),
    "resolve_complaint": Entry("support", {
        "en": "resolve the open complaint within 48 hours; promote nothing meanwhile",
        "ru": "решить жалобу за 48 часов; до этого ничего не предлагать"}),
    "manager_apology": Entry("phone", {
        "en": "a manager apologises and asks what went wrong; no coupon",
        "ru": "звонок руководителя с извинением и вопросом, что пошло не так; без купона"}),
    "fix_quality": Entry("support", {
        "en": "find out what was wrong with the delivery or goods, fix it, offer free returns",
        "ru": "выяснить, что было не так с доставкой или товаром, исправить, вернуть бесплатно"}),
    "one_question": Entry("app", {
        "en": "ask one question: what has changed?",
        "ru": "задать один вопрос: что изменилось?"}),
    "reorder_reminder": Entry("message", {
        "en": "remind of the usual order, with picks",
        "ru": "напомнить о привычном заказе, с подборкой"}),
    "exclusive_access": Entry("message", {
        "en": "early access to something new",
        "ru": "ранний доступ к новинкам"}),
    "second_order_guide": Entry("message", {
        "en": "show how to get more out of the first purchase",
        "ru": "показать, как получить больше от первой покупки"}),
    "second_order_free_delivery": Entry("message", {
        "en": "a guide to the first purchase, with free delivery of the second",
        "ru": "советы к первой покупке и бесплатная доставка второй"}),
    "gift_threshold": Entry("message", {
        "en": "bundles and a gift from a cheque of the former size on",
        "ru": "наборы и подарок от чека прежнего размера"}),
    "agent_call": Entry("phone", {
        "en": "a personal call: listen, show the advantages, no opening discount",
        "ru": "личный звонок: выслушать, показать преимущества, не начинать со скидки"}),
    "other_channel": Entry("message", {
        "en": "write through another channel, and less often",
        "ru": "написать по другому каналу и реже"}),
    "points": Entry("loyalty", {
        "en": "points for the next order instead of a lower price",
        "ru": "баллы за следующий заказ вместо снижения цены"}),
    "category_picks": Entry("message", {
        "en": "picks from categories that go with what the customer buys",
        "ru": "подборка из категорий, близких к покупкам клиента"}),
    "survey": Entry("message", {
        "en": "ask how it was",
        "ru": "спросить о впечатлении"}),
}  # fmt: skip

# Per family: the action in the medium band, and in the high band.
_BY_FAMILY: dict[str, tuple[str, str]] = {
    Family.COMPLAINTS: ("manager_apology", "manager_apology"),
    Family.RETURNS: ("fix_quality", "fix_quality"),
    Family.SATISFACTION: ("survey", "agent_call"),
    Family.CHEQUE: ("gift_threshold", "agent_call"),
    Family.FREQUENCY: ("one_question", "exclusive_access"),
    Family.SILENCE: ("reorder_reminder", "exclusive_access"),
    Family.TENURE: ("reorder_reminder", "exclusive_access"),
    Family.ENGAGEMENT: ("other_channel", "other_channel"),
    Family.DISCOUNT: ("points", "points"),
    Family.ASSORTMENT: ("category_picks", "category_picks"),
}
# What a column of the user's own tells of is not known here: ask, and for a high risk in person.
_OF_OWN_FAMILY = ("one_question", "agent_call")
# Whatever of these is the reason, what a one-time buyer lacks is the second order.
_ONE_TIME = (Family.SILENCE, Family.FREQUENCY, Family.TENURE)
_SECOND_ORDER = ("second_order_guide", "second_order_free_delivery")
# Service comes before marketing: these are acted on first even when another reason weighs more.
_FIRST = (Family.COMPLAINTS, Family.RETURNS)

_WHY: dict[str, dict[Language, str]] = {
    "open": {"en": "a complaint is open: {do}", "ru": "есть нерешённая жалоба: {do}"},
    "low": {"en": "the risk is low: {do}", "ru": "риск низкий: {do}"},
    "no_reason": {
        "en": "the risk is raised, but no single cause stands out: {do}",
        "ru": "риск повышен, но ни одна причина не выделяется: {do}",
    },
    "reason": {"en": "{reason}: {do}", "ru": "{reason}: {do}"},
}


def suggest(row: Row, band: str, reasons: Sequence[Reason], language: Language) -> Action:
    """Suggest one action.

    Parameters
    ----------
    row : mapping of str to float
        Input columns by name.
    band : {"low", "medium", "high"}
        Risk band.
    reasons : sequence of Reason
        Largest contribution first.
    language : {"en", "ru"}
        Of the sentence that says why.
    """
    if row.get("open_complaints", 0.0) > 0:
        return _action("resolve_complaint", "open", language)
    if band == "low":
        return _action("none", "low", language)
    if not reasons:
        return _action("survey", "no_reason", language)
    served_first = [reason for reason in reasons if reason.family in _FIRST]
    reason = (served_first or list(reasons))[0]
    by_band = _BY_FAMILY.get(reason.family, _OF_OWN_FAMILY)
    if reason.family in _ONE_TIME and row.get("is_one_time_buyer") == 1:
        by_band = _SECOND_ORDER
    return _action(by_band[band == "high"], "reason", language, reason.text)


def suggest_codes(
    columns: Mapping[str, Floats],
    band: Codes,
    families: Sequence[str],
    main: Integers,
) -> NDArray[np.object_]:
    """The code of what `suggest` gives for each of n customers.

    Parameters
    ----------
    columns : mapping of str to ndarray of float64, shape (n,)
        Input columns by name.
    band : ndarray of int8, shape (n,)
        Risk band: 0 low, 1 medium, 2 high; -1 where there is no score, and so no suggestion.
    families : sequence of str
        What `main` counts.
    main : ndarray of int64, shape (n, k)
        Families of the main reasons, largest contribution first; -1 where there are fewer.
    """
    first = np.isin(main, [at for at, family in enumerate(families) if family in _FIRST])
    lead = main[np.arange(len(main)), np.argmax(first, axis=1)]  # the largest where none is first
    by_band = np.array(
        [_BY_FAMILY.get(family, _OF_OWN_FAMILY) for family in families], dtype=object
    )
    is_high = (band == 2).astype(np.int64)
    codes: NDArray[np.object_] = by_band[lead, is_high]
    if "is_one_time_buyer" in columns:
        one_time = np.isin(lead, [at for at, family in enumerate(families) if family in _ONE_TIME])
        one_time &= columns["is_one_time_buyer"] == 1
        codes[one_time] = np.array(_SECOND_ORDER, dtype=object)[is_high[one_time]]
    codes[lead < 0] = "survey"
    codes[band == 0] = "none"
    if "open_complaints" in columns:
        codes[columns["open_complaints"] > 0] = "resolve_complaint"
    codes[band < 0] = None
    return codes


def catalogue(language: Language) -> list[dict[str, Any]]:
    """Every action there is."""
    return [
        {"code": code, "channel": entry.channel, "text": entry.words[language]}
        for code, entry in CATALOGUE.items()
    ]


def _action(code: str, why: str, language: Language, reason: str = "") -> Action:
    entry = CATALOGUE[code]
    sentence = _WHY[why][language].format(reason=reason, do=entry.words[language])
    return Action(code, entry.channel, sentence)
