"""Random histories with everything a log can hold: lines, cases, delays, gaps and repeats."""

from collections.abc import Iterable, Mapping

import numpy as np

from churn.events import MICROSECONDS_PER_DAY, Event, EventLog, Kind, customer_log

DAY = MICROSECONDS_PER_DAY
BEGIN = 17_000 * DAY  # a day in 2016
SPAN_DAYS = 900
AS_OF = BEGIN + SPAN_DAYS * DAY

_OTHERS = [kind for kind in Kind if kind is not Kind.PURCHASE]
_OTHERS += [Kind.COMPLAINT, Kind.COMPLAINT_RESOLVED]  # both needed for what tells of either
_MONEY = {Kind.RETURN, Kind.CANCELLATION}
_CASES = {Kind.COMPLAINT, Kind.COMPLAINT_RESOLVED}
_RATED = {Kind.REVIEW, Kind.SURVEY, Kind.COMPLAINT_RESOLVED}


def random_history(rng: np.random.Generator) -> list[Event]:
    """One customer's events, in no order, a few of them twice."""
    events: list[Event] = []
    begins = rng.uniform(0, SPAN_DAYS)
    # Some buy often, some on a few days; some shops record neither amounts nor categories.
    priced, discounted, sorted_, named = rng.random(4) < 0.75
    for _ in range(int(rng.choice([0, 1, 2, 3, 5, 12, 30]))):
        moment = _moment(rng, begins)
        order_id = f"o{rng.integers(40)}" if named and rng.random() < 0.8 else None
        for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
            if rng.random() < 0.15:
                moment += int(rng.integers(2 * DAY))  # a line added later, perhaps the next day
            events.append(
                _delayed(
                    rng,
                    Event(
                        moment,
                        Kind.PURCHASE,
                        order_id,
                        amount=_cents(rng) if priced and rng.random() < 0.9 else None,
                        quantity=float(rng.integers(1, 5)) if rng.random() < 0.5 else None,
                        discount=float(rng.choice([0.0, 0.0, 5.5, 20.0]))
                        if discounted and rng.random() < 0.8
                        else None,
                        category=f"c{rng.integers(6)}" if sorted_ and rng.random() < 0.9 else None,
                        channel=str(rng.choice(["web", "shop"])),
                    ),
                )
            )
    for _ in range(int(rng.choice([0, 0, 2, 10, 40]))):
        kind = Kind(rng.choice(_OTHERS))
        events.append(
            _delayed(
                rng,
                Event(
                    _moment(rng, begins),
                    kind,
                    order_id=f"o{rng.integers(40)}" if kind in _MONEY else None,
                    amount=_cents(rng) if kind in _MONEY and rng.random() < 0.9 else None,
                    value=float(rng.integers(1, 6))
                    if kind in _RATED and rng.random() < 0.8
                    else None,
                    case_id=f"k{rng.integers(3)}"
                    if kind in _CASES and rng.random() < 0.6
                    else None,
                ),
            )
        )
    for event in list(events):
        if rng.random() < 0.05:
            events.append(event)
    return events


def _moment(rng: np.random.Generator, begins: float) -> int:
    """Some moments fall on whole hours, so that several events happen at once."""
    moment = BEGIN + int(rng.uniform(begins, SPAN_DAYS + 60) * DAY)
    return moment // (DAY // 24) * (DAY // 24) if rng.random() < 0.5 else moment


def _cents(rng: np.random.Generator) -> float:
    return float(rng.integers(1, 100_000)) / 100


def _delayed(rng: np.random.Generator, event: Event) -> Event:
    if rng.random() < 0.8:
        return event
    return event._replace(known_at=event.occurred_at + int(rng.uniform(0, 60) * DAY))


def random_histories(n: int, seed: int) -> dict[str, list[Event]]:
    """Histories of n customers."""
    rng = np.random.default_rng(seed)
    return {f"c{i:04d}": random_history(rng) for i in range(n)}


def log_of(histories: Mapping[str, Iterable[Event]]) -> EventLog:
    """One log of many customers, who share codes as the customers of a bucket do."""
    logs = [customer_log(name, events) for name, events in histories.items()]
    sizes = [log.n_events for log in logs]
    columns = {
        name: np.concatenate([getattr(log, name) for log in logs])
        for name in EventLog._fields
        if name != "offsets"
    }
    return EventLog(**columns, offsets=np.cumsum([0, *sizes], dtype=np.int64))
