"""Why a customer is at risk: the reason families that raise it, with evidence and words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from churn import own_reasons
from churn.columns import Raw
from churn.features import FAMILIES
from churn.lowering_rules import LOWERING_RULES
from churn.reason_rules import CONTROLLABLE, RULES, Row, Rule
from churn.schema import LOOP, Schema
from churn.words import Language, fill

MAX_REASONS = 8
Direction = Literal["raises", "both"]
"""Which reasons are wanted: those that raise the risk, or those that lower it as well."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One cause.

    Attributes
    ----------
    code : str
        Stable identifier; the family's name where a column of the user's own is the evidence.
    family : str
        The features behind it, as one player.
    direction : {"raises", "lowers"}
        Which way it moves the risk.
    contribution : float
        Its Shapley value, in log-odds.
    share : float
        Its part, in (0, 1], of all that moves this customer's risk in the same direction.
    feature : str
        The evidence.
    value, norm : float, str (a category) or None
        What it is, and what it is held against where there is a norm.
    controllable : bool
        Whether the business can change it by acting.
    text : str
        One sentence.
    """

    code: str
    family: str
    direction: Literal["raises", "lowers"]
    contribution: float
    share: float
    feature: str
    value: Raw
    norm: Raw
    controllable: bool
    text: str


def reasons(
    row: Row,
    contributions: Sequence[float],
    *,
    schema: Schema = LOOP,
    max_reasons: int = 3,
    direction: Direction = "raises",
    language: Language = "en",
    currency: str = "",
) -> tuple[Reason, ...]:
    """Pick the families that move the risk most and say why.

    Parameters
    ----------
    row : mapping of str to float
        Input columns by name; NaN is missing.
    contributions : sequence of float, length n_families
        Log-odds per family, in the order of `schema.families`.
    schema : Schema
        The model's columns and families.
    max_reasons : int
        At most so many, 0 to 8.
    direction : {"raises", "both"}
        Only what raises the risk, or what lowers it as well.
    language : {"en", "ru"}
        Of the texts.
    currency : str
        Unit of money in the texts.

    Returns
    -------
    tuple of Reason
        Largest contribution first, by size; families without evidence are left out.
    """
    sizes = contributions if direction == "raises" else [abs(number) for number in contributions]
    rise = fall = 0.0
    for number in contributions:  # `sum` of Python 3.12 would round otherwise than columns do
        if number > 0.0:
            rise += number
        else:
            fall += number
    order = sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True)
    found: list[Reason] = []
    for at in order:
        if sizes[at] <= 0.0 or len(found) >= max_reasons:
            break
        contribution = float(contributions[at])
        raises = contribution > 0.0
        family = schema.families[at]
        told = _told(family, row, schema, raises, language, currency)
        if told is None:
            continue
        found.append(
            Reason(
                code=told.code,
                family=family,
                direction="raises" if raises else "lowers",
                contribution=contribution,
                share=contribution / (rise if raises else fall),
                feature=told.feature,
                value=told.value,
                norm=told.norm,
                controllable=told.controllable,
                text=told.text,
            )
        )
    return tuple(found)


def catalogue(language: Language, schema: Schema = LOOP) -> list[dict[str, Any]]:
    """Every reason there is, for people and programs that read lists."""
    return [
        {
            "code": rule.code,
            "family": rule.family.value,
            "direction": direction,
            "feature": rule.feature,
            "norm": rule.norm if isinstance(rule.norm, str) else None,
            "controllable": CONTROLLABLE[rule.family],
            "text": rule.words[language],
        }
        for direction, rules in (("raises", RULES), ("lowers", LOWERING_RULES))
        for rule in rules
        if schema.loop
    ] + [
        {
            "code": column.family,
            "family": column.family,
            "direction": None,
            "feature": column.name,
            "norm": None,
            "controllable": column.controllable,
            "text": own_reasons.template(column, language),
        }
        for column in schema.extras
    ]


def _by_family(rules: tuple[Rule, ...]) -> Mapping[str, tuple[Rule, ...]]:
    return {family: tuple(rule for rule in rules if rule.family is family) for family in FAMILIES}


_RAISING, _LOWERING = _by_family(RULES), _by_family(LOWERING_RULES)


class _Told(NamedTuple):
    """The evidence of a family, in figures and in words."""

    code: str
    feature: str
    value: Raw
    norm: Raw
    controllable: bool
    text: str


def _told(
    family: str, row: Row, schema: Schema, raises: bool, language: Language, currency: str
) -> _Told | None:
    rules = (_RAISING if raises else _LOWERING).get(family, ()) if schema.loop else ()
    rule = first_that_holds(rules, row)
    if rule is not None:
        norm = row[rule.norm] if isinstance(rule.norm, str) else rule.norm
        text = fill(rule.words[language], row, language, currency)
        shown, controllable = _known(row[rule.feature]), CONTROLLABLE[rule.family]
        return _Told(rule.code, rule.feature, shown, _known(norm), controllable, text)
    column = own_reasons.evidence(schema.own_columns.get(family, ()), row, 1 if raises else -1)
    if column is None:
        return None
    value = column.decode(row[column.name])
    text = own_reasons.sentence(column, value, language, currency)
    return _Told(family, column.name, value, column.norm, column.controllable, text)


def first_that_holds(rules: Sequence[Rule], row: Row) -> Rule | None:
    """The first rule whose evidence is there and whose figures are all known, or None."""
    for rule in rules:
        if rule.holds(row):
            for name in rule.needs:
                if row[name] != row[name]:
                    break
            else:
                return rule
    return None


def _known(number: float | None) -> float | None:
    return None if number is None or math.isnan(number) else float(number)
