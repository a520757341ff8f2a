"""policy.toml: the actions there are, what they cost and bring, and who is considered for which."""

import hashlib
import json
import tomllib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from churn.config_errors import explain
from churn.errors import PolicyError
from churn.policy.economics import NOTHING, Belief, Economics
from churn.policy.faults import NONE, first_fault, place_of
from churn.policy.ready import Ready
from churn.words import Language

__all__ = ["NONE", "ActionTable", "Considered", "Policy", "Situation", "parse"]

Situation = Literal[
    "open_complaint",
    "repeated_complaint",
    "quality",
    "high_cheque_stopped",
    "active_shift",
    "periodic_switched",
    "one_time",
    "cheque_decline",
    "engagement_drop",
    "promotion_only",
    "unknown",
]
"""What a customer's case is, the most pressing first."""

SITUATIONS: tuple[Situation, ...] = get_args(Situation)
COMPLAINTS: tuple[Situation, ...] = ("open_complaint", "repeated_complaint")
"""Acted on at any risk."""
ANSWERED: tuple[Situation, ...] = (*COMPLAINTS, "quality")
"""What is answered by service, which everybody gets in that case: no retention action."""

Segment = Literal["A", "B", "C"]
SEGMENTS: tuple[Segment, ...] = get_args(Segment)
BANDS = ("low", "medium", "high")
AtRisk = Literal["medium", "high"]
AT_RISK: tuple[AtRisk, ...] = get_args(AtRisk)

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Money = Annotated[float, Field(ge=0.0, le=1e9)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Days = Annotated[int, Field(ge=0, le=3650)]

LEAST_REACH_DAYS = 90
"""Deliveries are looked at for so long at least, whatever the rules."""


class _Table(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    def __copy__(self) -> Self:
        # What was derived from the fields is derived anew: a copy may have others.
        made = super().__copy__()
        for name in made.__dict__.keys() - type(self).model_fields.keys():
            del made.__dict__[name]
        return made


class BeliefTable(_Table):
    """A share that nobody knows exactly: a Beta distribution."""

    mean: Share
    """The best guess."""
    weight: float = Field(gt=0.0, le=1e9)
    """How many customers' outcomes the guess is worth."""


class Texts(_Table):
    """What is done, in words that follow a colon."""

    en: str = Field(min_length=1, max_length=400)
    ru: str = Field(min_length=1, max_length=400)


class ActionTable(_Table):
    """One action."""

    channel: Name
    """How it reaches the customer."""
    text: Texts
    """What is done."""
    contact_cost: Money = 0.0
    """Of one contact, and of anything that everybody contacted gets."""
    incentive_cost: Money = 0.0
    """Of what the saved and some of the stayers take."""
    saved: BeliefTable | None = None
    """Share of would-be leavers whom it keeps. Without it nothing is claimed."""
    saved_in: dict[Situation, dict[AtRisk, BeliefTable]] = Field(default_factory=dict)
    """The same where it is another one, as outcomes may have shown: by situation and risk band."""
    redeemed: BeliefTable | None = None
    """Share of stayers who take the incentive too."""
    harm: BeliefTable | None = None
    """Share of stayers whom the contact drives away."""
    capacity: int | None = Field(default=None, ge=0, le=10**9)
    """How many customers of one plan may get it."""
    service: bool = False
    """Owed to the customer: it is neither withheld nor weighed against its cost."""
    promotion: bool = False
    """Advertises or gives something: not while a complaint is open."""
    needs_consent: bool = True
    """Only for customers who allow the channel."""
    within_hours: int | None = Field(default=None, ge=1, le=24 * 90)
    """It is late after this."""

    @model_validator(mode="after")
    def _is_of_one_piece(self) -> Self:
        if self.service and self.promotion:
            raise ValueError("is service and promotion at once; service promotes nothing")
        if self.incentive_cost > 0 and self.saved is not None and self.redeemed is None:
            raise ValueError(
                "has an incentive_cost but no redeemed: say which share of those who would stay "
                "anyway takes the incentive"
            )
        if self.saved_in and self.saved is None:
            raise ValueError("has saved_in but no saved: say what holds in the other situations")
        return self

    @cached_property
    def economics(self) -> Economics | None:
        """Costs and beliefs; None where nothing is claimed."""
        if self.saved is None:
            return None

        def belief(table: BeliefTable | None) -> Belief:
            return NOTHING if table is None else Belief(table.mean, table.weight)

        return Economics(
            self.contact_cost,
            self.incentive_cost,
            belief(self.saved),
            belief(self.redeemed),
            belief(self.harm),
        )

    @cached_property
    def economics_in(self) -> dict[tuple[str, str], Economics]:
        """The same by situation and risk band; empty where nothing is claimed."""
        if self.economics is None:
            return {}
        found: dict[tuple[str, str], Economics] = {}
        for situation in SITUATIONS:
            shares = self.saved_in.get(situation, {})
            for band in BANDS:
                table = shares.get(band)  # type: ignore[call-overload]
                one = self.economics
                if table is not None:
                    one = one._replace(saved=Belief(table.mean, table.weight))
                found[situation, band] = one
        return found

    @cached_property
    def weigh_in(
        self,
    ) -> dict[tuple[str, str], Callable[[float, float], tuple[float, float, float]]]:
        """`Economics.for_one` of p and V, likewise."""
        return {where: one.for_one() for where, one in self.economics_in.items()}


class Rules(_Table):
    """What holds for all actions."""

    cooldown_days: Days = 14
    """Nothing for so long after a delivered action, but service."""
    contact_cap: int = Field(default=2, ge=0, le=1000)
    """At most so many delivered actions within contact_cap_days, service not counted."""
    contact_cap_days: Days = 30
    """See contact_cap."""
    message_first: bool = True
    """An incentive only where a contact without one has been delivered in the last
    message_first_days, or none is possible."""
    message_first_days: Days = 60
    """See message_first."""
    holdout_share: float = Field(default=0.10, ge=0.0, lt=1.0)
    """Share of customers from whom every action but service is withheld, always the same ones, so
    that what actions bring can be measured."""
    holdout_salt: str = Field(default="keepwell", min_length=1, max_length=100)
    """Another salt draws other customers."""
    exploration_rate: float = Field(default=0.05, ge=0.0, le=1.0)
    """Share of decisions taken at random among the candidates, so that other choices can be
    measured too."""
    exploration_days: int = Field(default=30, ge=1, le=3650)
    """For so long the same customer is drawn alike."""

    @property
    def reach_days(self) -> int:
        """So many days before a decision a delivery may still matter to it."""
        asked = self.cooldown_days, self.contact_cap_days, self.message_first_days
        return max(LEAST_REACH_DAYS, *asked)


Candidates = dict[Segment, list[Name]]


class Cell(_Table):
    """The candidates of one situation by band and segment; `any` where the band is no matter."""

    any: Candidates | None = None
    medium: Candidates | None = None
    high: Candidates | None = None

    @model_validator(mode="after")
    def _says_something_once(self) -> Self:
        if self.any is not None and (self.medium is not None or self.high is not None):
            raise ValueError("has `any` beside `medium` or `high`; keep one or the other")
        if self.any is None and self.medium is None and self.high is None:
            raise ValueError("is empty; give `any`, or `medium` and `high`")
        return self

    def of(self, band: str, segment: str) -> list[str]:
        """The candidates' codes."""
        by_segment = self.any
        if by_segment is None:
            by_segment = self.high if band == "high" else self.medium
        return (by_segment or {}).get(segment, [])  # type: ignore[call-overload, no-any-return]

    def said(self) -> dict[str, "Candidates"]:
        """What is given, by its key."""
        given = {"any": self.any, "medium": self.medium, "high": self.high}
        return {band: by_segment for band, by_segment in given.items() if by_segment is not None}


class Considered(NamedTuple):
    """Whom to consider for one situation, band and segment.

    Attributes
    ----------
    owed : str or None
        A service action, which nothing is weighed against.
    codes : tuple of str
        The other actions but none, in the order of the table.
    """

    owed: str | None
    codes: tuple[str, ...]


class Policy(_Table):
    """A whole policy.toml."""

    rules: Rules = Rules()
    """What holds for all actions."""
    actions: dict[Name, ActionTable]
    """The catalogue."""
    table: dict[Situation, Cell]
    """Which actions are considered for whom."""

    @cached_property
    def version(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 of what it says, comments apart."""
        said = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(said.encode()).hexdigest()[:12]

    @cached_property
    def considered(self) -> dict[tuple[str, str, str], Considered]:
        """The table by situation, band and segment; complete."""
        whole: dict[tuple[str, str, str], Considered] = {}
        for situation in SITUATIONS:
            cell = self.table.get(situation, self.table["unknown"])
            for band in BANDS:
                for segment in SEGMENTS:
                    codes = cell.of(band, segment)
                    owed = [code for code in codes if self.actions[code].service]
                    others = [code for code in codes if code != NONE and code not in owed]
                    # A low risk is left alone, unless somebody has complained.
                    if band == "low":
                        others = []
                        if situation not in COMPLAINTS:
                            owed = []
                    whole[situation, band, segment] = Considered(
                        owed[0] if owed else None, tuple(dict.fromkeys(others))
                    )
        return whole

    @cached_property
    def ready(self) -> Ready:
        """The same, with everything settled that does not depend on the customer."""
        return Ready(self)

    def text(self, code: str, language: Language) -> str:
        """What an action does, in words."""
        words: str = getattr(self.actions[code].text, language)
        return words


def parse(text: str, path: Path) -> Policy:
    """Check the text of a policy.toml that lies at `path`.

    Raises
    ------
    PolicyError
        It is not TOML, a key is unknown, a value is not allowed, or it cannot work; the message
        names the file, the line and what to do.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{path}: not valid TOML: {error}") from None
    try:
        policy = Policy.model_validate(tables)
    except ValidationError as error:
        raise PolicyError(explain(error, Policy, path, text)) from None
    fault = first_fault(policy)
    if fault is not None:
        raise PolicyError(f"{path}{place_of(fault, text)}: {fault.sentence}")
    return policy
