"""What the endpoints of one app share."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request

from service.access.holder import KeyHolder
from service.audit.audit import Audit
from service.body import Arriving
from service.contacts import Deliveries
from service.deadlines import Deadlines
from service.drain import Drain
from service.freshness import Freshness
from service.management import Management
from service.metrics import Metrics
from service.models import Loaded, ModelHolder
from service.problems import MODEL_UNAVAILABLE, Problem
from service.rooms import Rooms
from service.settings import Settings
from service.store.database import Database
from service.store.decisions import Decisions
from service.store.histories import Histories
from service.store.outcomes import Outcomes
from service.store.reading import Reading
from service.store.recorded import Scores
from service.store.recorder import Recorder
from service.together import Together

if TYPE_CHECKING:
    # Their reading of lists needs this module.
    from service.erasure import Eraser
    from service.jobs.desk import Desk


@dataclass(frozen=True, slots=True)
class State:
    """One app's settings, metrics, model, clock, store and jobs, and the threads of long work.

    One thread scores (`worker`): more of them would only take turns at the interpreter, and make
    the event loop wait for each. One writes (`writer`), as the store has one writer at a time. One
    erases people (`clearing`). `rooms` bound how many wait for them.
    """

    settings: Settings
    metrics: Metrics
    models: ModelHolder
    clock: Callable[[], int]
    worker: ThreadPoolExecutor
    store: Database
    histories: Histories
    writer: ThreadPoolExecutor
    eraser: "Eraser"
    clearing: ThreadPoolExecutor
    rooms: Rooms
    bodies: Arriving
    together: Together
    deadlines: Deadlines
    reading: Reading
    scores: Scores
    recorder: Recorder
    decisions: Decisions
    outcomes: Outcomes
    deliveries: Deliveries
    freshness: Freshness
    management: Management
    jobs: "Desk"
    drain: Drain
    keys: KeyHolder | None
    audit: Audit | None

    def loaded(self) -> Loaded:
        """Return the model that serves now.

        Raises
        ------
        Problem
            There is none.
        """
        if self.models.current is None:
            raise Problem(
                MODEL_UNAVAILABLE,
                "No model is loaded: train one with `keepwell train -c keepwell.toml` into the "
                "folder that KEEPWELL_MODELS_DIR names; it is picked up within seconds.",
                headers={"Retry-After": "5"},
            )
        return self.models.current


def state_of(request: Request) -> State:
    """Return the state of the app that serves a request."""
    state: State = request.app.state.keepwell
    return state


def count_failure(metrics: Metrics, problem: Problem) -> None:
    """Count a refused request or row under each of its codes."""
    for code in {error.code for error in problem.errors}:
        metrics.validation_failures[code].inc()
