"""Why a customer is at risk: the reason families that raise it, with evidence and words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from churn import own_reasons
from churn.columns import Raw
from churn.features import FAMILIES
from churn.reason_rules import CONTROLLABLE, RULES, Row, Rule
from churn.schema import LOOP, Schema
from churn.words import Language, fill

MAX_REASONS = 8


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
        Its part, in (0, 1], of all that raises this customer's risk above the average customer's.
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
    language: Language = "en",
    currency: str = "",
) -> tuple[Reason, ...]:
    """Pick the families that raise the risk most and say why.

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
    language : {"en", "ru"}
        Of the texts.
    currency : str
        Unit of money in the texts.

    Returns
    -------
    tuple of Reason
        Largest contribution first; families without evidence are left out.
    """
    rise = sum(number for number in contributions if number > 0.0)
    order = sorted(range(len(schema.families)), key=lambda family: -contributions[family])
    found: list[Reason] = []
    for at in order:
        contribution = float(contributions[at])
        if contribution <= 0.0 or len(found) >= max_reasons:
            break
        family = schema.families[at]
        told = _told(family, row, schema, language, currency)
        if told is None:
            continue
        found.append(
            Reason(
                code=told.code,
                family=family,
                direction="raises",
                contribution=contribution,
                share=contribution / rise,
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
            "feature": rule.feature,
            "norm": rule.norm if isinstance(rule.norm, str) else None,
            "controllable": CONTROLLABLE[rule.family],
            "text": rule.words[language],
        }
        for rule in RULES
        if schema.loop
    ] + [
        {
            "code": column.family,
            "family": column.family,
            "feature": column.name,
            "norm": None,
            "controllable": column.controllable,
            "text": own_reasons.template(column, language),
        }
        for column in schema.extras
    ]


_BY_FAMILY: Mapping[str, tuple[Rule, ...]] = {
    family: tuple(rule for rule in RULES if rule.family is family) for family in FAMILIES
}


class _Told(NamedTuple):
    """The evidence of a family, in figures and in words."""

    code: str
    feature: str
    value: Raw
    norm: Raw
    controllable: bool
    text: str


def _told(family: str, row: Row, schema: Schema, language: Language, currency: str) -> _Told | None:
    rule = _first_that_holds(family, row) if schema.loop else None
    if rule is not None:
        norm = row[rule.norm] if isinstance(rule.norm, str) else rule.norm
        text = fill(
            rule.words[language], {name: row[name] for name in rule.needs}, language, currency
        )
        shown, controllable = _known(row[rule.feature]), CONTROLLABLE[rule.family]
        return _Told(rule.code, rule.feature, shown, _known(norm), controllable, text)
    column = own_reasons.evidence(schema.own_columns.get(family, ()), row)
    if column is None:
        return None
    value = column.decode(row[column.name])
    text = own_reasons.sentence(column, value, language, currency)
    return _Told(family, column.name, value, column.norm, column.controllable, text)


def _first_that_holds(family: str, row: Row) -> Rule | None:
    for rule in _BY_FAMILY.get(family, ()):
        if rule.holds(row) and not any(math.isnan(row[name]) for name in rule.needs):
            return rule
    return None


def _known(number: float | None) -> float | None:
    return None if number is None or math.isnan(number) else float(number)
