"""Why a customer is at risk: the reason families that raise it, with evidence and words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from churn.features import FAMILIES, Family
from churn.reason_rules import CONTROLLABLE, RULES, Row, Rule
from churn.words import Language, fill

MAX_REASONS = 8


@dataclass(frozen=True, slots=True)
class Reason:
    """One cause.

    Attributes
    ----------
    code : str
        Stable identifier.
    family : Family
        The features behind it, as one player.
    direction : {"raises", "lowers"}
        Which way it moves the risk.
    contribution : float
        Its Shapley value, in log-odds.
    share : float
        Its part, in (0, 1], of all that raises this customer's risk above the average customer's.
    feature, value, norm : str, float or None, float or None
        The evidence, and what it is held against where there is a norm.
    controllable : bool
        Whether the business can change it by acting.
    text : str
        One sentence.
    """

    code: str
    family: Family
    direction: Literal["raises", "lowers"]
    contribution: float
    share: float
    feature: str
    value: float | None
    norm: float | None
    controllable: bool
    text: str


def reasons(
    row: Row,
    contributions: Sequence[float],
    *,
    max_reasons: int = 3,
    language: Language = "en",
    currency: str = "",
) -> tuple[Reason, ...]:
    """Pick the families that raise the risk most and say why.

    Parameters
    ----------
    row : mapping of str to float
        Loop features by name; NaN is missing.
    contributions : sequence of float, length n_families
        Log-odds per family, in the order of `FAMILIES`.
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
    order = sorted(range(len(FAMILIES)), key=lambda family: -contributions[family])
    found: list[Reason] = []
    for at in order:
        contribution = float(contributions[at])
        if contribution <= 0.0 or len(found) >= max_reasons:
            break
        rule = _first_that_holds(FAMILIES[at], row)
        if rule is None:
            continue
        norm = row[rule.norm] if isinstance(rule.norm, str) else rule.norm
        found.append(
            Reason(
                code=rule.code,
                family=rule.family,
                direction="raises",
                contribution=contribution,
                share=contribution / rise,
                feature=rule.feature,
                value=_known(row[rule.feature]),
                norm=_known(norm),
                controllable=CONTROLLABLE[rule.family],
                text=fill(
                    rule.words[language],
                    {name: row[name] for name in rule.needs},
                    language,
                    currency,
                ),
            )
        )
    return tuple(found)


def catalogue(language: Language) -> list[dict[str, Any]]:
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
    ]


_BY_FAMILY: Mapping[Family, tuple[Rule, ...]] = {
    family: tuple(rule for rule in RULES if rule.family is family) for family in FAMILIES
}


def _first_that_holds(family: Family, row: Row) -> Rule | None:
    for rule in _BY_FAMILY[family]:
        if rule.holds(row) and not any(math.isnan(row[name]) for name in rule.needs):
            return rule
    return None


def _known(number: float | None) -> float | None:
    return None if number is None or math.isnan(number) else float(number)
