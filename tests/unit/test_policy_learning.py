"""What outcomes teach, and the file that is proposed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.policy_world import TRUTH, Campaigns, made_up
from churn.errors import DataError, PolicyError
from churn.policy.default import DEFAULT
from churn.policy.economics import Belief
from churn.policy.policy import Policy, parse
from training.policy import effects
from training.policy.learning import propose
from training.policy.rewriting import Change, rewritten
from training.policy.words import proposal_lines

PATH = Path("policy.toml")
PRIOR = (Belief(0.05, 50.0), Belief(0.003, 1000.0))


def outcomes(
    n: int, saved: float, harm: float, seed: int = 0, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.beta(2, 2, n)
    done = np.where(rng.random(n) < 0.5, 0, -1)
    kept = (1 - p) - shift + (done == 0) * (p * saved - (1 - p) * harm)
    return p, done, (rng.random(n) < kept).astype(np.float64)


def test_without_outcomes_nothing_is_learnt() -> None:
    empty = np.empty(0)
    learnt = effects.learn(empty, np.empty(0, np.int64), empty, ["a"], {"a": PRIOR})
    assert learnt.saved("a").mean == pytest.approx(0.05, abs=0.006)
    assert learnt.saved("a").weight == pytest.approx(50, rel=0.35)


def test_many_outcomes_tell_the_truth_whatever_was_believed() -> None:
    p, done, kept = outcomes(200_000, saved=0.20, harm=0.02)
    learnt = effects.learn(p, done, kept, ["a"], {"a": (Belief(0.05, 50.0), Belief(0.003, 100.0))})
    assert learnt.saved("a").mean == pytest.approx(0.20, abs=0.02)
    assert learnt.harm("a").mean == pytest.approx(0.02, abs=0.012)
    assert learnt.saved("a").weight > 1_000


def test_a_belief_holds_the_truth_as_often_as_it_says() -> None:
    held = 0
    for seed in range(100):
        rng = np.random.default_rng([7, seed])
        true = rng.beta(*(0.05 * 50, 0.95 * 50))
        p, done, kept = outcomes(3_000, saved=true, harm=0.003, seed=seed)
        after = effects.learn(p, done, kept, ["a"], {"a": PRIOR}).saved("a")
        low, high = np.quantile(rng.beta(after.alpha, after.beta, 4_000), [0.05, 0.95])
        held += low <= true <= high
    assert 82 <= held <= 97


def test_a_model_that_is_off_passes_for_no_effect() -> None:
    p, done, kept = outcomes(100_000, saved=0.0, harm=0.0, shift=-0.05)
    learnt = effects.learn(p, done, kept, ["a"], {"a": PRIOR})
    assert learnt.saved("a").mean < 0.012


def test_a_share_is_counted_on() -> None:
    assert effects.share(Belief(0.5, 20.0), 90.0, 10.0) == Belief(100 / 120, 120.0)


def drawn(seed: int = 4, n: int = 6_000) -> tuple[str, "Campaigns"]:
    text = DEFAULT.replace("exploration_rate = 0.05", "exploration_rate = 0.50").replace(
        "holdout_share = 0.10", "holdout_share = 0.30"
    )
    return text, Campaigns(made_up(seed, 3_000), parse(text, PATH))


def test_the_proposal_is_the_same_file_with_other_numbers() -> None:
    text, campaigns = drawn()
    decisions, _ = campaigns.draw(np.random.default_rng(1), 30_000)
    proposal = propose(decisions, text, PATH)
    assert proposal.policy.version != campaigns.policy.version
    added = [line for line in proposal.text.splitlines() if line.startswith("saved_in.")]
    old = text.splitlines()
    new = [line for line in proposal.text.splitlines() if line not in added]
    assert len(old) == len(new)
    changed = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
    assert len(added) > 3
    assert len(changed) + len(added) == len(proposal.changes)
    assert len(changed) > 3
    for before, after in changed:
        assert before.split("{")[0] == after.split("{")[0]
        assert before.split("}")[1] == after.split("}")[1]
    assert {change.field for change in proposal.changes} == {
        "saved", "redeemed", "harm", "saved_in",
    }  # fmt: skip
    said = "\n".join(proposal_lines(proposal))
    assert all(change.action in said for change in proposal.changes)


def test_what_it_learns_is_nearer_to_the_truth() -> None:
    text, campaigns = drawn()
    decisions, _ = campaigns.draw(np.random.default_rng(2), 40_000)
    proposal = propose(decisions, text, PATH)
    world = campaigns.world
    found = {c.action: c for c in proposal.changes if c.field == "saved"}
    # A call keeps fewer, and points more, than the default policy believes.
    assert found["agent_call"].after.mean < found["agent_call"].before.mean
    assert found["points"].after.mean > found["points"].before.mean
    assert world.actions


def test_comments_and_order_stay() -> None:
    text = "[actions.a]  # one\nsaved = { mean = 0.1, weight = 2.0 } # two\n[actions.b]\nharm = 1\n"
    change = Change("a", "saved", Belief(0.1, 2.0), Belief(0.25, 30.0), 9)
    assert rewritten(text, [change], PATH) == text.replace(
        "mean = 0.1, weight = 2.0", "mean = 0.25, weight = 30.0"
    )


def test_a_belief_that_is_written_otherwise_is_refused() -> None:
    text = "[actions.a.saved]\nmean = 0.1\nweight = 2.0\n"
    change = Change("a", "saved", Belief(0.1, 2.0), Belief(0.2, 3.0), 9)
    with pytest.raises(PolicyError, match=r"\[actions\.a\] saved is not written as"):
        rewritten(text, [change], PATH)


def test_without_anybody_left_alone_nothing_can_be_told() -> None:
    text = DEFAULT.replace("holdout_share = 0.10", "holdout_share = 0.0")
    campaigns = Campaigns(made_up(4, 500), parse(text, PATH))
    decisions, _ = campaigns.draw(np.random.default_rng(1), 500)
    treated = decisions.where(np.asarray(decisions.action != "none"))
    with pytest.raises(DataError, match="to whom nothing was done"):
        propose(treated, text, PATH)


def test_few_customers_change_no_belief() -> None:
    text, campaigns = drawn()
    decisions, _ = campaigns.draw(np.random.default_rng(1), 400)
    proposal = propose(decisions, text, PATH)
    assert proposal.too_few
    changed = {change.action for change in proposal.changes}
    assert not changed & set(proposal.too_few)
    assert isinstance(proposal.policy, Policy)


def test_a_belief_of_one_situation_goes_below_the_others() -> None:
    text = "[actions.a]\nsaved = { mean = 0.1, weight = 2.0 }  # why\nharm = { mean = 0.2 }\n"
    change = Change("a", "saved_in", Belief(0.1, 2.0), Belief(0.3, 40.0), 9, ("one_time", "high"))
    once = rewritten(text, [change], PATH)
    line = "saved_in.one_time.high = { mean = 0.3, weight = 40.0 }\n"
    assert once.splitlines(keepends=True)[2] == line
    assert once.replace(line, "") == text
    again = replace(change, after=Belief(0.4, 50.0))
    assert rewritten(once, [again], PATH) == once.replace("0.3, weight = 40", "0.4, weight = 50")


def test_customers_of_one_situation_may_answer_unlike_others() -> None:
    truth = replace(TRUTH, saved=TRUTH.saved | {"reorder_reminder": 0.4}, hidden=0.0, by_trait=0.0)
    world = made_up(8, 3_000, truth)
    helped = np.array([one.situation == "periodic_switched" for one in world.facts])
    at = int(world.position(["reorder_reminder"])[0])
    policy = everywhere(parse(DEFAULT, PATH), "reorder_reminder")
    world.kept[~helped, at] = world.kept[~helped, 0]
    decisions, _ = Campaigns(world, policy).draw(np.random.default_rng(3), 9_000)
    proposal = propose(decisions, DEFAULT, PATH)
    found = proposal.policy.actions["reorder_reminder"].saved_in
    assert min(share.mean for share in found["periodic_switched"].values()) > 0.2
    others = [
        one
        for name, shares in found.items()
        if name != "periodic_switched"
        for one in shares.values()
    ]
    assert max(share.mean for share in others) < 0.12
    assert "reorder_reminder in periodic_switched, high, saved" in "\n".join(
        proposal_lines(proposal)
    )


def everywhere(policy: Policy, code: str) -> Policy:
    """Only this action, for everybody at risk, half of them held out."""
    document = policy.model_dump()
    for cell in document["table"].values():
        cell |= {"any": {segment: [code] for segment in "ABC"}, "medium": None, "high": None}
    document["rules"] |= {"holdout_share": 0.5, "exploration_rate": 0.0}
    return Policy.model_validate(document)
