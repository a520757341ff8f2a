"""Columns to Arrow tables: identifiers as text, days as UTC timestamps, codes as words."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from churn.events import Kind
from training.simulation.mechanism import GONE, Calendar
from training.simulation.process import Lives
from training.simulation.rows import CHANNELS, SECONDS_PER_DAY, Floats, Ints, Rows
from training.simulation.shoppers import N_CATEGORIES

TIMESTAMP = pa.timestamp("us", tz="UTC")

EVENT_SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("occurred_at", TIMESTAMP),
        ("kind", pa.string()),
        ("amount", pa.float64()),
        ("value", pa.float64()),
        ("order_id", pa.string()),
        ("case_id", pa.string()),
        ("quantity", pa.float64()),
        ("discount", pa.float64()),
        ("category", pa.string()),
        ("channel", pa.string()),
        ("known_at", TIMESTAMP),
    ]
)

TRUTH_SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("as_of", TIMESTAMP),
        ("churn_probability_30d", pa.float64()),
        ("churn_probability_60d", pa.float64()),
        ("churn_probability_90d", pa.float64()),
        ("contact_effect_60d", pa.float64()),
        ("reward_effect_60d", pa.float64()),
        ("is_alive", pa.bool_()),
        ("life", pa.string()),
        ("complaint_stage", pa.string()),
        ("has_open_complaint", pa.bool_()),
        ("open_complaint_days", pa.int32()),
    ]
)

TRUTH_DECIMALS = 6

_KINDS = tuple(Kind)
_LIVES = ("loyal", "drifting", "gone")
_STAGES = ("none", "soured", "neglected", "in_hand", "brewing")
_CATEGORIES = tuple(f"category-{number + 1:02}" for number in range(N_CATEGORIES))


def _words(codes: Ints, words: tuple[str, ...]) -> pa.Array:
    indices = pa.array(codes.astype(np.int32), mask=codes < 0)
    return pc.take(pa.array([str(word) for word in words]), indices)


def _numbers(values: Floats) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def _customer_ids(customer: Ints, first_customer: int) -> pa.Array:
    number = pa.array(customer + first_customer + 1).cast(pa.string())
    return pc.binary_join_element_wise("c", pc.utf8_lpad(number, 7, "0"), "-")


def _ids(letter: str, customer_ids: pa.Array, codes: Ints) -> pa.Array:
    within = pa.array(codes + 1, mask=codes < 0).cast(pa.string())
    number = pc.utf8_slice_codeunits(customer_ids, 2)
    return pc.binary_join_element_wise(letter, number, within, "-")


def _timestamps(seconds: Ints, opening: np.datetime64, mask: NDArray[np.bool_]) -> pa.Array:
    start = int(opening.astype("datetime64[s]").astype(np.int64))
    return pa.array((seconds + start) * 1_000_000, mask=mask).cast(TIMESTAMP)


def event_table(log: Rows, opening: np.datetime64, first_customer: int) -> pa.Table:
    """The log of one chunk, in `EVENT_SCHEMA`; `opening` is the date of day 0."""
    customer_ids = _customer_ids(log.customer, first_customer)
    never = np.zeros(len(log.time), dtype=np.bool_)
    columns = [
        customer_ids,
        _timestamps(log.time, opening, never),
        _words(log.kind, _KINDS),
        _numbers(log.amount),
        _numbers(log.value),
        _ids("o", customer_ids, log.order),
        _ids("k", customer_ids, log.case),
        _numbers(log.quantity),
        _numbers(log.discount),
        _words(log.category, _CATEGORIES),
        _words(log.channel, CHANNELS),
        _timestamps(log.known_at, opening, log.known_at < 0),
    ]
    return pa.Table.from_arrays(columns, schema=EVENT_SCHEMA)


def truth_table(
    lives: Lives,
    truth: Floats,
    calendar: Calendar,
    opening: np.datetime64,
    first_customer: int,
) -> pa.Table:
    """The truth of one chunk, in `TRUTH_SCHEMA`, by customer and date.

    Rounded to `TRUTH_DECIMALS`: the last bits of an exponential differ between processors, and
    the same seed shall give the same bytes.
    """
    customer, asked, life, stage, _, _, complained = lives.states.T
    day = calendar.as_of[asked]
    is_open = complained >= calendar.log_start
    exact = truth.round(TRUTH_DECIMALS) + 0.0  # no negative zeros
    columns = [
        _customer_ids(customer, first_customer),
        _timestamps(day * SECONDS_PER_DAY, opening, np.zeros(len(day), dtype=np.bool_)),
        *(pa.array(column) for column in exact.T),
        pa.array(life != GONE),
        _words(life, _LIVES),
        _words(stage, _STAGES),
        pa.array(is_open),
        pa.array((day - complained).astype(np.int32), mask=~is_open),
    ]
    return pa.Table.from_arrays(columns, schema=TRUTH_SCHEMA)
