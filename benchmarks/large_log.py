"""Fifty million events of a million customers in 30 months, the same in every run.

Each customer joins at some date, buys with a rhythm, tastes and cheques of their own, complains,
sends back and visits, and leaves for good with a probability that a bad experience raises: there is
something to learn. A chunk of customers has a stream of chance of its own, so neither the number
of threads nor that of customers changes anybody's history. The log is a Parquet file per month, in
order of time, as a shop would export it; memory holds a few chunks, then a month or two.
"""

import math
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from churn.compiled import compiled
from churn.events import KIND_CODES, MICROSECONDS_PER_DAY, Kind

CUSTOMERS = 1_000_000
FIRST_DAY, END = date(2023, 1, 1), date(2025, 7, 1)
DAYS = (END - FIRST_DAY).days
SEED = 7
CHUNK = 5_000
MOST_EVENTS = 800  # of one customer: whoever reaches it stops
CATEGORIES, CHANNELS = 40, ("app", "web", "store")

_PURCHASE, _RETURN = KIND_CODES[Kind.PURCHASE], KIND_CODES[Kind.RETURN]
_COMPLAINT, _RESOLVED = KIND_CODES[Kind.COMPLAINT], KIND_CODES[Kind.COMPLAINT_RESOLVED]
_VISIT, _CART = KIND_CODES[Kind.VISIT], KIND_CODES[Kind.CART_ABANDONED]
_REVIEW = KIND_CODES[Kind.REVIEW]

_COLUMNS = {
    "customer": np.int32, "kind": np.int8, "order": np.int16, "case": np.int16,
    "category": np.int8, "channel": np.int8, "occurred_at": np.int64, "amount": np.float64,
    "discount": np.float64, "value": np.float64,
}  # fmt: skip
_RAW = pa.schema([(name, pa.from_numpy_dtype(kind)) for name, kind in _COLUMNS.items()])
_CONFIG = """\
[events]
query = "SELECT * FROM 'events/*.parquet'"
complete_until = {end}

[training]
{training}
"""


def write(folder: Path, customers: int = CUSTOMERS, training: str = "") -> int:
    """Write the log and its keepwell.toml (`training`: lines of that table); count the events."""
    raw, events = folder / "raw", folder / "events"
    for part in (raw, events):
        part.mkdir(parents=True)
    firsts = range(0, customers, CHUNK)
    written = 0
    with ExitStack() as stack:
        months: dict[str, Any] = {}
        for batch in _mapped(lambda at: _chunk(at, min(CHUNK, customers - at)), firsts):
            written += batch.num_rows
            for month, rows in _by_month(batch):
                if month not in months:
                    sink = stack.enter_context(pa.OSFile(str(raw / month), "wb"))
                    months[month] = stack.enter_context(pa.ipc.new_stream(sink, _RAW))
                months[month].write_batch(rows)
    for _ in _mapped(lambda path: _finish(path, events), sorted(raw.iterdir())):
        pass
    shutil.rmtree(raw)
    (folder / "keepwell.toml").write_text(_CONFIG.format(end=END, training=training))
    return written


