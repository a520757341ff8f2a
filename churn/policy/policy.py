"""policy.toml: the actions there are, what they cost and bring, and who is considered for which."""

import hashlib
import json
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from churn.advice import nearest
from churn.config_errors import explain
from churn.errors import PolicyError
from churn.policy.economics import NOTHING, Belief, Economics
from churn.words import Language

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

Segment = Literal["A", "B", "C"]
NONE = "none"

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Money = Annotated[float, Field(ge=0.0, le=1e9)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Days = Annotated[int, Field(ge=0, le=3650)]


class _Table(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


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
    fault = _fault(policy)
    if fault is not None:
        raise PolicyError(f"{path}{_line_of(text, fault[0])}: {fault[1]}")
    return policy


def _fault(policy: Policy) -> tuple[str, str] | None:
    """What keeps a policy from working: a word of the line, and the sentence."""
    none = policy.actions.get(NONE)
    if none is None:
        return (
            "[actions",
            "there is no [actions.none]; doing nothing must be possible, so add it",
        )
    if none.contact_cost or none.incentive_cost or none.saved is not None:
        return "[actions.none]", "[actions.none] has a cost or an effect; it does nothing"
    if "unknown" not in policy.table:
        return "[table", "there is no [table.unknown]; say what to do where no reason stands out"
    for situation, cell in policy.table.items():
        for band, by_segment in (("any", cell.any), ("medium", cell.medium), ("high", cell.high)):
            for segment, codes in (by_segment or {}).items():
                for code in codes:
                    place = f"[table.{situation}.{band}] {segment}"
                    if code not in policy.actions:
                        hint = nearest(code, policy.actions)
                        return f'"{code}"', f"{place} names {code}, which is no action{hint}"
                    if situation == "open_complaint" and policy.actions[code].promotion:
                        return (
                            f'"{code}"',
                            f"{place} names {code}, a promotion; nothing is promoted while a "
                            "complaint is open",
                        )
    return None


def _line_of(text: str, part: str) -> str:
    """Where the part first occurs, as told in messages."""
    for number, line in enumerate(text.splitlines(), 1):
        if part in line and not line.lstrip().startswith("#"):
            return f", line {number}"
    return ""
