"""Decisions of a plan, as they are recorded: what was chosen, and with which probability.

A plan draws nothing but the holdout. At its prices an action is given for certain to who is not
held out, and noted for who is, so its propensity is that of the draw, and of nothing it is 1
(docs/adr/0026).
"""

import math
from collections.abc import Iterable, Iterator

from churn.policy.action import BY_PLAN, Action
from churn.policy.advise import LAPSED_BAND, USUAL_SEGMENT
from churn.policy.decide import NOTHING, Decision, Facts, candidates
from churn.policy.due import act_by
from churn.policy.policy import BANDS, NONE, SEGMENTS, SITUATIONS
from churn.policy.why import sentence
from churn.scoring import Scorer
from service.plan.making import Plan
from service.plan.noted import Noted
from service.plan.options import NOBODY, WHY, Options
from service.recording import decided_of
from service.store.decisions import Decided


def decisions(
    scorer: Scorer,
    options: Options,
    plan: Plan,
    noted: Noted,
    rows: Iterable[int],
    now: int,
) -> Iterator[Decided]:
    """What a plan decided about some of its customers, of whom the policy has an opinion.

    Parameters
    ----------
    scorer : Scorer
        What scored them.
    options, plan, noted
        Of the same n customers.
    rows : iterable of int
        Which of them.
    now : int
        When, microseconds since 1970-01-01 UTC.
    """
    for row in rows:
        if options.situation[row] >= 0:
            yield _one(scorer, options, plan, noted, row, now)


def _one(
    scorer: Scorer,
    options: Options,
    plan: Plan,
    noted: Noted,
    row: int,
    now: int,
) -> Decided:
    policy, manifest = scorer.policy, scorer.bundle.manifest
    situation, as_of = SITUATIONS[options.situation[row]], int(noted.as_of[row])
    probability, value = _known(noted.probability[row]), _known(noted.value[row])
    band = BANDS[noted.band[row]] if noted.band[row] >= 0 else None
    segment = SEGMENTS[noted.segment[row]] if noted.segment[row] >= 0 else None
    owed, possible, _ = candidates(
        policy,
        Facts(
            noted.customer_id[row],
            as_of,
            probability or 0.0,
            band or LAPSED_BAND,
            segment or USUAL_SEGMENT,
            None if probability is None else value,
            situation,
            noted.channels[row],
            noted.contacts[row],
            noted.owed_since[row],
        ),
    )
    at = int(plan.action[row])
    code = NONE if at == NOBODY else plan.codes[at]
    every = possible if owed is None else (owed,)
    chosen = NOTHING if code == NONE else {one.action: one for one in every}[code]
    withheld, propensity = bool(plan.withheld[row]), 1.0
    if chosen is not NOTHING and chosen is not owed:
        share = policy.rules.holdout_share
        propensity = share if withheld else 1.0 - share
    others = [one for one in every if one is not chosen]
    others.sort(key=lambda one: -(one.expected_value or 0.0))
    decision = Decision(*chosen, tuple(others), withheld, False, propensity, policy.version)
    because = WHY[plan.why[row]] if chosen is NOTHING else None
    case, language = noted.case[row], noted.language[row]
    catalogue = policy.actions[code]
    day = None
    if chosen is not NOTHING:
        due = float(noted.due[row])
        day = act_by(as_of, due, catalogue.within_hours, catalogue.service)
    action = Action(
        code=code,
        channel=catalogue.channel,
        act_by=day,
        expected_value=decision.expected_value,
        lower_bound=decision.lower_bound,
        cost=decision.cost,
        why=sentence(policy, decision, case, because, language, manifest.currency),
        alternatives=decision.alternatives,
        holdout=withheld,
        explored=False,
        propensity=propensity,
        situation=situation,
    )
    return decided_of(
        action,
        customer_id=noted.customer_id[row],
        as_of=as_of,
        at=now,
        lead_time_days=manifest.lead_time_days,
        model_version=scorer.bundle.version,
        policy_version=policy.version,
        reason=noted.reason[row],
        band=band,
        segment=segment,
        probability=probability,
        value=value,
        features_hash=noted.features_hash[row].decode(),
        horizon_days=manifest.horizon_days,
        channels=noted.channels[row],
        contacts=noted.contacts[row],
        by=BY_PLAN,
    )


def _known(number: float) -> float | None:
    return None if math.isnan(number) else float(number)
