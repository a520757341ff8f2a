"""A short form of `python -m benchmarks policy`: what policies earn where the truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.policy import PATH, RIVALS, coverage, earn
from benchmarks.policy_world import TRUTH, World, made_up
from churn.policy.default import DEFAULT
from churn.policy.policy import parse

OTHER_TRUTH = replace(
    TRUTH,
    saved={code: 0.5 * share + 0.02 for code, share in TRUTH.saved.items()},
    harm={code: 0.006 for code in TRUTH.saved},
    redeemed={code: 0.3 for code in TRUTH.redeemed},
    by_trait=0.4,
)


@pytest.fixture(scope="module", params=[TRUTH, OTHER_TRUTH], ids=["one", "another"])
def world(request: pytest.FixtureRequest) -> World:
    return made_up(21, 10_000, request.param)


def test_the_default_policy_earns_more_than_each_rival_and_learning_more_still(
    world: World,
) -> None:
    found = earn(world, 1, 15_000)
    assert set(found.over) == set(RIVALS)
    for name, interval in found.over.items():
        assert interval.low > 0.0, name
    assert found.default < found.oracle < found.clairvoyant
    assert found.share > 0.85


def test_the_oracle_obeys_the_rules_of_contact(world: World) -> None:
    policy = parse(DEFAULT, PATH)
    best = world.oracle(policy, seen=True)
    considered = world.considered(policy)
    for row in range(0, len(world), 50):
        allowed = {0, *world.position(considered[row]).tolist()}
        assert best[row] in allowed
        assert len(allowed) == 1 or world.facts[row].band != "low"
    assert (world.earned(policy, best).mean()) > 0.0


def test_nothing_is_the_measure_of_all() -> None:
    world = made_up(3, 500)
    policy = parse(DEFAULT, PATH)
    assert not world.earned(policy, np.zeros(len(world), dtype=np.int64)).any()


def test_few_campaigns_cover_as_many_do() -> None:
    found = coverage(5, 40, 1_000, rate=0.3, held_out=0.2)
    for name, held in found.held.items():
        assert held >= 33, name
