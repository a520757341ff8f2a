"""Many threads that score, explain and answer lists while the model is swapped under them.

    python -m benchmarks threads

Every answer is held against the one that its model gave when nobody else was asking.
"""

import os
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Result, machine
from benchmarks.shop import NOW, simulated
from churn.bundle import load
from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.events import Event, Kind
from churn.registry import Registry
from churn.rows import CustomerRow
from churn.scoring import Scorer
from training.pipeline import train

CALLS, THREADS = 1_000_000, 16
CUSTOMERS = 3_000
AS_OF = 20_000 * DAY
LIST = 20
SWAP_SECONDS = 0.002


@dataclass(slots=True)
class Outcome:
    """What came of it: calls answered, answers that differ, errors, swaps of the model."""

    calls: int = 0
    wrong: int = 0
    errors: int = 0
    swaps: int = 0


def histories(n: int) -> list[list[Event]]:
    """Made-up customers: some buy, some complain, some visit; none is like another."""
    found = []
    for seed in range(n):
        rng = np.random.default_rng(seed)
        silence, gap = rng.uniform(0.5, 170.0), rng.uniform(2.0, 60.0)
        events = [
            Event(int(AS_OF - (silence + k * gap) * DAY), Kind.PURCHASE, amount=float(10 + k))
            for k in range(int(rng.integers(1, 12)))
        ]
        if rng.random() < 0.3:
            events.append(Event(int(AS_OF - rng.uniform(1, 90) * DAY), Kind.COMPLAINT))
        if rng.random() < 0.5:
            events.append(Event(int(AS_OF - rng.uniform(1, 90) * DAY), Kind.VISIT))
        found.append(events)
    return found


def hammer(
    scorers: Sequence[Scorer], known: Sequence[list[Event]], calls: int, threads: int
) -> Outcome:
    """Ask from many threads while the scorer that serves is swapped for another.

    Parameters
    ----------
    scorers : sequence of Scorer
        Take turns to serve.
    known : sequence of list of Event
        Customers' histories.
    calls, threads : int
        How many calls in all, from how many threads.
    """
    rows = [scorers[0].rows.of_events(f"c{n}", events, AS_OF) for n, events in enumerate(known)]
    X = np.array([row.numbers for row in rows])
    expected = {id(scorer): _answers(scorer, rows, X) for scorer in scorers}
    serving = [scorers[0]]
    outcome, told, over = Outcome(), threading.Lock(), threading.Event()

    def ask(seed: int, share: int) -> None:
        rng = np.random.default_rng(seed)
        wrong = errors = 0
        for what, at in zip(
            rng.integers(4, size=share), rng.integers(len(known) - LIST, size=share), strict=True
        ):
            scorer = serving[0]
            try:
                found = _ask(scorer, int(what), int(at), known, rows, X)
            except Exception:
                errors += 1
                continue
            wrong += found != _part(expected[id(scorer)], int(what), int(at))
        with told:
            outcome.calls += share
            outcome.wrong += wrong
            outcome.errors += errors

    def swap() -> None:
        while not over.wait(SWAP_SECONDS):
            outcome.swaps += 1
            serving[0] = scorers[outcome.swaps % len(scorers)]

    workers = [threading.Thread(target=ask, args=(n, calls // threads)) for n in range(threads)]
    swapper = threading.Thread(target=swap)
    swapper.start()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    over.set()
    swapper.join()
    return outcome


def run() -> Result:
    loaded = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="keepwell-bench-") as folder:
        scorers = two_models(Path(folder), CUSTOMERS)
    started = time.perf_counter()
    outcome = hammer(scorers, histories(200), CALLS, THREADS)
    seconds = time.perf_counter() - started
    return Result(
        title="Threads that share a model while it is swapped",
        notes=(
            f"{THREADS} threads ask at random for scores without reasons, for one customer's score "
            f"with reasons, for that of a history, and for lists of {LIST}; the model that serves "
            "is replaced every few milliseconds. Each answer must be that of the model it was "
            "asked of, to the last bit."
        ),
        columns=("calls", "swaps", "wrong answers", "errors", "s"),
        rows=[[outcome.calls, outcome.swaps, outcome.wrong, outcome.errors, seconds]],
        targets={"no wrong answer": f"{outcome.wrong} wrong, {outcome.errors} errors"},
        machine=machine(loaded),
    )


def two_models(folder: Path, customers: int) -> list[Scorer]:
    """Two models of one shop that differ by their seed."""
    config = simulated(folder / "shop", customers)
    for seed in (7, 8):
        chosen = config.training.model_copy(update={"seed": seed})
        other = config.model_copy(update={"training": chosen})
        train(other, folder / "models", now=NOW)
    registry = Registry(folder / "models")
    return [Scorer(load(registry.path(version))) for version in registry.versions()]


def _answers(scorer: Scorer, rows: Sequence[CustomerRow], X: Any) -> Mapping[str, list[Any]]:
    return {
        "one": [scorer.score_rows([row])[0] for row in rows],
        "bits": scorer.score_matrix(X, contributions=False).probability.tolist(),
    }


def _ask(
    scorer: Scorer, what: int, at: int, known: Sequence[list[Event]],
    rows: Sequence[CustomerRow], X: Any,
) -> Any:  # fmt: skip
    if what == 0:
        found = scorer.score_matrix(X[at : at + 1], contributions=False).probability
        return [number.hex() for number in found.tolist()]
    if what == 1:
        return scorer.score_rows([rows[at]])[0]
    if what == 2:
        return scorer.score_events(f"c{at}", known[at], AS_OF)
    return scorer.score_rows(rows[at : at + LIST])


def _part(expected: Mapping[str, list[Any]], what: int, at: int) -> Any:
    if what == 0:
        return [expected["bits"][at].hex()]
    if what in (1, 2):
        return expected["one"][at]
    return expected["one"][at : at + LIST]
