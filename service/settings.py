"""Everything the service can be told, read from `KEEPWELL_*` environment variables."""

import base64
import contextlib
import difflib
import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, SecretBytes, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from churn.errors import ConfigError
from churn.events import FEED_KINDS, Feed

PREFIX = "KEEPWELL_"
KEY_BYTES = 32
"""Least length of a key."""
CLOSING_SECONDS = 5
"""Of the time to the end at the latest, what is kept for closing the store and the threads."""


def _key(given: Any) -> Any:
    """Read a key of 32 bytes or more, in hexadecimal or base64."""
    if not isinstance(given, str):
        return given
    for read in (bytes.fromhex, partial(base64.b64decode, validate=True)):
        with contextlib.suppress(ValueError):
            key = read(given.strip())
            if len(key) >= KEY_BYTES:
                return key
    raise ValueError(
        f"must be {KEY_BYTES} random bytes or more, in hexadecimal or base64: openssl rand -hex 32"
    )


_MOST_HOURS = 1_000_000.0


def _hours(given: Any, usual: float) -> dict[Feed, float]:
    """A number is of orders; a JSON object has hours by feed, and orders the usual unless named."""
    try:
        told = json.loads(given) if isinstance(given, str) else given
    except ValueError:
        raise ValueError('must be hours, or hours by feed such as {"complaints": 720}') from None
    by_feed = told if isinstance(told, dict) else {Feed.ORDERS: told}
    known = [feed.value for feed in FEED_KINDS]
    hours = {Feed.ORDERS: usual}
    for name, number in by_feed.items():
        if name not in known:
            raise ValueError(f"there is no feed of that name; there are {', '.join(known)}")
        if type(number) not in (int, float) or not 0 < number <= _MOST_HOURS:
            raise ValueError(f"{name} must be hours above 0 and at most {_MOST_HOURS:,.0f}")
        hours[Feed(name)] = float(number)
    return hours


