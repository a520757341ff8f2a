"""A second model scored beside the one that serves: what it would have said is counted, never told.

What was answered is put into a queue, with the rows that it was answered from; one thread takes
them from there, many at a time, and compares. A full queue drops: nobody ever waits for a shadow.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np

from churn.compiled import Floats
from churn.errors import BundleUnsupported
from churn.events import Feed
from churn.manifest import Manifest
from churn.registry import SHADOW, Registry
from churn.rows import CustomerRow
from churn.scores import BANDS, STATUSES, CustomerScore
from churn.scoring import Scorer
from service import logs
from service.metrics import Metrics
from service.patience import Patience

MOST_WAITING = 2_000
"""Rows in the queue."""
GATHERING_SECONDS = 0.05
"""How long rows are gathered: together each costs a quarter of what it would alone (7 us of 29)."""
_SCORED = STATUSES.index("scored")
_Feeds = frozenset[Feed] | None
_Pair = tuple[CustomerRow, CustomerScore]

_log = logging.getLogger(f"{logs.ROOT}.shadow")


@dataclass(frozen=True, slots=True)
class Shadow:
    """A model that can be held against the one that serves, and who does it.

    Attributes
    ----------
    version : str
        Of the model.
    scorer : Scorer
        Its scorer.
    live : Scorer
        That of the model that serves.
    worker : Worker
        Compares the two.
    """

    version: str
    scorer: Scorer
    live: Scorer
    worker: "Worker"

    def is_of(self, version: str, live: Scorer) -> bool:
        """Whether it holds this version against this model."""
        return self.version == version and self.live.bundle is live.bundle

    def offer(self, rows: Sequence[CustomerRow], scores: Sequence[CustomerScore]) -> None:
        """Hand over what was answered; takes microseconds, and never waits."""
        self.worker.offer(_Answered(self, rows, scores))

    def recoded(self, X: Floats) -> Floats:
        """Rows of the live model's input columns as the shadow's: categories have its codes."""
        if not self.live.schema.coded:
            return X
        out = np.array(X)
        first = self.live.schema.first_extra
        for at in self.live.schema.coded:
            here, there = (one.schema.extras[at - first] for one in (self.live, self.scorer))
            out[:, at] = [there.encode(here.decode(code)) for code in X[:, at].tolist()]
        return out


class _Answered(NamedTuple):
    shadow: Shadow
    rows: Sequence[CustomerRow]
    scores: Sequence[CustomerScore]


class Shadows:
    """Keeps the registry's shadow loaded, as long as it can be held against what serves.

    Parameters
    ----------
    registry : Registry
        Its file `shadow` names the version.
    metrics : Metrics
        Told of every attempt to load, and of every comparison.
    load : callable
        Makes a scorer of a bundle's folder.
    """

    def __init__(
        self, registry: Registry, metrics: Metrics, load: Callable[[Path], Scorer]
    ) -> None:
        self._registry = registry
        self._metrics = metrics
        self._load = load
        self._worker = Worker(metrics)
        self._patience = Patience()
        self._current: Shadow | None = None

    def refresh(self, live: Scorer | None) -> Shadow | None:
        """The shadow of a model that serves; None where there is none. Never raises."""
        version: str | None = SHADOW  # as long as the pointer itself cannot be read
        try:
            version = self._registry.shadow()
            if live is None or version in (None, live.bundle.version):
                self._end()
                return None
            assert version is not None
            current = self._current
            if current is not None and current.is_of(version, live):
                return current
            if self._patience.waits(version):
                return None
            if current is not None and current.version == version:
                scorer = current.scorer  # another model serves now
            else:
                scorer = self._load(self._registry.path(version))
            check_comparable(live, scorer)
        except Exception as error:
            if not (version == SHADOW and self._patience.waits(SHADOW)):
                self._end()
                self._patience.refused(version)
                self._metrics.shadow_reloads["error"].inc()
                told = {"version": version, "error": f"{type(error).__name__}: {error}"}
                _log.error("the shadow model could not be loaded", extra={"fields": told})
            return None
        self._end()
        self._current = Shadow(version, scorer, live, self._worker)
        self._metrics.shadow_reloads["ok"].inc()
        self._metrics.shadow_info.labels(version, scorer.bundle.sha256).set(1)
        _log.info("shadow model loaded", extra={"fields": {"version": version}})
        return self._current

    def _end(self) -> None:
        self._current = None
        self._patience.end()
        self._metrics.shadow_info.clear()


def check_comparable(live: Scorer, shadow: Scorer) -> None:
    """Refuse a shadow of which nothing could be told beside the model that serves.

    Raises
    ------
    BundleUnsupported
        It answers another question, or reads other columns.
    """
    version = shadow.bundle.version
    if _question(live.bundle.manifest) != _question(shadow.bundle.manifest):
        raise BundleUnsupported(
            f"{version} answers another question than the model that serves (horizon, lead time, "
            "inactivity or observation window differ): the two cannot be compared"
        )
    kinds = [[(column.name, column.kind) for column in one.schema.extras] for one in (live, shadow)]
    if live.schema.loop != shadow.schema.loop or kinds[0] != kinds[1]:
        raise BundleUnsupported(
            f"{version} reads other columns than the model that serves: the two cannot be compared"
        )


def _question(manifest: Manifest) -> tuple[int, int, int, int]:
    return (
        manifest.horizon_days,
        manifest.lead_time_days,
        manifest.inactivity_days,
        manifest.observation_window_days,
    )


class Worker:
    """The thread that compares, and its queue.

    Parameters
    ----------
    metrics : Metrics
        Told of every comparison, and of what was dropped.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._queue: SimpleQueue[_Answered] = SimpleQueue()
        self._waiting = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def offer(self, answered: _Answered) -> None:
        """Put answers into the queue, or drop them where it is full."""
        n = len(answered.rows)
        with self._lock:
            if self._waiting + n > MOST_WAITING:
                self._metrics.shadow_rows["dropped"].inc(n)
                return
            self._waiting += n
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="keepwell-shadow", daemon=True
                )
                self._thread.start()
        self._queue.put(answered)

    @property
    def is_idle(self) -> bool:
        """Whether everything that was offered is compared, or dropped."""
        return self._waiting == 0

    def _work(self) -> None:
        while True:
            found = [self._queue.get()]
            time.sleep(GATHERING_SECONDS)
            while not self._queue.empty():
                found.append(self._queue.get())
            for (shadow, feeds), pairs in _together(found).items():
                try:
                    self._compare(shadow, feeds, pairs)
                except Exception as error:
                    self._metrics.shadow_rows["error"].inc(len(pairs))
                    # The kind alone: the words of an error may hold a customer's numbers.
                    _log.warning(
                        "answers could not be compared with the shadow model's",
                        extra={
                            "fields": {"version": shadow.version, "error": type(error).__name__}
                        },
                    )
            with self._lock:
                self._waiting -= sum(len(answered.rows) for answered in found)

    def _compare(self, shadow: Shadow, feeds: _Feeds, pairs: Sequence[_Pair]) -> None:
        """Score rows of the same feeds and count how the answers differ."""
        X = shadow.recoded(np.array([row.numbers for row, _ in pairs]))
        scores = shadow.scorer.score_matrix(X, feeds=feeds, contributions=False)
        metrics = self._metrics
        told = zip(
            pairs, scores.status.tolist(), scores.probability.tolist(), scores.band.tolist(),
            strict=True,
        )  # fmt: skip
        for (_, live), status, probability, band in told:
            if status != _SCORED or live.churn_probability is None:
                metrics.shadow_rows["not_scored"].inc()
                continue
            metrics.shadow_rows["compared"].inc()
            answered = live.churn_probability
            metrics.shadow_probability_difference.observe(abs(probability - answered))
            metrics.shadow_probability_sum["live"].inc(answered)
            metrics.shadow_probability_sum["shadow"].inc(probability)
            metrics.shadow_bands[str(live.risk_band), BANDS[band]].inc()


def _together(found: Sequence[_Answered]) -> dict[tuple[Shadow, _Feeds], list[_Pair]]:
    """What was answered with a probability, by what can be scored at once."""
    together: dict[tuple[Shadow, _Feeds], list[_Pair]] = {}
    for shadow, rows, scores in found:
        for row, score in zip(rows, scores, strict=True):
            if score.churn_probability is not None:
                together.setdefault((shadow, row.feeds), []).append((row, score))
    return together
