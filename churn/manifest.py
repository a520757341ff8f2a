"""What a bundle says of itself: `manifest.json`, typed."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from churn.columns import Kind
from churn.events import Feed

FORMAT_VERSION: Literal[2] = 2


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


class Thresholds(_Strict):
    """Risk bands: medium from `medium` on, high from `high` on."""

    medium: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.medium > self.high:
            raise ValueError("medium must not be above high")
        return self


class Manifest(_Strict):
    """Everything a reader of a bundle needs to know before trusting it.

    `metrics` holds the out-of-time figures of the settings that made this model; `training` what
    was done (dates, rows, settings), for people.
    """

    format_version: Literal[2] = FORMAT_VERSION
    model_version: str = Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$")
    created_at: str
    files: dict[str, FileEntry]
    features: list[FeatureEntry]
    feeds: list[Feed]
    horizon_days: int = Field(ge=1)
    lead_time_days: int = Field(ge=0)
    inactivity_days: int = Field(ge=1)
    observation_window_days: int = Field(ge=1)
    minimum_features: int = Field(ge=1)
    thresholds: Thresholds
    currency: str
    metrics: dict[str, float | None]
    libraries: dict[str, str]
    data_fingerprint: str
    training: dict[str, object]
