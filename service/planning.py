"""`POST /v1/plan`: who of a list gets what, under a budget and so many places."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import orjson
from pydantic import ValidationError
from starlette.types import Receive, Scope

from churn.events import MICROSECONDS_PER_DAY
from churn.history import History
from churn.policy.contacts import Contact
from churn.scores import MatrixScores
from service import body, instants
from service.columns import count_features
from service.contacts import UNKNOWN
from service.context import id_of, route_template
from service.direct import Reply
from service.faults import nearest
from service.jobs.job import Job
from service.jobs.prepared import Block, Prepared, contacted, of_rows
from service.jobs.sent import Row
from service.marks import Marks
from service.models import Loaded
from service.plan import words
from service.plan.answer import told
from service.plan.crowds import options_of_block
from service.plan.decided import decisions
from service.plan.making import Plan
from service.plan.noted import Noted
from service.plan.options import Options, joined
from service.plan.standing import Book, make_around
from service.problems import NOT_FOUND, Problem, invalid_field
from service.schemas import IDENTIFIER, PlanLimits
from service.state import State, count_failure
from service.store.decisions import Decided
from service.store.recorder import Standing
from service.validation import FIELD_NAMES, check_count, parse, plan_limits

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
    weigh = partial(planning.weigh, found, marks, delivered)
    await loop.run_in_executor(state.worker, weigh)
    if planning.is_recorded:
        find = partial(state.decisions.standing, set(planning.book.keys))
        planning.book.read(await state.reading.call(find))
    decided = await loop.run_in_executor(state.worker, planning.decided)
    if decided:
        planning.settle(decided, await state.recorder.record((), decided))
    content = await loop.run_in_executor(state.worker, planning.content)
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

    Attributes
    ----------
    customers : list of str
        Everybody who was sent.
    book : Book
        What is recorded of those who were scored.
    """

    def __init__(self, state: State, scope: Scope, loaded: Loaded) -> None:
        self.loaded = loaded
        self.customers: list[str] = []
        self.book = Book([])
        self._state = state
        self._request_id = id_of(scope)
        self._scope = scope
        self._instance = route_template(scope)
        self._now = state.clock()
        self._limits = PlanLimits()
        self._rows: list[Row] = []
        self._prepared = Prepared(0, [], {}, {})
        self._options: Options | None = None
        self._noted: Noted | None = None
        self._as_of: list[int] = []
        self._made: Plan | None = None

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
            if isinstance(who, str) and _is_identifier(who):
                seen.add(who)
                if item.get("events") is None and item.get("features") is None:
                    by_id.append(who)
        self.customers = sorted(seen)
        return by_id

    @property
    def is_recorded(self) -> bool:
        """Whether its decisions are to be recorded."""
        return self._limits.record

    def weigh(
        self,
        found: Mapping[str, History],
        marks: Marks | None,
        delivered: Mapping[str, Sequence[Contact]],
    ) -> None:
        """Score everybody, and weigh what may be done about each."""
        scorer = self.loaded.scorer
        self._prepared = self._ready(found, marks)
        blocks = [
            contacted(block, delivered, scorer.policy.ready.reach)
            for block in self._prepared.blocks
        ]
        if not blocks:
            return
        parts = [
            options_of_block(scorer, block, record=self.is_recorded, seen=self._seen)
            for block in blocks
        ]
        # Of equals the first sent comes first.
        order = np.argsort(np.concatenate([block.places for block in blocks]), kind="stable")
        self._options = joined([options for options, _ in parts]).taken(order)
        if self.is_recorded:
            self._noted = Noted.joined([noted for _, noted in parts if noted]).taken(order)
        keys = [
            (who, as_of // MICROSECONDS_PER_DAY)
            for block in blocks
            for who, as_of in zip(block.customer_id, block.as_of.tolist(), strict=True)
        ]
        self.book = Book([keys[at] for at in order.tolist()])
        self._as_of = np.concatenate([block.as_of for block in blocks])[order].tolist()

    def decided(self) -> list[Decided]:
        """Make the plan; tell what it decided, if that is to be recorded."""
        if self._options is None:
            return []
        scorer, budget = self.loaded.scorer, self._limits.budget
        self._made = make_around(
            self._options,
            self.book.standing,
            budget=math.inf if budget is None else budget,
            capacity=self._capacity(),
        )
        if self._noted is None:
            return []
        rows = self.book.undecided
        return list(decisions(scorer, self._options, self._made, self._noted, rows, self._now))

    def settle(self, decided: Sequence[Decided], standing: Standing) -> None:
        """Learn what stands now that the plan is recorded."""
        assert self._made is not None
        self.book.keep(decided, standing)
        self._made = self.book.settled(self._made, self.loaded.scorer.policy)

    def content(self) -> bytes:
        """Put the plan into JSON."""
        scorer, made, budget = self.loaded.scorer, self._made, self._limits.budget
        currency = scorer.bundle.manifest.currency
        lists = told(made, self.book, scorer.policy, names=self.is_recorded)
        for who, _ in self._prepared.unknown.values():
            lists["left_out"].append({"customer_id": who, "reason": "not_scored"})
        reasons = {one["reason"] for one in lists["left_out"]}
        document = {
            **lists,
            "cost": 0.0 if made is None else made.spent,
            "expected_value": 0.0 if made is None else made.value,
            "upper_bound": 0.0 if made is None else made.upper_bound,
            "service_cost": 0.0 if made is None else made.service_cost,
            "currency": currency,
            "shadow_prices": {} if made is None else words.shadow_prices(made, budget),
            "notes": [
                *([UNKNOWN] if self._state.deliveries.any is None else []),
                *([] if made is None else words.prices(made, budget, currency)),
                *words.kept(self.book.n_standing),
                *(f"{code}: {text}" for code, text in words.REASONS.items() if code in reasons),
            ],
            "errors": [
                self._refusal(index, problem)
                for index, (_, problem) in sorted(self._prepared.refused.items())
            ],
            "model_version": self.loaded.version,
            "policy_version": scorer.policy.version,
            "as_of": instants.text(self._now),
            "request_id": self._request_id,
        }
        if self._state.audit is not None:
            self._state.audit.planned(self._scope, document, self._made_on(), self._now)
        return orjson.dumps(document)

    def _seen(self, block: Block, scores: MatrixScores) -> None:
        if self.loaded.window is not None:
            self.loaded.window.matrix(block.numbers, scores)
        scorer, metrics = self.loaded.scorer, self._state.metrics
        count_features(metrics, scorer, block.missing, block.numbers)

    def _made_on(self) -> dict[str, dict[str, str]]:
        """As of when and by which versions was decided about each customer, by this plan or not."""
        found = {}
        for at, (who, _) in enumerate(self.book.keys):
            stands = self.book.stands(at)
            found[who] = {
                "as_of": instants.text(self._as_of[at] if stands is None else stands.as_of),
                "model_version": stands.model_version if stands else self.loaded.version,
                "policy_version": (
                    stands.policy_version if stands else self.loaded.scorer.policy.version
                ),
            }
        return found

    def _ready(self, found: Mapping[str, History], marks: Marks | None) -> Prepared:
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

    def _refusal(self, index: int, problem: Problem) -> dict[str, Any]:
        count_failure(self._state.metrics, problem)
        document = problem.document(instance=self._instance, request_id=self._request_id)
        return {"index": index, **document}


def _is_identifier(text: str) -> bool:
    """Whether a store may be asked for it; what is none is refused with its row."""
    try:
        IDENTIFIER.validate_python(text)
    except ValidationError:
        return False
    return True


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
