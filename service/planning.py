"""`POST /v1/plan`: who of a list gets what, under a budget and so many places."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import orjson
from starlette.types import Receive, Scope

from churn.history import History
from churn.policy.contacts import Contact
from service import body, instants
from service.contacts import UNKNOWN, added
from service.context import id_of, route_template
from service.direct import Reply
from service.jobs.job import Job
from service.jobs.prepared import Block, Prepared, of_rows
from service.jobs.sent import Row
from service.marks import Marks
from service.models import Loaded
from service.plan import words
from service.plan.crowds import options_of_block
from service.plan.making import Plan, make
from service.plan.options import NOBODY, WHY, joined
from service.problems import NOT_FOUND, Problem, invalid_field
from service.schemas import PlanLimits
from service.state import State, count_failure
from service.validation import FIELD_NAMES, check_count, nearest, parse, plan_limits

_NAMES = FIELD_NAMES | set(PlanLimits.model_fields)
_EVER = 1 << 62
"""The number of a write that is after all others."""


async def plan(state: State, scope: Scope, receive: Receive) -> Reply:
    """Answer `POST /v1/plan`.

    Raises
    ------
    Problem
        The request is wrong, no model is loaded, or the solver is not installed.
    StoreUnavailable, StoreTooNew
        Stored histories that are to be scored cannot be read now.
    """
    if find_spec("scipy") is None:
        raise Problem(
            NOT_FOUND,
            "Plans are not installed on this server; its operator adds them by installing "
            "keepwell[plan].",
        )
    headers = body.told(scope)
    body.media_type(headers, (body.JSON,))
    raw = await body.read(headers, receive, state.settings.max_batch_body_bytes, state.bodies)
    with state.rooms.lists:
        return await _planned(state, Planning(state, scope, state.loaded()), raw)


async def _planned(state: State, planning: "Planning", raw: bytes) -> Reply:
    loop = asyncio.get_running_loop()
    by_id = await loop.run_in_executor(state.worker, planning.take, raw)
    found: Mapping[str, History] = {}
    marks: Marks | None = None
    if by_id:
        marks = await state.freshness.marks()
        found = await state.reading.histories(by_id)
    delivered: Mapping[str, Sequence[Contact]] = {}
    if state.deliveries.any:
        delivered = await state.reading.contacts(planning.customers, 0)
    answer = partial(planning.answer, found, marks, delivered)
    content = await loop.run_in_executor(state.worker, answer)
    return Reply(content, body.JSON, planning.loaded.version)


class Planning:
    """One request's plan.

    Parameters
    ----------
    state : State
        Of the app.
    scope : dict
        Of the request.
    loaded : Loaded
        The model.
    """

    def __init__(self, state: State, scope: Scope, loaded: Loaded) -> None:
        self.loaded = loaded
        self._state = state
        self._request_id = id_of(scope)
        self._instance = route_template(scope)
        self._now = state.clock()
        self._limits = PlanLimits()
        self._rows: list[Row] = []
        self.customers: list[str] = []

    def take(self, raw: bytes) -> list[str]:
        """Check the body; return the customers of whom nothing but an id was sent.

        Raises
        ------
        Problem
            The request as a whole is wrong.
        """
        document = parse(raw, _NAMES)
        if not isinstance(document, dict) or not isinstance(document.get("customers"), list):
            raise invalid_field(
                'The body must be {"customers": [...], "budget": ..., "capacity": {...}}.',
                "/customers",
                "not_an_array",
            )
        customers = document.pop("customers")
        self._limits = plan_limits(document)
        check_count(len(customers), self._state.settings.max_batch_customers)
        self._check_actions()
        seen: set[str] = set()
        by_id = []
        for customer in customers:
            item = {"customer_id": customer} if isinstance(customer, str) else customer
            who = item.get("customer_id") if isinstance(item, dict) else None
            self._rows.append(Row(item, _wrong(item, seen)))
            if isinstance(who, str):
                seen.add(who)
                if item.get("events") is None and item.get("features") is None:
                    by_id.append(who)
        self.customers = sorted(seen)
        return by_id

    def answer(
        self,
        found: Mapping[str, History],
        marks: Marks | None,
        delivered: Mapping[str, Sequence[Contact]],
    ) -> bytes:
        """Make the plan and put it into JSON."""
        prepared = self._prepared(found, marks)
        reach = self.loaded.scorer.policy.ready.reach
        blocks = [_contacted(block, delivered, reach) for block in prepared.blocks]
        prepared = prepared._replace(blocks=blocks)
        places = np.concatenate([np.empty(0, np.int64), *(b.places for b in prepared.blocks)])
        ids = [who for block in prepared.blocks for who in block.customer_id]
        scorer = self.loaded.scorer
        budget = self._limits.budget
        parts = [options_of_block(scorer, block) for block in prepared.blocks]
        made: Plan | None = None
        if parts:
            order = np.argsort(places, kind="stable")  # of equals the first sent comes first
            made = make(
                joined(parts).taken(order),
                budget=math.inf if budget is None else budget,
                capacity=self._capacity(),
            )
            ids = [ids[at] for at in order.tolist()]
        return orjson.dumps(self._document(prepared, made, ids))

    def _prepared(self, found: Mapping[str, History], marks: Marks | None) -> Prepared:
        asked = Job(
            job_id="plan",
            input_format="ndjson",
            results_format="ndjson",
            as_of=self._now,
            received=_EVER,
            model_version=self.loaded.version,
            marks=marks,
        )
        return of_rows(
            self._rows,
            asked,
            self.loaded,
            lambda ids: {who: found[who] for who in ids if who in found},
            self._state.jobs.limits,
        )

    def _capacity(self) -> dict[str, int]:
        """The places of each limited action: the policy's, unless the request names others."""
        actions = self.loaded.scorer.policy.actions
        own = {
            code: action.capacity for code, action in actions.items() if action.capacity is not None
        }
        return own | self._limits.capacity

    def _check_actions(self) -> None:
        actions = self.loaded.scorer.policy.actions
        for place, code in enumerate(self._limits.capacity, 1):
            if code not in actions:
                near = nearest(code, actions)
                hint = f"did you mean `{near}`?" if near else "GET /v1/actions lists them."
                raise invalid_field(
                    f"Member {place} of /capacity is not an action of the policy; {hint}",
                    "/capacity",
                    "unknown_action",
                )

    def _document(self, prepared: Prepared, made: Plan | None, ids: list[str]) -> dict[str, Any]:
        scorer, budget = self.loaded.scorer, self._limits.budget
        currency = scorer.bundle.manifest.currency
        assigned, withheld, left_out = [], [], []
        if made is not None:
            actions = scorer.policy.actions
            for at, who in enumerate(ids):
                position = int(made.action[at])
                if position == NOBODY:
                    left_out.append({"customer_id": who, "reason": WHY[made.why[at]]})
                    continue
                code = made.codes[position]
                if made.withheld[at]:
                    withheld.append({"customer_id": who, "action": code})
                    continue
                value = float(made.expected_value[at])
                assigned.append(
                    {
                        "customer_id": who,
                        "action": code,
                        "channel": actions[code].channel,
                        "owed": bool(made.owed[at]),
                        "cost": float(made.cost[at]),
                        "expected_value": None if math.isnan(value) else value,
                    }
                )
        for who, _ in prepared.unknown.values():
            left_out.append({"customer_id": who, "reason": "not_scored"})
        reasons = {one["reason"] for one in left_out}
        return {
            "assignments": assigned,
            "withheld": withheld,
            "left_out": left_out,
            "cost": 0.0 if made is None else made.spent,
            "expected_value": 0.0 if made is None else made.value,
            "upper_bound": 0.0 if made is None else made.upper_bound,
            "service_cost": 0.0 if made is None else made.service_cost,
            "currency": currency,
            "shadow_prices": {} if made is None else words.shadow_prices(made, budget),
            "notes": [
                *([UNKNOWN] if self._state.deliveries.any is None else []),
                *([] if made is None else words.prices(made, budget, currency)),
                *(f"{code}: {text}" for code, text in words.REASONS.items() if code in reasons),
            ],
            "errors": [
                self._refusal(index, problem)
                for index, (_, problem) in sorted(prepared.refused.items())
            ],
            "model_version": self.loaded.version,
            "policy_version": scorer.policy.version,
            "as_of": instants.text(self._now),
            "request_id": self._request_id,
        }

    def _refusal(self, index: int, problem: Problem) -> dict[str, Any]:
        count_failure(self._state.metrics, problem)
        document = problem.document(instance=self._instance, request_id=self._request_id)
        return {"index": index, **document}


def _contacted(block: Block, delivered: Mapping[str, Sequence[Contact]], reach: int) -> Block:
    """A block that knows of what was delivered to its customers."""
    if not delivered:
        return block
    rows = [added(row, delivered.get(row.customer_id, ()), reach) for row in block.rows()]
    return block._replace(contacts=[row.contacts for row in rows])


def _wrong(item: Any, seen: set[str]) -> Problem | None:
    """What keeps a customer out of a plan, beside what is wrong with any request."""
    if not isinstance(item, dict):
        return None
    who = item.get("customer_id")
    if isinstance(who, str) and who in seen:
        return invalid_field(
            "/customer_id is in the list already; a customer gets one action at most.",
            "/customer_id",
            "duplicate_customer",
        )
    if item.get("record"):
        return invalid_field(
            "/record is said of a plan as a whole, not of a customer.", "/record", "not_recorded"
        )
    return None
