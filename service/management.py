"""Management figures of the stored log: computed beside the requests, and kept for a while.

Every history is read, so a thread does it, one asking at a time; whoever asks for the same
meanwhile gets the same answer. What kind of customers were lost is asked of the model about a
random part of them, since each takes a whole score.
"""

import asyncio
import random
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from churn.compiled import Codes, Floats, Integers
from churn.features import features, mask_absent_feeds
from churn.history import History
from churn.lost import BY, lost_by
from churn.retention import DEFINITIONS, Period, Tally, figures, is_lost, tally
from churn.scoring import Scorer
from service import instants
from service.metrics import Metrics
from service.models import Loaded
from service.problems import overloaded
from service.store.database import Database
from service.store.exporting import Exporting
from service.store.tombstones import Erasures, erasures

KEPT_SECONDS = 900.0
MOST_KEPT = 16
MOST_MADE = 4
"""Periods whose figures are being made or wait for that."""
MOST_LOST = 5_000
"""So many of the lost are asked about: their shares are then off by 1.4 points at most, in 95% of
cases."""
USUAL_MARGIN_RATE = 0.30


class Asked(NamedTuple):
    """What is asked: a period, the model that says who is a customer, and who is forgotten.

    Whoever is erased, by whatever process, makes another question of it, so nothing that was
    computed with them is told any more.
    """

    period: Period
    model_version: str
    forgotten: Erasures


class _Page(NamedTuple):
    offsets: Integers
    time: Integers
    kind: Codes
    amount: Floats


class Management:
    """Tells the figures of one store.

    Parameters
    ----------
    database : Database
        The store.
    clock : callable
        The present, microseconds since 1970-01-01 UTC.
    metrics : Metrics
        Told of who is sent away.
    """

    def __init__(self, database: Database, clock: Callable[[], int], metrics: Metrics) -> None:
        self._database = database
        self._metrics = metrics
        self._clock = clock
        self._one = asyncio.Lock()
        self._making: dict[Asked, asyncio.Task[dict[str, Any]]] = {}
        self._kept: OrderedDict[Asked, tuple[int, dict[str, Any]]] = OrderedDict()

    async def figures(self, period: Period, loaded: Loaded) -> dict[str, Any]:
        """The figures of a period, at most `KEPT_SECONDS` old, and none of who is erased by now.

        They are made to their end although nobody waits any more, for whoever asks again.

        Raises
        ------
        Problem
            The figures of too many periods are being made.
        StoreUnavailable, StoreTooNew
            They cannot be known now.
        """
        forgotten = await asyncio.to_thread(_forgotten, self._database)
        asked = Asked(period, loaded.version, forgotten)
        known = self._kept.get(asked)
        if known is not None and self._clock() - known[0] < KEPT_SECONDS * 1e6:
            return known[1]
        making = self._making.get(asked)
        if making is None:
            if len(self._making) >= MOST_MADE:
                self._metrics.requests_shed["retention"].inc()
                raise overloaded("The figures of other periods are being made; ask again later.")
            making = self._making[asked] = asyncio.create_task(self._make(asked, loaded))
            making.add_done_callback(partial(self._made, asked))
        return await asyncio.shield(making)

    async def _make(self, asked: Asked, loaded: Loaded) -> dict[str, Any]:
        async with self._one:
            at = self._clock()
            told = await asyncio.to_thread(_told, self._database, asked.period, loaded, at)
        self._kept[asked] = at, told
        self._kept.move_to_end(asked)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return told

    def _made(self, asked: Asked, task: "asyncio.Task[dict[str, Any]]") -> None:
        if self._making.get(asked) is task:
            del self._making[asked]
        if not task.cancelled():
            task.exception()  # whoever waits is told; if nobody does, it is of no interest


def _forgotten(database: Database) -> Erasures:
    with database.reading(single=True) as connection:
        return erasures(connection)


def _told(database: Database, period: Period, loaded: Loaded, at: int) -> dict[str, Any]:
    exporting = Exporting(database)
    counted, sample = _counted(exporting, period)
    manifest = loaded.manifest
    rate = USUAL_MARGIN_RATE if manifest.value is None else manifest.value.margin_rate
    asked = len(sample)
    shares: dict[str, dict[str, float]] | None = None
    if loaded.scorer.schema.loop and asked:
        counts = _lost_by(loaded.scorer, sample, period.start, exporting.received)
        shares = {name: {kind: n / asked for kind, n in counts[name].most_common()} for name in BY}
    return {
        "start": instants.text(period.start),
        "end": instants.text(period.end),
        "inactivity_days": period.inactivity_days,
        "currency": manifest.currency,
        "computed_at": instants.text(at),
        **asdict(figures(counted, period, margin_rate=rate)),
        "lost_by": shares,
        "lost_asked": asked,
        "model_version": loaded.version,
        "definitions": dict(DEFINITIONS),
    }


def _counted(exporting: Exporting, period: Period) -> tuple[Tally, list[tuple[str, History]]]:
    """Count everybody, and keep a random part of the lost."""
    counted, lost = Tally(), 0
    sample: list[tuple[str, History]] = []
    chance = random.Random(period.start)
    for histories in exporting.pages():
        page = _page(histories, exporting.received)
        counted.add(tally(page, period))
        for at in np.flatnonzero(is_lost(page, period)).tolist():
            lost += 1
            if len(sample) < MOST_LOST:
                sample.append(histories[at])
            elif (place := chance.randrange(lost)) < MOST_LOST:
                sample[place] = histories[at]
    return counted, sample


def _page(histories: list[tuple[str, History]], received: int) -> _Page:
    columns = [history.columns(received) for _, history in histories]
    lengths = [len(one[0]) for one in columns]
    return _Page(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.array([at for one in columns for at in one[0]], dtype=np.int64),
        np.array([kind for one in columns for kind in one[1]], dtype=np.int8),
        np.array([amount for one in columns for amount in one[3]], dtype=np.float64),
    )


def _lost_by(
    scorer: Scorer, lost: list[tuple[str, History]], as_of: int, received: int
) -> dict[str, Counter[str]]:
    n_extras = len(scorer.schema.extras)
    rows = []
    for who, history in lost:
        row = features(history.log(who, received), as_of, scorer.settings)
        mask_absent_feeds(row, scorer.feeds)
        rows.append(np.hstack([row, np.full((1, n_extras), np.nan)]))
    return lost_by(scorer, np.concatenate(rows))
