"""keepwell.toml: what the analyst decides, typed, with a default for everything but the query.

Each setting's description is its documentation: `template` writes the file that `keepwell init`
starts a project with from the same descriptions, so the two cannot drift apart.
"""

import textwrap
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import Field, ValidationError, field_validator
from pydantic import model_validator as validates_together

from churn.advice import nearest
from churn.config_errors import explain
from churn.errors import ConfigError
from training.own_config import Features
from training.section import Section, SettingsFile

__all__ = ["Business", "Config", "Events", "Features", "Problem", "Section", "Training"]

EXAMPLE_QUERY = """
SELECT client            AS customer_id,
       paid_at           AS occurred_at,
       'purchase'        AS kind,
       price * quantity  AS amount,
       receipt           AS order_id
FROM 'purchases.csv'
"""

File = TypeVar("File", bound=SettingsFile)
Days = Annotated[int, Field(ge=1, le=3650)]


class Events(Section):
    """Where the events are and how to read them."""

    query: str
    """SQL that maps your tables to the event log. DuckDB runs it over CSV, Parquet or JSON files;
    paths are relative to this file. It must give customer_id, occurred_at and kind (purchase,
    return, cancellation, complaint, complaint_resolved, visit, cart_abandoned, review, survey,
    contact or reward) and may give amount (positive money), value (a rating), order_id, case_id,
    quantity, discount (money taken off), category, channel, event_id and known_at."""

    timezone: str = "UTC"
    """Time zone of timestamps that name none, such as "Europe/London"."""

    complete_until: datetime | date | None = None
    """The log is complete until this date (exclusive); nothing later is taken for silence.
    Default: midnight after the last event."""

    @field_validator("query")
    @classmethod
    def _is_written(cls, query: str) -> str:
        if not query.strip():
            raise ValueError("must be a SELECT statement, but it is empty")
        return query

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name != "UTC":
            try:
                ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                hint = nearest(name, available_timezones())
                raise ValueError(
                    f"must be a time zone such as 'Europe/London', not {name!r}{hint}"
                ) from None
        return name

    @field_validator("complete_until", mode="before")
    @classmethod
    def _reads_quoted_dates(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"must be a date such as 2011-12-10, not {value!r}") from None

    @property
    def zone(self) -> tzinfo:
        """The time zone of timestamps that name none."""
        return UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)


class Problem(Section):
    """What counts as leaving, and whom to ask about."""

    horizon_days: Days = 60
    """Churn is no purchase for this many days after the lead time."""

    lead_time_days: int = Field(default=0, ge=0, le=3650)
    """Days left to act between a score and the window it speaks of."""

    inactivity_days: Days = 180
    """No purchase for longer than this: the customer is already lapsed and is not scored."""

    observation_window_days: Days = 730
    """How far back a customer's history is read."""

    @validates_together(mode="after")
    def _window_covers_the_eligible(self) -> Self:
        if self.observation_window_days < self.inactivity_days:
            raise ValueError(
                f"observation_window_days ({self.observation_window_days}) must be at least "
                f"inactivity_days ({self.inactivity_days}), or customers would be scored without "
                "their last purchase"
            )
        return self


class Training(Section):
    """How the model is trained; good defaults for every log."""

    snapshot_every_days: Days | None = None
    """Days between the past dates the model learns from. Default:
    about half of horizon_days, on the same day of the month (for horizons under 28 days, of the
    week) as the date that the model is made for."""

    seed: int = Field(default=7, ge=0, le=2**31 - 1)
    """The same seed, data and library versions give the same model."""

    decisions: str | None = None
    """File of `keepwell store export --decisions`, relative to this one: customers who got a
    retention action teach nothing about what happens without one, and those from whom it was
    withheld stand for them."""


class Business(Section):
    """What a customer is worth."""

    currency: str = Field(default="RUB", pattern="^[A-Z]{3}$")
    """Currency of all amounts: three capital letters, as in ISO 4217."""

    margin_rate: float = Field(default=0.30, gt=0, le=1)
    """Share of an amount that is margin."""

    value_horizon_days: Days = 365
    """Days over which a customer's value is counted; at least horizon_days."""

    retained_value: float = Field(default=200.0, gt=0)
    """Worth of one churner who is kept, for the expected maximum profit in the report. This and
    the four below default to the figures of the paper that proposed it."""

    incentive_cost: float = Field(default=10.0, ge=0)
    """Cost of one accepted retention offer."""

    contact_cost: float = Field(default=1.0, ge=0)
    """Cost of contacting one customer."""

    acceptance_alpha: float = Field(default=6.0, gt=0)
    """With acceptance_beta: the share of churners whom an offer keeps is believed to follow a
    Beta(alpha, beta) distribution, whose mean is alpha / (alpha + beta)."""

    acceptance_beta: float = Field(default=14.0, gt=0)
    """See acceptance_alpha."""

    @validates_together(mode="after")
    def _offers_are_worth_it(self) -> Self:
        if self.retained_value <= self.incentive_cost:
            raise ValueError(
                f"retained_value ({self.retained_value:g}) must be above incentive_cost "
                f"({self.incentive_cost:g}), or no offer could ever pay"
            )
        return self


