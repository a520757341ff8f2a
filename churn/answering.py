"""From the numbers of one customer to the answer: reasons, an action, dates and money, in words."""

import math
from collections.abc import Mapping, Sequence

from churn.bundle import Bundle
from churn.columns import UNSEEN
from churn.events import MICROSECONDS_PER_DAY
from churn.few_rows import RowNumbers
from churn.loss import CATEGORIES
from churn.matrix import LAPSED, SCORED
from churn.policy.action import Action
from churn.policy.advise import Advisor, Known
from churn.policy.policy import Policy
from churn.policy.situation import MOST_REASONS
from churn.reasons import Direction, Reason, reasons
from churn.rows import CustomerRow
from churn.scores import BANDS, STATUSES, UNKNOWN, CustomerScore, Money, NextPurchase
from churn.value import SEGMENTS
from churn.words import Language

LOSSES = (*CATEGORIES, None)  # -1 is the last: none


class Answers:
    """Puts scores of one model and one policy into words.

    Parameters
    ----------
    bundle : Bundle
        The model.
    policy : Policy
        Whose actions are suggested.
    advisor : Advisor
        Suggests them.
    """

    def __init__(self, bundle: Bundle, policy: Policy, advisor: Advisor) -> None:
        self.bundle = bundle
        self.schema = bundle.model.schema
        self.policy = policy
        self.advisor = advisor
        curve = bundle.model.curve
        self._shown = tuple((at, int(curve.days[at])) for at in curve.shown)
        self._open_complaints = self.schema.position.get("open_complaints", -1)
        self._channels = frozenset(action.channel for action in policy.actions.values())

    def answer(
        self,
        row: CustomerRow,
        numbers: Sequence[float],
        status: int,
        band: int,
        found: RowNumbers,
        beyond: Sequence[int],
    ) -> CustomerScore:
        """Put one customer's score into words.

        Parameters
        ----------
        row : CustomerRow
            Who was scored, and how it is to be told.
        numbers : sequence of float, length n_inputs
            The input columns, without what the caller does not record.
        status, band : int
            Positions in `STATUSES` and `BANDS`.
        found : RowNumbers
            What the model said.
        beyond : sequence of int
            Positions of the numbers beyond training's range.
        """
        names = self.schema.names
        unseen: tuple[str, ...] = ()
        if self.schema.coded:
            unseen = tuple(names[code] for code in self.schema.coded if numbers[code] == UNSEEN)
        warnings = row.warnings + self.channel_warnings(row.channels)
        if unseen:
            warnings += (f"categories not seen in training: {', '.join(unseen)}",)
        why: tuple[Reason, ...] = ()
        action = None
        is_scored = status == SCORED
        if is_scored:
            named = dict(zip(names, numbers, strict=True))
            why, raising = self._explain(row, named, found.contributions)
            action = self._advised(row, named, raising, found, BANDS[band])
        elif status == LAPSED and numbers[self._open_complaints] > 0.0:
            # A complaint is answered whoever made it; the rest is win-back, another track.
            named = dict(zip(names, numbers, strict=True))
            action = self._advised(row, named, (), found, None)
        low, high = found.interval
        curve = found.curve
        return CustomerScore(
            customer_id=row.customer_id,
            status=STATUSES[status],
            churn_probability=found.probability if is_scored else None,
            interval=None if math.isnan(low) or math.isnan(high) else (low, high),
            risk_band=BANDS[band] if is_scored else None,
            risk_curve=tuple([(days, curve[at]) for at, days in self._shown]) if is_scored else (),
            next_purchase=self._next_purchase(found.until, row.as_of) if is_scored else None,
            lead_time_days=self.bundle.manifest.lead_time_days,
            horizon_days=self.bundle.manifest.horizon_days,
            reasons=why,
            loss_category=LOSSES[found.category],
            value_segment=None if found.segment < 0 else SEGMENTS[found.segment],
            customer_value=self._money(found.value),
            action=action,
            model_version=self.bundle.version,
            policy_version=self.policy.version,
            as_of=row.as_of,
            warnings=warnings,
            features_missing=row.missing,
            features_out_of_range=tuple([names[at] for at in beyond]),
            features_unseen=unseen,
        )

    def unknown(self, customer_id: str, as_of: int) -> CustomerScore:
        """Answer for a customer of whom nothing is stored: no probability."""
        return CustomerScore(
            customer_id=customer_id,
            status=UNKNOWN,
            churn_probability=None,
            interval=None,
            risk_band=None,
            risk_curve=(),
            next_purchase=None,
            lead_time_days=self.bundle.manifest.lead_time_days,
            horizon_days=self.bundle.manifest.horizon_days,
            reasons=(),
            loss_category=None,
            value_segment=None,
            customer_value=None,
            action=None,
            model_version=self.bundle.version,
            policy_version=self.policy.version,
            as_of=as_of,
            warnings=(),
            features_missing=(),
            features_out_of_range=(),
            features_unseen=(),
        )

    def channel_warnings(self, channels: frozenset[str] | None) -> tuple[str, ...]:
        """What should be known of the channels that a customer is said to allow."""
        if channels is None or channels <= self._channels:
            return ()
        return ("channels of no action change nothing; GET /v1/actions has those of all",)

    def reasons(
        self,
        named: Mapping[str, float],
        contributions: Sequence[float],
        most: int,
        direction: Direction,
        language: Language,
    ) -> tuple[Reason, ...]:
        """Reasons for one row of input columns by name, as `churn.reasons.reasons` gives them."""
        return reasons(
            named,
            contributions,
            schema=self.schema,
            max_reasons=most,
            direction=direction,
            language=language,
            currency=self.bundle.manifest.currency,
        )

    def _explain(
        self, row: CustomerRow, named: Mapping[str, float], contributions: Sequence[float]
    ) -> tuple[tuple[Reason, ...], tuple[Reason, ...]]:
        """The reasons that are shown, and those that raise the risk, for the suggestion."""
        # The suggestion looks at the main causes however few the caller wants to read.
        most = max(row.max_reasons, MOST_REASONS)
        raising = self.reasons(named, contributions, most, "raises", row.language)
        shown = raising
        if row.direction != "raises":
            most = row.max_reasons
            shown = self.reasons(named, contributions, most, row.direction, row.language)
        return shown[: row.max_reasons], raising

    def _advised(
        self,
        row: CustomerRow,
        named: Mapping[str, float],
        raising: Sequence[Reason],
        found: RowNumbers,
        band: str | None,
    ) -> Action:
        known = Known(
            customer_id=row.customer_id,
            as_of=row.as_of,
            row=named,
            probability=None if band is None else found.probability,
            band=band,
            earliest=found.until[1],
            reasons=raising,
            value=None if math.isnan(found.value) else found.value,
            segment=None if found.segment < 0 else SEGMENTS[found.segment],
            category=LOSSES[found.category],
            channels=row.channels,
            contacts=row.contacts,
        )
        return self.advisor.advise(known, row.language)

    def _money(self, value: float) -> Money | None:
        worth = self.bundle.model.value
        if worth is None or math.isnan(value):
            return None
        return Money(value, self.bundle.manifest.currency, worth.days)

    def _next_purchase(self, until: Sequence[float], as_of: int) -> NextPurchase:
        start = as_of + self.bundle.manifest.lead_time_days * MICROSECONDS_PER_DAY
        return NextPurchase(
            *(
                None if math.isnan(days) else start + int(days * MICROSECONDS_PER_DAY)
                for days in until
            )
        )
