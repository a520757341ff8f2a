"""What a recorded plan remembers of each customer, beside what was weighed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from churn.compiled import Codes, Floats, Integers
from churn.policy.contacts import Contact
from churn.policy.crowd import Crowd
from churn.policy.due import due_days_of_many
from churn.policy.policy import SITUATIONS
from churn.policy.why_many import cases
from churn.reasons_by_column import ManyReasons
from churn.scoring import Scorer
from churn.words import Language
from service.recording import features_hash


class Noted(NamedTuple):
    """Columns of n customers, each an array of shape (n,).

    Attributes
    ----------
    customer_id, as_of, probability, value, band, segment
        As in `churn.policy.crowd.Crowd`.
    due : ndarray of float64
        Days from `as_of` within which to act.
    owed_since, channels, contacts : ndarray of object
        As in `churn.policy.decide.Facts`.
    reason, case, language : ndarray of object
        Code of the main reason that raises the risk, None where there is none; the case in words,
        and in which language.
    features_hash : ndarray of bytes
        Of the input columns that were scored.
    """

    customer_id: NDArray[np.object_]
    as_of: Integers
    probability: Floats
    value: Floats
    band: Codes
    segment: Codes
    due: Floats
    owed_since: NDArray[np.object_]
    channels: NDArray[np.object_]
    contacts: NDArray[np.object_]
    reason: NDArray[np.object_]
    case: NDArray[np.object_]
    language: NDArray[np.object_]
    features_hash: NDArray[np.bytes_]

    def taken(self, rows: Integers) -> "Noted":
        """Those of some customers, in this order."""
        return Noted._make(column[rows] for column in self)

    @classmethod
    def joined(cls, parts: Sequence["Noted"]) -> "Noted":
        """Several, at least one, one behind the other."""
        return cls._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


def noted(
    scorer: Scorer,
    numbers: Floats,
    crowd: Crowd,
    situation: Codes,
    reasons: ManyReasons,
    language: Language,
) -> Noted:
    """What is to be remembered of scored customers.

    Parameters
    ----------
    scorer : Scorer
        What scored them.
    numbers : ndarray of float64, shape (n, n_inputs)
        Input columns as they were sent.
    crowd : Crowd
        The customers.
    situation : ndarray of int8, shape (n,)
        As `churn.policy.crowd.situations_of` gives it.
    reasons : ManyReasons
        Three of each, in words.
    language : {"en", "ru"}
        Of these words.
    """
    n, advisor = len(crowd.customer_id), scorer.advisor
    gap = crowd.columns.get("average_gap_days")
    contacts = _contacts(crowd)
    owed_since = np.full(n, None, dtype=object)
    for row in np.flatnonzero([bool(one) for one in contacts]).tolist():
        if situation[row] >= 0:
            known = {name: float(column[row]) for name, column in crowd.columns.items()}
            owed_since[row] = advisor.situations.owed_since(
                SITUATIONS[situation[row]], known, int(crowd.as_of[row])
            )
    reason = np.full(n, None, dtype=object)
    some = np.flatnonzero(reasons.counts > 0)
    first = np.cumsum(reasons.counts) - reasons.counts
    codes = np.array([clue.code for clue in reasons.clues], dtype=object)
    reason[some] = codes[reasons.clue[first[some]]]
    return Noted(
        customer_id=_objects(crowd.customer_id),
        as_of=crowd.as_of,
        probability=crowd.probability,
        value=crowd.value,
        band=crowd.band,
        segment=crowd.segment,
        due=due_days_of_many(
            crowd.earliest,
            np.full(n, np.nan) if gap is None else gap,
            advisor.lead_days,
            advisor.horizon_days,
        ),
        owed_since=owed_since,
        channels=_objects([None] * n if crowd.channels is None else crowd.channels),
        contacts=_objects(contacts),
        reason=reason,
        case=cases(situation, crowd.band, reasons, crowd.families, language),
        language=np.full(n, language, dtype=object),
        features_hash=np.array([features_hash(row) for row in numbers], dtype="S32"),
    )


def _contacts(crowd: Crowd) -> Sequence[Sequence[Contact]]:
    if crowd.contacts is None or crowd.contacts.each is None:
        return [()] * len(crowd.customer_id)
    return crowd.contacts.each


def _objects(values: Sequence[object]) -> NDArray[np.object_]:
    return np.fromiter(values, dtype=object, count=len(values))