class Config(SettingsFile):
    """Everything in one keepwell.toml.

    Attributes
    ----------
    events, features, problem, training, business
        The file's tables.
    """

    events: Events
    """Where the events are and how to read them."""
    features: Features = Field(default_factory=Features)
    """Columns of your own beside what Keepwell computes from the events: all optional."""
    problem: Problem = Field(default_factory=Problem)
    """What counts as leaving, and whom to ask about."""
    training: Training = Field(default_factory=Training)
    """How the model is trained: good defaults for every log."""
    business: Business = Field(default_factory=Business)
    """What a customer is worth."""

    @property
    def complete_until_us(self) -> int | None:
        """`complete_until` in microseconds since 1970-01-01 UTC, None where not set."""
        until = self.events.complete_until
        if until is None:
            return None
        if not isinstance(until, datetime):
            until = datetime(until.year, until.month, until.day)
        if until.tzinfo is None:
            until = until.replace(tzinfo=self.events.zone)
        since_epoch = until - datetime(1970, 1, 1, tzinfo=UTC)
        return (since_epoch.days * 86_400 + since_epoch.seconds) * 1_000_000 + (
            since_epoch.microseconds
        )


def load(path: Path) -> Config:
    """Read and check the keepwell.toml of an event log.

    Raises
    ------
    ConfigError
        The file is missing or not TOML, a key is unknown or a value is not allowed; the message
        names the file, the line and the key.
    """
    return parse(text_of(path), path)


def text_of(path: Path) -> str:
    """The text of a keepwell.toml.

    Raises
    ------
    ConfigError
        The file is missing or no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; `keepwell init DIR` writes one to start from"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def tables_of(text: str, path: Path) -> dict[str, Any]:
    """The tables in the text of a keepwell.toml that lies, or would lie, at `path`.

    Raises
    ------
    ConfigError
        It is not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def parse(text: str, path: Path) -> Config:
    """Check the text of a keepwell.toml that lies, or would lie, at `path`.

    Raises
    ------
    ConfigError
        As `load`.
    """
    return checked(Config, tables_of(text, path), path, text)


def from_mapping(tables: Mapping[str, Any], path: Path) -> Config:
    """Check settings that are already a mapping, as if read from `path`.

    Raises
    ------
    ConfigError
        As `load`.
    """
    return checked(Config, tables, path, "")


def template() -> str:
    """Return a keepwell.toml with every setting, its default and what it means."""
    lines = [
        "# Keepwell: from your event log to a churn model. Only `query` has no default.",
        "# A ready feature table with a label needs [table] instead: docs/configuration.md has it.",
    ]
    for name, table in Config.model_fields.items():
        lines += ["", f"# {table.description}", f"[{name}]"]
        section = table.annotation
        assert isinstance(section, type)
        assert issubclass(section, Section)
        for key, field in section.model_fields.items():
            words = " ".join((field.description or "").split())
            lines += textwrap.wrap(words, 96, initial_indent="# ", subsequent_indent="# ")
            lines += [*_setting(f"{name}.{key}", field.default), ""]
        lines.pop()
    return "\n".join(lines) + "\n"


_UNSET = {
    "events.complete_until": "2026-01-01",
    "features.query": '"SELECT client AS customer_id, changed_at AS known_at, plan, calls'
    " FROM 'plans.csv'\"",
    "features.columns": '{plan = {family = "plan", label = {en = "plan", ru = "тариф"}}}',
    "training.snapshot_every_days": "15",
    "training.decisions": '"decisions.parquet"',
}
"""What the template shows, commented out, where there is no default to show."""


def _setting(setting: str, default: object) -> list[str]:
    key = setting.partition(".")[2]
    if setting == "events.query":
        return [f'query = """{EXAMPLE_QUERY}"""']
    if setting in _UNSET:
        return [f"# {key} = {_UNSET[setting]}"]
    return [f'{key} = "{default}"' if isinstance(default, str) else f"{key} = {default}"]


def checked(model: type[File], tables: Mapping[str, Any], path: Path, text: str) -> File:
    """Tables as the settings that they are; `text` is the file's, for the lines in messages.

    Raises
    ------
    ConfigError
        As `load`.
    """
    try:
        config = model.model_validate(dict(tables))
    except ValidationError as error:
        raise ConfigError(explain(error, model, path, text)) from None
    config._path = path
    return config