def _mapped(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """Map in order on every processor, with only a few results in memory."""
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        waiting: list[Future[Any]] = []
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > threads:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


def _chunk(first: int, customers: int) -> pa.RecordBatch:
    """Events of customers [first, first + customers)."""
    arrays = {name: np.empty(CHUNK * MOST_EVENTS, dtype=dtype) for name, dtype in _COLUMNS.items()}
    rng = np.random.default_rng([SEED, first])
    n = int(_live(rng, first, customers, float(DAYS), *arrays.values()))
    start = int(datetime(*FIRST_DAY.timetuple()[:3], tzinfo=UTC).timestamp()) * 1_000_000
    arrays["occurred_at"][:n] += start
    # Copies, which let the arrays go: room for the busiest is not what most of them need.
    columns = [pa.array(array[:n].copy()) for array in arrays.values()]
    return pa.RecordBatch.from_arrays(columns, schema=_RAW)


def _by_month(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    days = batch.column("occurred_at").to_numpy() // MICROSECONDS_PER_DAY
    month = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int16)
    order = np.argsort(month, kind="stable")
    found, starts = np.unique(month[order], return_index=True)
    rows = batch.take(pa.array(order))
    for one, start, end in zip(found, starts, [*starts[1:], len(order)], strict=True):
        yield str(np.datetime64(int(one), "M")), rows.slice(start, end - start)


def _finish(raw: Path, folder: Path) -> None:
    """Bring a month into order of time, write identifiers as a shop would."""
    with pa.OSFile(str(raw)) as source:
        rows = pa.ipc.open_stream(source).read_all().combine_chunks()
    raw.unlink()
    rows = rows.take(pc.array_sort_indices(rows["occurred_at"].combine_chunks()))
    customer = rows["customer"].cast(pa.string())
    kinds = pa.array(list(KIND_CODES))
    categories = pa.array([f"category {k}" for k in range(CATEGORIES)])
    table = pa.table(
        {
            "customer_id": pc.binary_join_element_wise("c", customer, ""),
            "occurred_at": rows["occurred_at"].cast(pa.timestamp("us")),
            "kind": kinds.take(rows["kind"]),
            "order_id": _numbered("o", customer, rows["order"]),
            "case_id": _numbered("k", customer, rows["case"]),
            "amount": _given(rows["amount"]),
            "discount": _given(rows["discount"]),
            "value": _given(rows["value"]),
            "category": categories.take(_given(rows["category"])),
            "channel": pa.array(CHANNELS).take(_given(rows["channel"])),
        }
    )
    pq.write_table(table, folder / f"{raw.name}.parquet", row_group_size=122_880)


def _given(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without the negative number that stands for what is not given."""
    return pc.if_else(pc.less(column, 0), None, column)


def _numbered(letter: str, customer: pa.ChunkedArray, number: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(letter, customer, _given(number).cast(pa.string()), "-")


Array = NDArray[Any]


@compiled
def _live(
    rng: np.random.Generator, first: int, customers: int, days: float,
    customer: Array, kind: Array, order: Array, case: Array, category: Array, channel: Array,
    occurred_at: Array, amount: Array, discount: Array, value: Array,
) -> int:  # fmt: skip
    """Write the customers' lives into the arrays; return the number of events."""
    at = 0
    for k in range(customers):
        began = at
        # Who they are.
        now = (days - 30.0) * rng.random() ** 1.2
        gap = math.exp(3.6 + 0.8 * rng.standard_normal())
        regularity = 0.6 + 1.2 * rng.random()
        leaves = 0.02 + 0.3 * rng.random() ** 2
        cheque = math.exp(3.3 + 0.6 * rng.standard_normal())
        bargains = 0.6 * rng.random() ** 2
        lines = 1.0 + 5.3 * rng.random()
        visits = 0.5 + 9.3 * rng.random()
        grumbles = 0.12 * rng.random() ** 2
        sends_back = 0.25 * rng.random() ** 2
        favourite = int(40 * rng.random() ** 1.5)
        usual_channel = int(3 * rng.random())
        orders = 0
        cases = 0
        mood = 0.0
        while now < days and at - began < MOST_EVENTS - 60:
            # An order of several lines.
            bought = int(rng.poisson(lines - 1.0)) + 1
            reduced = rng.random() < bargains
            for _ in range(min(bought, 12)):
                money = round(cheque * math.exp(0.5 * rng.standard_normal() - 0.1 * mood), 2) + 0.01
                customer[at], kind[at], order[at], case[at] = first + k, _PURCHASE, orders, -1
                category[at] = favourite if rng.random() < 0.6 else int(40 * rng.random())
                channel[at] = usual_channel if rng.random() < 0.8 else int(3 * rng.random())
                occurred_at[at] = int(now * 86_400.0) * 1_000_000
                amount[at] = money
                discount[at] = round(0.2 * money, 2) if reduced else -1.0
                value[at] = -1.0
                at += 1
            mood *= 0.6
            # What follows from it.
            if rng.random() < sends_back:
                then = now + 2.0 + 8.0 * rng.random()
                at = _note(first + k, _RETURN, orders, -1, then, money, -1.0, days, at,
                           customer, kind, order, case, category, channel,
                           occurred_at, amount, discount, value)  # fmt: skip
                mood += 0.4
            if rng.random() < grumbles:
                then = now + 1.0 + 5.0 * rng.random()
                at = _note(first + k, _COMPLAINT, orders, cases, then, -1.0, -1.0, days, at,
                           customer, kind, order, case, category, channel,
                           occurred_at, amount, discount, value)  # fmt: skip
                mood += 1.0
                if rng.random() < 0.65:
                    then += 0.2 + 6.0 * rng.random()
                    at = _note(first + k, _RESOLVED, orders, cases, then, -1.0, -1.0, days, at,
                               customer, kind, order, case, category, channel,
                               occurred_at, amount, discount, value)  # fmt: skip
                    mood -= 0.7
                cases += 1
            if rng.random() < 0.12:
                stars = max(1.0, min(5.0, math.floor(5.3 - 1.5 * mood + rng.standard_normal())))
                then = now + 3.0 + 10.0 * rng.random()
                at = _note(first + k, _REVIEW, orders, -1, then, -1.0, stars, days, at,
                           customer, kind, order, case, category, channel,
                           occurred_at, amount, discount, value)  # fmt: skip
            orders += 1
            gone = rng.random() < leaves + 0.25 * min(mood, 1.0)
            # Christmas hastens them, January delays them; some drift away and come back.
            day_of_year = (now + 1.0) % 365.25
            season = 0.75 if day_of_year > 320.0 else (1.3 if day_of_year < 40.0 else 1.0)
            wait = 0.5 + gap * season * (1.0 + 0.3 * mood) * rng.gamma(regularity) / regularity
            if rng.random() < 0.08:
                wait += 30.0 + rng.exponential(120.0)
            gap *= math.exp(0.12 * rng.standard_normal())
            # Who is leaving looks in less; most visits lead to nothing.
            for _ in range(int(rng.poisson(visits * (0.7 if gone else 1.0)))):
                looked = _CART if rng.random() < 0.12 else _VISIT
                at = _note(first + k, looked, -1, -1, now + rng.random() * min(wait, 90.0), -1.0,
                           -1.0, days, at,
                           customer, kind, order, case, category, channel,
                           occurred_at, amount, discount, value)  # fmt: skip
            if gone:
                break
            now += wait
    return at


@compiled
def _note(
    who: int, what: int, order_of: int, case_of: int, then: float, money: float, stars: float,
    days: float, at: int,
    customer: Array, kind: Array, order: Array, case: Array, category: Array, channel: Array,
    occurred_at: Array, amount: Array, discount: Array, value: Array,
) -> int:  # fmt: skip
    """Write one event, unless it lies beyond the log's end; return the next position."""
    if then >= days:
        return at
    customer[at], kind[at], order[at], case[at] = who, what, order_of, case_of
    category[at], channel[at] = -1, -1
    occurred_at[at] = int(then * 86_400.0) * 1_000_000
    amount[at], discount[at], value[at] = money, -1.0, stars
    return at + 1


if __name__ == "__main__":
    print(f"{write(Path(sys.argv[1]), int(sys.argv[2])):,} events")
