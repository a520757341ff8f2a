"""Simulate a shop whose truth is known, so that a model can be judged against it.

Customers are independent of each other, so the shop is made in chunks of them, each with its own
stream of chance: the same seed gives the same bytes whatever the number of threads, and memory
does not grow with the number of customers. docs/simulator.md tells what the shop is like.
"""

import os
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from churn.errors import ConfigError
from training.progress import Progress, Silent
from training.simulation.details import dress
from training.simulation.folder import (
    CONFIG_FILE,
    EVENTS_FILE,
    TRUTH_FILE,
    config_text,
    marked,
    replacing,
)
from training.simulation.mechanism import (
    BURN_IN_DAYS,
    EFFECT_HORIZON_DAYS,
    MECHANISM,
    Calendar,
    calendar,
)
from training.simulation.process import live
from training.simulation.shoppers import draw
from training.simulation.tables import EVENT_SCHEMA, TRUTH_SCHEMA, event_table, truth_table
from training.simulation.truth import truth

FIRST_DAY = date(2024, 1, 1)
CHUNK_CUSTOMERS = 5_000
MIN_MONTHS, MAX_MONTHS = 3, 240
EARLIER_DATES = 5
HISTORY_DAYS = 30
MAX_THREADS = 4


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """What was written.

    Attributes
    ----------
    path : Path
        The folder.
    customers, events, truth_rows : int
        How many customers and events the log has, and rows the truth file.
    as_of : tuple of date
        Dates of the truth file, ascending.
    complete_until : date
        The log's end (exclusive).
    churn_rate : float, optional
        Mean true probability of no purchase within 60 days, at the last `as_of`; None where
        nobody was eligible.
    """

    path: Path
    customers: int
    events: int
    truth_rows: int
    as_of: tuple[date, ...]
    complete_until: date
    churn_rate: float | None


class _Chunk(NamedTuple):
    customers: int
    events: pa.Table
    truth: pa.Table


def simulate(
    customers: int, months: int, seed: int, out: Path, *, progress: Progress | None = None
) -> SimulationResult:
    """Write a simulated shop's log, the truth behind it and a ready keepwell.toml.

    Parameters
    ----------
    customers : int
        Number of customers in the log, at least 1.
    months : int
        Length of the log in months from 2024-01-01, in [3, 240].
    seed : int
        At least 0; the same seed and library versions give the same bytes.
    out : Path
        Folder to write: a new one, an empty one, or one that an earlier simulation wrote.
    progress : Progress, optional
        Told of every finished chunk of customers.

    Returns
    -------
    SimulationResult

    Raises
    ------
    ConfigError
        An argument is out of its range, or `out` holds something else or cannot be written.
    """
    _check(customers, months, seed)
    listener = progress or Silent()
    until = _months_later(FIRST_DAY, months)
    if until > date.today():
        listener.note(
            f"the log runs to {until}, in the future: training takes it only from then on"
        )
    dates = as_of_dates(until)
    days = calendar(
        np.datetime64(FIRST_DAY), np.datetime64(until), np.array(dates, "datetime64[D]")
    )
    tally = _Tally()
    with replacing(out) as folder:
        listener.stage("simulate", customers)
        event_schema = marked(EVENT_SCHEMA, customers, months, seed)
        truth_schema = marked(TRUTH_SCHEMA, customers, months, seed)
        with (
            pq.ParquetWriter(folder / EVENTS_FILE, event_schema, compression="zstd") as log,
            pq.ParquetWriter(folder / TRUTH_FILE, truth_schema, compression="zstd") as truths,
            closing(_chunks(customers, seed, days)) as chunks,
        ):
            for chunk in chunks:
                log.write_table(chunk.events.replace_schema_metadata(event_schema.metadata))
                truths.write_table(chunk.truth.replace_schema_metadata(truth_schema.metadata))
                tally.add(chunk, dates[-1])
                listener.advance(chunk.customers)
        text = config_text(customers, months, seed, until)
        (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
    return SimulationResult(
        path=out,
        customers=customers,
        events=tally.events,
        truth_rows=tally.truth_rows,
        as_of=dates,
        complete_until=until,
        churn_rate=tally.churn / tally.eligible if tally.eligible else None,
    )


def as_of_dates(until: date) -> tuple[date, ...]:
    """Dates whose truth is told: the last that leaves 60 days of log, and month starts before it.

    The month starts are campaign days, when offers are drawn at random that very morning.
    """
    last = until - timedelta(days=EFFECT_HORIZON_DAYS)
    dates = [last]
    month = date(last.year, last.month, 1)
    while len(dates) <= EARLIER_DATES and month >= FIRST_DAY + timedelta(days=HISTORY_DAYS):
        if last - month >= timedelta(days=HISTORY_DAYS - 2):
            dates.append(month)
        month = (month - timedelta(days=1)).replace(day=1)
    return tuple(reversed(dates))


def _check(customers: int, months: int, seed: int) -> None:
    if customers < 1:
        raise ConfigError(f"customers: must be at least 1, not {customers}")
    if not MIN_MONTHS <= months <= MAX_MONTHS:
        raise ConfigError(
            f"months: must be from {MIN_MONTHS} (a {EFFECT_HORIZON_DAYS}-day horizon needs some "
            f"history before it) to {MAX_MONTHS}, not {months}"
        )
    if seed < 0:
        raise ConfigError(f"seed: must be at least 0, not {seed}")


def _months_later(day: date, months: int) -> date:
    years, month = divmod(day.month - 1 + months, 12)
    return day.replace(year=day.year + years, month=month + 1)


@dataclass
class _Tally:
    events: int = 0
    truth_rows: int = 0
    eligible: int = 0
    churn: float = 0.0

    def add(self, chunk: _Chunk, last: date) -> None:
        self.events += chunk.events.num_rows
        self.truth_rows += chunk.truth.num_rows
        is_last = pc.equal(chunk.truth["as_of"].cast(pa.date32()), last)
        at_last = chunk.truth.filter(is_last)["churn_probability_60d"].to_numpy()
        self.eligible += len(at_last)
        self.churn += float(at_last.sum())


def _chunks(customers: int, seed: int, days: Calendar) -> Generator[_Chunk]:
    """Make chunks on all processors and give them in order, few at a time."""
    threads = min(MAX_THREADS, os.cpu_count() or 1)
    waiting: deque[Future[_Chunk]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for number, first in enumerate(range(0, customers, CHUNK_CUSTOMERS)):
                n = min(CHUNK_CUSTOMERS, customers - first)
                waiting.append(pool.submit(_chunk, number, first, n, seed, days))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _chunk(number: int, first: int, n: int, seed: int, days: Calendar) -> _Chunk:
    streams = np.random.SeedSequence(seed, spawn_key=(number,)).spawn(3)
    traits, chance, looks = (np.random.Generator(np.random.PCG64(s)) for s in streams)
    shoppers = draw(traits, n)
    lives = live(chance, shoppers, MECHANISM, days)
    exact = truth(lives, shoppers, MECHANISM, days)
    log = dress(looks, lives.events, shoppers, days.log_start, days.end)
    opening = np.datetime64(FIRST_DAY) - np.timedelta64(BURN_IN_DAYS, "D")
    return _Chunk(
        n, event_table(log, opening, first), truth_table(lives, exact, days, opening, first)
    )
