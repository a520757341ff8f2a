"""`churn.policy.why` for many customers at once: what each would be told alone, to the letter."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from churn.compiled import Booleans, Codes
from churn.policy.policy import BANDS, SITUATIONS
from churn.policy.why import CASE, TOLD_FIRST
from churn.reasons_by_column import ManyReasons
from churn.words import Language


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
