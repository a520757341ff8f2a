"""How well the model did on those whom it scored, looked up beside the requests.

Of recorded scores, once their horizon has passed in the stored orders. Whoever got a retention
action meanwhile tells nothing of what would have happened without, and is left out; whoever was
held out from one stands for them, as training has it.
"""

import logging
from dataclasses import asdict

import numpy as np

from churn.events import MICROSECONDS_PER_DAY
from churn.realised import realised
from service import logs
from service.background import always
from service.metrics import Told
from service.models import ModelHolder
from service.store import matured
from service.store.database import Database

EVERY_SECONDS = 10.0
"""How often is asked whether more is known; what became of customers is counted once a day."""
DAYS = 28
"""Of how many days the scores are judged, whole weeks."""
LEAST_CUSTOMERS = 200
MOST_REPEATS = 20.0
"""For how many of those who got an action one who was held out stands at most."""

_log = logging.getLogger(f"{logs.ROOT}.realised")


class Realised:
    """Tells how well the scores of the last matured days did.

    Parameters
    ----------
    database : Database
        Where scores, orders and decisions are.
    models : ModelHolder
        Whose lead time and horizon say when a score has matured.
    """

    def __init__(self, database: Database, models: ModelHolder) -> None:
        self._database = database
        self._models = models
        self._counted_for: tuple[int, str] | None = None
        self._counted: Told = {}
        self._told: Told = {}

    def told(self) -> Told:
        """What is known, by metric."""
        return self._told

    def look(self) -> None:
        """Find out until when outcomes are known, and count them if that is another day.

        Raises
        ------
        StoreUnavailable, StoreTooNew
            It cannot be known now; what was known stays.
        """
        serving = self._models.current
        known_until = None if serving is None else matured.orders_known_until(self._database)
        if serving is None or known_until is None:
            return
        manifest = serving.manifest
        days = manifest.lead_time_days + manifest.horizon_days
        until = known_until - days * MICROSECONDS_PER_DAY
        for_what = until // MICROSECONDS_PER_DAY, serving.version
        if for_what != self._counted_for:
            self._counted = self._count(until, manifest.lead_time_days, manifest.horizon_days)
            self._counted_for = for_what
        self._told = {"label_maturity_timestamp_seconds": until / 1e6, **self._counted}

    def _count(self, until: int, lead_time_days: int, horizon_days: int) -> Told:
        end = until // MICROSECONDS_PER_DAY * MICROSECONDS_PER_DAY
        start = end - DAYS * MICROSECONDS_PER_DAY
        scored = matured.first_scores(self._database, start, end)
        # A model of a longer horizon may have said them: those are not known yet.
        scored = {who: one for who, one in scored.items() if one.horizon_days <= horizon_days}
        became = list(matured.outcomes(self._database, scored, lead_time_days))
        treated = sum(one.treated for one in became)
        held = sum(one.withheld for one in became)
        counted = [one for one in became if not one.treated]
        parts = {
            "counted": len(counted),
            "treated": treated,
            "withheld": held,
            "unknown": len(scored) - len(became),
        }
        if len(counted) < LEAST_CUSTOMERS:
            return {"realised_customers": parts}
        repeats = min((treated + held) / held, MOST_REPEATS) if held else 1.0
        found = realised(
            np.array([one.is_churn for one in counted]),
            np.array([one.probability for one in counted]),
            np.array([repeats if one.withheld else 1.0 for one in counted]),
        )
        figures = {f"realised_{name}": value for name, value in asdict(found).items()}
        _log.info("outcomes counted", extra={"fields": {"customers": len(counted)}})
        return {"realised_customers": parts, **figures}


async def look_always(realised: Realised, seconds: float = EVERY_SECONDS) -> None:
    """Look at once and then for ever, beside the requests."""
    await always(realised.look, seconds, _log, "what became of customers could not be counted")
