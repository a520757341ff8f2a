"""`churn.policy.why` for many customers at once: what each would be told alone, to the letter."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from churn.compiled import Booleans, Codes
from churn.policy.advise import Advisor
from churn.policy.advise_many import ManyActions
from churn.policy.decide import NONE_BECAUSE
from churn.policy.policy import BANDS, NONE, SITUATIONS, Policy
from churn.policy.why import CASE, DRAWN, TOLD_FIRST, WHY_NONE, WITHHELD, WORTH
from churn.reasons_by_column import ManyReasons
from churn.words import Language, number
from churn.words_by_column import worded_all


def whys(
    advisor: Advisor,
    many: ManyActions,
    band: Codes,
    reasons: ManyReasons,
    families: Sequence[str],
    language: Language,
) -> NDArray[np.object_]:
    """What `churn.policy.why.why` says of n customers.

    Parameters
    ----------
    advisor : Advisor
        Who suggested it.
    many : ManyActions
        What is suggested to each.
    band, reasons, families, language
        As `cases` takes them.

    Returns
    -------
    ndarray of object, shape (n,)
        Texts; None where nothing is suggested, not even none.
    """
    case = cases(many.situation, band, reasons, families, language)
    return sentences(advisor.policy, many, case, language, advisor.currency)


def sentences(
    policy: Policy,
    many: ManyActions,
    case: NDArray[np.object_],
    language: Language,
    currency: str,
) -> NDArray[np.object_]:
    """`churn.policy.why.sentence` of n customers.

    Parameters
    ----------
    policy : Policy
        Has the words of its actions.
    many : ManyActions
        What is suggested to each.
    case : ndarray of str objects, shape (n,)
        As `cases` gives it.
    language, currency
        As `churn.policy.why.why` takes them.

    Returns
    -------
    ndarray of object, shape (n,)
        None where nothing is suggested, not even none.
    """
    found = np.full(len(case), None, dtype=object)
    worth, after = WORTH[language]
    for at, code in enumerate(many.codes):
        rows = np.flatnonzero(many.code == at)
        if not len(rows):
            continue
        action = f": {policy.text(code, language)}"
        found[rows] = [one + action for one in case[rows].tolist()]
        with np.errstate(invalid="ignore"):
            rows = rows[many.expected_value[rows] > 0.0]
        costs = worded_all(many.cost[rows], "money", language, currency)
        told = zip(found[rows].tolist(), many.expected_value[rows].tolist(), costs, strict=True)
        found[rows] = [
            f"{text}{worth}{f'{number(value, language, 2)} {currency}'.rstrip()}{after}{cost}"
            for text, value, cost in told
        ]
    for at, because in enumerate(NONE_BECAUSE):
        rows = np.flatnonzero(many.why_none == at)
        if len(rows) and because in WHY_NONE:
            nothing = f"; {WHY_NONE[because][language]}: {policy.text(NONE, language)}"
            found[rows] = [one + nothing for one in case[rows].tolist()]
    for drawn, words in ((many.explored, DRAWN), (many.holdout, WITHHELD)):
        rows = np.flatnonzero(drawn)
        found[rows] = [f"{text}; {words[language]}" for text in found[rows].tolist()]
    return found


def cases(
    situation: Codes,
    band: Codes,
    reasons: ManyReasons,
    families: Sequence[str],
    language: Language,
) -> NDArray[np.object_]:
    """`churn.policy.why.case_of` of n customers.

    Parameters
    ----------
    situation : ndarray of int8, shape (n,)
        Positions in `SITUATIONS`; what is said of who has none is of no use.
    band : ndarray of int8, shape (n,)
        Positions in `BANDS`; -1 counts as the lowest.
    reasons : ManyReasons
        Those that raise the risk, in words, three of each customer or more.
    families : sequence of str
        The schema's.
    language : {"en", "ru"}
        Of the words.

    Returns
    -------
    ndarray of str objects, shape (n,)
    """
    found = np.full(len(situation), CASE["no_reason"][language], dtype=object)
    some = np.flatnonzero(reasons.counts > 0)
    first = np.cumsum(reasons.counts) - reasons.counts
    found[some] = reasons.text[first[some]]
    whose = np.repeat(np.arange(len(situation)), reasons.counts)
    for at, name in enumerate(SITUATIONS):
        mine: Booleans = situation == at
        if not mine.any():
            continue
        if name in CASE:
            found[mine] = CASE[name][language]
        told = mine[whose]
        for family in reversed(TOLD_FIRST.get(name, ())):  # the first has the last word
            if family in families:
                here = told & (reasons.family == families.index(family))
                found[whose[here]] = reasons.text[here]
    is_low = (band <= BANDS.index("low")) & (situation != SITUATIONS.index("repeated_complaint"))
    found[is_low] = CASE["low"][language]
    is_open = situation == SITUATIONS.index("open_complaint")
    found[is_open] = CASE["open_complaint"][language]
    return found