class Trust(BaseSettings):
    """Whose models are loaded, by the service and by every command that reads one."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    trusted_keys: str | None = Field(
        default=None,
        description="Public keys: one of them must have signed a model; by default none need.",
    )
    trusted_keys_file: Path | None = Field(
        default=None, description="A file of further ones, read anew whenever a model is loaded."
    )


class Settings(Trust):
    """Settings of the service; each is the environment variable `KEEPWELL_<NAME>`."""

    models_dir: Path = Field(
        default=Path("models"), description="Folder of published models and of `current`."
    )
    policy_file: Path | None = Field(
        default=None,
        description="policy.toml: what may be done about customers; a change is taken up.",
    )
    models_poll_seconds: float = Field(
        default=2.0,
        gt=0,
        le=3600,
        description="How often the models, the policy and the keys are looked at.",
    )
    store_url: str = Field(
        default="sqlite:///keepwell.db",
        min_length=1,
        description="Where histories, scores and jobs are kept: SQLite or PostgreSQL.",
    )
    erasure_key: Annotated[SecretBytes | None, BeforeValidator(_key)] = Field(
        default=None,
        description="Key of the tombstones, kept outside of the store: 32 bytes or more, in "
        "hexadecimal or base64.",
    )
    stale_after_hours: Annotated[
        dict[Feed, float], NoDecode, BeforeValidator(partial(_hours, usual=72.0))
    ] = Field(
        default=72.0,  # type: ignore[arg-type]  # checked as what is set is
        description="Age of a feed's newest event at which scores by id warn: hours of orders, or "
        "a JSON object of hours by feed.",
    )
    stale_limit_hours: Annotated[
        dict[Feed, float], NoDecode, BeforeValidator(partial(_hours, usual=336.0))
    ] = Field(
        default=336.0,  # type: ignore[arg-type]
        description="Age of a feed's newest event at which scores by id are refused; likewise.",
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0: any free.")
    allow_anonymous: bool = Field(
        default=False, description="Allow a host beyond loopback although no keys are configured."
    )
    keys_file: Path | None = Field(
        default=None,
        description="keys.toml: who may call, and what; a change is taken up. By default nobody is "
        "asked for a key.",
    )
    audit_file: Path | None = Field(
        default=None,
        description="Where the audit log is written, a file a day; by default there is none.",
    )
    audit_key: Annotated[SecretBytes | None, BeforeValidator(_key)] = Field(
        default=None,
        description="Key of the hashes that stand for customers in it: 32 bytes or more, in "
        "hexadecimal or base64.",
    )
    audit_keep_days: int = Field(
        default=365, ge=1, le=36_500, description="How long its files are kept."
    )
    max_body_bytes: int = Field(
        default=1 << 20, ge=1024, description="Largest body of one customer, bytes."
    )
    max_batch_body_bytes: int = Field(
        default=16 << 20, ge=1024, description="Largest body of a batch, bytes."
    )
    max_batch_customers: int = Field(
        default=1000, ge=1, le=100_000, description="Most customers in one batch."
    )
    max_events: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Most events of one customer."
    )
    max_ingest_events: int = Field(
        default=10_000, ge=1, le=100_000, description="Most events in one body of them."
    )
    max_ingest_body_bytes: int = Field(
        default=16 << 20, ge=1024, description="Largest body of events, bytes."
    )
    max_ingest_waiting: int = Field(
        default=8, ge=1, le=1000, description="Bodies of events that may wait to be written."
    )
    max_stored_events: int = Field(
        default=100_000, ge=1, le=10_000_000, description="Most stored events of one customer."
    )
    max_connections: int = Field(
        default=1000,
        ge=10,
        le=100_000,
        description="Most connections; the one that was idle for longest, or is farthest behind "
        "with sending, makes room for another.",
    )
    max_waiting: int = Field(
        default=256,
        ge=1,
        le=100_000,
        description="Requests that may wait to be begun in a burst; a 64th of them while it is "
        "too much.",
    )
    max_lists_waiting: int = Field(
        default=8, ge=1, le=1000, description="Lists, plans and large histories that may wait."
    )
    max_uploads: int = Field(
        default=8, ge=1, le=1000, description="Lists of jobs that may arrive at the same time."
    )
    max_bodies_bytes: int = Field(
        default=128 << 20,
        ge=1 << 20,
        description="Bytes of all the bodies that are arriving in parts, at most.",
    )
    request_seconds: float = Field(
        default=30.0,
        gt=0,
        le=86_400,
        description="How long an answer may take; not where a job's list or results are carried.",
    )
    receive_seconds: float = Field(
        default=8.0,
        gt=0,
        le=3600,
        description="How long a request may take to arrive, and a second more for every 256 KiB.",
    )
    keep_alive_seconds: float = Field(
        default=75.0, gt=0, le=86_400, description="How long a connection may be idle."
    )
    clock_allowance_seconds: int = Field(
        default=300, ge=0, le=86_400, description="How far in the future an event may lie."
    )
    jobs_dir: Path = Field(
        default=Path("jobs"), description="Folder of the files of jobs; replicas share it."
    )
    max_job_bytes: int = Field(
        default=4 << 30, ge=1024, description="Largest list of one job, bytes."
    )
    jobs_keep_days: float = Field(
        default=7.0, gt=0, le=3650, description="How long an ended job and its results are kept."
    )
    events_keep_days: int | None = Field(
        default=None,
        ge=1,
        le=36_500,
        description="How long after they happened stored events are kept; by default for ever.",
    )
    scores_keep_days: int = Field(
        default=730, ge=1, le=36_500, description="How long recorded scores are kept."
    )
    decisions_keep_days: int = Field(
        default=730,
        ge=90,
        le=36_500,
        description="How long recorded decisions are kept, with what came of them.",
    )
    drift_window_days: float = Field(
        default=7.0,
        ge=0.01,
        le=365,
        description="Of how many days the scored customers are held against the model's own.",
    )
    vacuum_hour: int = Field(
        default=3,
        ge=0,
        le=23,
        description="Hour of the day in UTC in which a large SQLite store is written anew after "
        "erasures.",
    )
    job_lease_seconds: float = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="Silence after which another process takes over a job.",
    )
    drain_seconds: float = Field(
        default=5.0,
        ge=0,
        le=3600,
        description="How long the service goes on after SIGTERM although it is not ready.",
    )
    shutdown_seconds: int = Field(
        default=28, ge=1, le=7200, description="When it ends at the latest after a signal."
    )
    log_level: str = Field(
        default="INFO",
        pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        description="DEBUG, INFO, WARNING or ERROR.",
    )
    access_log: bool = Field(default=True, description="One log line per request.")

    @model_validator(mode="after")
    def _ends_in_time(self) -> Self:
        least = self.drain_seconds + 1 + CLOSING_SECONDS
        if self.shutdown_seconds < least:
            raise ValueError(
                f"{PREFIX}SHUTDOWN_SECONDS ({self.shutdown_seconds}) must be {least:g} or more: "
                f"{PREFIX}DRAIN_SECONDS ({self.drain_seconds:g}), a second for the last answers, "
                f"and {CLOSING_SECONDS} to close the store"
            )
        return self

    @property
    def tombstone_key(self) -> bytes | None:
        """The erasure key itself."""
        return None if self.erasure_key is None else self.erasure_key.get_secret_value()


def load(**overrides: Any) -> Settings:
    """Read the settings from the environment.

    Parameters
    ----------
    **overrides
        Settings given some other way, such as a command line; these win. None is "not given".

    Raises
    ------
    ConfigError
        A setting is not of its type or out of its range, or two do not go together; the message
        names the variables.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        told = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:  # of several settings together, which it names
            raise ConfigError(told) from None
        raise ConfigError(f"{PREFIX}{str(first['loc'][0]).upper()}: {told}") from None


def unknown_variables(environ: Mapping[str, str] = os.environ) -> list[str]:
    """One line for each `KEEPWELL_*` variable that is close to a setting but is none."""
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    lines = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            if near:
                lines.append(f"{name} is not a setting; did you mean {near[0]}?")
    return lines
