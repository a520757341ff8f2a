"""Valuing a policy that has not run: by hand, against frequencies, and as often right as said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.policy_world import NOW, Campaigns, made_up
from churn.errors import DataError
from churn.policy.decide import Contact, Facts, Option, decide
from churn.policy.default import DEFAULT
from churn.policy.policy import NONE, Policy, parse
from tests.decisions_table import row, table
from training.policy.decisions import of
from training.policy.logged import chances, logged, without_chance, would_do
from training.policy.off_policy import Evaluation, Matched, estimate, evaluate
from training.policy.words import evaluation_lines

POLICY = parse(DEFAULT, Path("policy.toml"))


def varied(policy: Policy = POLICY, **rules: Any) -> Policy:
    changed = policy.rules.model_copy(update=rules)
    return Policy.model_validate(policy.model_dump() | {"rules": changed.model_dump()})


def believing(**saved: float) -> Policy:
    """The default policy with other beliefs about what saves."""
    document = POLICY.model_dump()
    for code, mean in saved.items():
        document["actions"][code]["saved"] = {"mean": mean, "weight": 500.0}
    return Policy.model_validate(document)


EXPLORES = varied(holdout_share=0.2, exploration_rate=0.4)
FACTS = Facts(
    "c", NOW, 0.6, "high", "A", 9_000.0, "periodic_switched",
    contacts=(Contact(NOW - 40 * 86_400_000_000, "reorder_reminder"),),
)  # fmt: skip


def test_the_chances_are_how_often_each_thing_is_done() -> None:
    n, done = 3_000, {}
    for at in range(n):
        found = decide(EXPLORES, FACTS._replace(customer_id=f"c-{at}"))
        code = NONE if found.holdout else found.action
        done[code] = done.get(code, 0) + 1
    quiet = decide(without_chance(EXPLORES), FACTS)
    others = [one.action for one in quiet.alternatives]
    told = chances(EXPLORES.rules, [quiet.action, *others], quiet.action)
    assert sum(told.values()) == pytest.approx(1.0)
    assert set(done) == set(told)
    for code, count in done.items():
        assert count / n == pytest.approx(told[code], abs=0.035)


def told(option: Option) -> dict[str, Any]:
    return {
        "code": option.action,
        "expected_value": option.expected_value,
        "lower_bound": option.lower_bound,
        "cost": option.cost,
    }


def test_every_recorded_propensity_is_understood() -> None:
    seen = set()
    for at in range(300):
        found = decide(EXPLORES, FACTS._replace(customer_id=f"c-{at}"))
        recorded = of(
            table(
                [
                    row(
                        customer_id=f"c-{at}",
                        action=found.action,
                        withheld=found.holdout,
                        explored=found.explored,
                        propensity=found.propensity,
                        facts={"alternatives": [told(one) for one in found.alternatives]},
                    )
                ]
            )
        )
        record = logged(recorded, 0, EXPLORES)
        assert record is not None
        seen.add((found.action, found.holdout, found.explored))
        assert record.done == (NONE if found.holdout else found.action)
    assert len(seen) == 7  # three actions, given or withheld, and nothing


def test_a_record_that_its_policy_cannot_have_made_is_left_out() -> None:
    recorded = of(table([row(propensity=0.5)]))
    assert logged(recorded, 0, POLICY) is None


def test_what_another_policy_would_do_goes_by_the_recorded_facts() -> None:
    told = {"contacts": [[int(FACTS.as_of), "reorder_reminder"]], "channels": ["message"]}
    free = of(table([row(value=9_000.0)]))
    bound = of(table([row(value=9_000.0, facts=told)]))
    bound = bound.where(np.array([0]))
    bound.as_of[0] = FACTS.as_of + 86_400_000_000
    quiet = without_chance(POLICY)
    assert would_do(quiet, free, 0) == "agent_call"
    assert would_do(quiet, bound, 0) == NONE  # cooldown


def by_hand() -> Matched:
    """Ten decisions, each done something by a fair coin: five match, and only these paid."""
    n = 10
    matches = np.arange(n) % 2 == 0
    return Matched(
        reward=np.where(matches, 6.0, 1.0),
        weight=np.where(matches, 2.0, 0.0),
        actions=("a",),
        done=np.where(matches, 0, -1),
        would=np.zeros(n, dtype=np.int64),
        supported=np.ones(n, dtype=np.bool_),
        probability=np.full(n, 0.5),
        value=np.full(n, 10.0),
        cost_done=np.zeros(n),
        cost_would=np.zeros(n),
        kept=np.where(matches, 0.6, 0.1),
        cluster=np.arange(n),
    )


def test_the_estimates_are_what_they_are_by_hand() -> None:
    found = estimate(by_hand())
    assert found.ips.value == pytest.approx(6.0)
    assert found.snips.value == pytest.approx(6.0)
    assert found.dr.value == pytest.approx(6.0, abs=1.5)
    assert found.logged.value == pytest.approx(3.5)
    assert found.effective == pytest.approx(5.0)
    assert found.same == 0.5
    assert any("weigh as 5" in warning for warning in found.warnings)
    assert "effective sample size 5" in "\n".join(evaluation_lines(found, "RUB"))


def test_what_was_never_tried_is_said() -> None:
    matched = by_hand()
    blind = Matched(
        **{
            name: getattr(matched, name)
            for name in Matched.__dataclass_fields__
            if name != "supported"
        },
        supported=np.zeros(10, dtype=np.bool_),
    )
    assert any("never tried" in warning for warning in estimate(blind).warnings)


def test_too_little_is_refused_with_the_reasons() -> None:
    with pytest.raises(DataError, match="a policy that is not given: 1"):
        evaluate(of(table([row()])), {"q": POLICY}, POLICY)


def world_value(campaigns: Campaigns, other: Policy) -> float:
    """The true worth per decision of a policy, among those who are not owed service."""
    world = campaigns.world
    codes = [one.action for one in world.chosen(other)]
    reward = world.reward(other)
    return float(reward[np.arange(len(world)), world.position(codes)].mean())


OTHER = believing(points=0.02, agent_call=0.05, exclusive_access=0.06, discount=0.15)


def evaluations(n_campaigns: int, size: int) -> tuple[float, list[Evaluation]]:
    world = made_up(2, 3_000)
    campaigns = Campaigns(world, EXPLORES)
    rng = np.random.default_rng(11)
    drawn = (campaigns.draw(rng, size, twice=0.2)[0] for _ in range(n_campaigns))
    past = {EXPLORES.version: EXPLORES}
    return world_value(campaigns, OTHER), [evaluate(one, past, OTHER) for one in drawn]


def test_the_intervals_hold_the_truth_as_often_as_they_say() -> None:
    true, found = evaluations(60, 1_500)
    for name in ("ips", "snips", "dr"):
        intervals = [getattr(one, name) for one in found]
        held = sum(interval.low <= true <= interval.high for interval in intervals)
        assert 51 <= held <= 60, (name, held)  # .95 +- 3 deviations
    width = {
        name: np.mean([getattr(one, name).high - getattr(one, name).low for one in found])
        for name in ("ips", "snips", "dr")
    }
    assert width["dr"] < width["snips"] < width["ips"]
    assert not any(one.left_out.get("recorded with another probability") for one in found)


def test_a_policy_that_is_the_same_is_worth_the_same() -> None:
    world = made_up(2, 2_000)
    still = varied(holdout_share=0.0, exploration_rate=0.0)
    drawn, _ = Campaigns(world, still).draw(np.random.default_rng(1), 1_000)
    found = evaluate(drawn, {still.version: still}, still)
    assert found.same == 1.0
    assert found.ips.value == pytest.approx(found.logged.value)
    assert found.gain.value == pytest.approx(0.0, abs=1e-9)
