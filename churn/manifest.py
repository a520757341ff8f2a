"""What a bundle says of itself: `manifest.json`, typed."""

import re
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from churn.bounds import MOST_BINS, MOST_CUSTOMERS, MOST_DAYS
from churn.columns import Kind
from churn.events import Feed

FORMAT_VERSION: Literal[2] = 2
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")
"""A model version: a folder's name that leads nowhere else."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FileEntry(_Strict):
    """Digest and size of one file of the bundle."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class Reference(_Strict):
    """A feature's values among the eligible customers at training.

    None where never known, and for categories.
    """

    minimum: float | None
    p01: float | None
    p50: float | None
    p99: float | None
    maximum: float | None
    missing_share: float = Field(ge=0, le=1)


class FeatureEntry(_Strict):
    """One feature that requests may send: a number, or the name of a category."""

    name: str
    unit: str
    family: str
    feed: Feed | None = Field(description="What it is computed from; null for your own columns.")
    kind: Kind = "numeric"
    categories: list[str] | None = Field(
        default=None, description="Those that are told apart; any other is unseen."
    )
    reference: Reference


_Customers = Annotated[int, Field(ge=0, le=MOST_CUSTOMERS)]


class Bins(_Strict):
    """How many customers had which values of one column.

    Of numbers a bin for what is at most the first edge, one up to each next edge, and one for what
    is above the last. Of categories a bin for each, and one for all others.
    """

    edges: list[float] = Field(default=[], max_length=MOST_BINS - 1)
    categories: list[str] | None = Field(default=None, max_length=MOST_BINS - 1)
    counts: list[_Customers]
    missing: _Customers

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        limits = self.edges if self.categories is None else self.categories
        if len(self.counts) != len(limits) + 1:
            raise ValueError("the counts are not those of the bins")
        if sorted(set(self.edges)) != self.edges or (self.edges and self.categories is not None):
            raise ValueError("the edges are not ascending")
        return self

    @property
    def customers(self) -> int:
        """How many in all."""
        return sum(self.counts) + self.missing


class DriftEntry(_Strict):
    """What the customers looked like whom the model was made for: drift is counted from there.

    `features` has a column of each feature of the manifest, by name; `as_of` is the date.
    """

    as_of: str | None
    features: dict[str, Bins]
    probability: Bins

    @model_validator(mode="after")
    def _of_the_same_customers(self) -> Self:
        of_each = {bins.customers for bins in [*self.features.values(), self.probability]}
        if len(of_each) != 1 or 0 in of_each:
            raise ValueError("the bins are not of the same customers")
        return self


class Thresholds(_Strict):
    """Risk bands: medium from `medium` on, high from `high` on."""

    medium: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.medium > self.high:
            raise ValueError("medium must not be above high")
        return self


class GateEntry(_Strict):
    """One question asked of the model before it might be promoted, and the answer."""

    name: str
    measured: str
    figure: float | None
    limit: float
    outcome: Literal["passed", "warning", "failed"]
    passed: bool
    sentence: str
    column: str | None


class Verdict(_Strict):
    """What was made of the model out of time, before it might serve.

    `made_at` is the date up to which it has learnt; `judged_as_of` the date that the same settings
    were judged at, with what was known by then.
    """

    grade: Literal["A", "B", "C", "D"]
    sentence: str
    gates: list[GateEntry]
    made_at: str
    judged_as_of: str
    judged_customers: int = Field(ge=1)
    judged_churn_rate: float = Field(ge=0, le=1)

    @property
    def failed(self) -> list[GateEntry]:
        """The gates that keep it from being promoted."""
        return [gate for gate in self.gates if not gate.passed]


class ValueEntry(_Strict):
    """What is at stake with a customer, in the currency of the manifest, and how it was learnt.

    Orders were counted for `window_days` after each of `snapshots`. Where that is shorter than
    `days`, customers are taken to go on ordering at a rate that falls as it fell in the time seen.
    """

    days: int = Field(ge=1, description="Over which margin is counted.")
    margin_rate: float = Field(gt=0, le=1)
    window_days: int = Field(ge=1)
    snapshots: list[str]
    least_a: float = Field(ge=0, description="The least value of segment A.")
    least_b: float = Field(ge=0, description="The least value of segment B.")


class LossEntry(_Strict):
    """The limits of the loss categories; null where nobody reaches one."""

    late: float = Field(gt=0, description="Silence over the customer's own average gap.")
    high_cheque: float | None
    active: float | None = Field(description="Orders per 30 days.")


def _instant(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("no offset from UTC")
    return text


class Manifest(_Strict):
    """Everything a reader of a bundle needs to know before trusting it.

    `metrics` holds the out-of-time figures of the settings that made this model; `training` what
    was done (dates, rows, settings), for people; `verdict` whether that was good enough.
    """

    format_version: Literal[2] = FORMAT_VERSION
    model_version: str = Field(pattern=f"^{VERSION.pattern}$")
    created_at: Annotated[str, AfterValidator(_instant)]
    files: dict[str, FileEntry]
    features: list[FeatureEntry]
    feeds: list[Feed]
    horizon_days: int = Field(ge=1, le=MOST_DAYS)
    lead_time_days: int = Field(ge=0, le=MOST_DAYS)
    inactivity_days: int = Field(ge=1, le=MOST_DAYS)
    observation_window_days: int = Field(ge=1, le=MOST_DAYS)
    minimum_features: int = Field(ge=1)
    thresholds: Thresholds
    currency: str
    metrics: dict[str, float | None]
    libraries: dict[str, str]
    data_fingerprint: str
    training: dict[str, object]
    verdict: Verdict | None = None
    value: ValueEntry | None = None
    loss: LossEntry | None = None
    drift: DriftEntry | None = None
