"""The choice of an action: its rules for every random policy, and its draws."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.policy.chance import draw
from churn.policy.decide import Contact, Decision, Facts, decide, is_held_out
from churn.policy.default import DEFAULT
from churn.policy.policy import COMPLAINTS, NONE, Policy, parse
from tests.policies import quiet

POLICY = parse(DEFAULT, Path("policy.toml"))
SITUATIONS = tuple(POLICY.table)
NOW = 20_000 * DAY


def facts(**given: Any) -> Facts:
    plain: dict[str, Any] = {
        "customer_id": "c-1",
        "as_of": NOW,
        "probability": 0.6,
        "band": "high",
        "segment": "A",
        "value": 8_400.0,
        "situation": "periodic_switched",
    }
    return Facts(**plain | given)


SHARE = st.floats(0.0, 1.0, width=32).map(float)
BELIEF = st.none() | st.fixed_dictionaries({"mean": SHARE, "weight": st.floats(1.0, 500.0)})


@st.composite
def policies(draws: st.DrawFn) -> Policy:
    """Any policy that works."""
    actions: dict[str, Any] = {NONE: {"channel": "none", "text": {"en": "-", "ru": "-"}}}
    for at in range(draws(st.integers(1, 5))):
        service = draws(st.booleans())
        incentive = draws(st.sampled_from([0.0, 0.0, 50.0, 300.0]))
        actions[f"a{at}"] = {
            "channel": draws(st.sampled_from(["message", "phone"])),
            "text": {"en": "do", "ru": "do"},
            "contact_cost": draws(st.sampled_from([0.0, 1.5, 250.0])),
            "incentive_cost": incentive,
            "saved": draws(BELIEF),
            "redeemed": {"mean": draws(SHARE), "weight": 10.0},
            "harm": draws(BELIEF),
            "service": service,
            "promotion": not service and draws(st.booleans()),
            "needs_consent": draws(st.booleans()),
        }
    codes = st.lists(st.sampled_from(list(actions)), max_size=4)

    def cell(situation: str) -> dict[str, Any]:
        by_segment = {segment: draws(codes) for segment in "ABC"}
        if situation == "open_complaint":
            by_segment = {
                segment: [code for code in some if not actions[code].get("promotion")]
                for segment, some in by_segment.items()
            }
        return {"any": by_segment}

    return Policy.model_validate(
        {
            "rules": {
                "cooldown_days": draws(st.integers(0, 30)),
                "contact_cap": draws(st.integers(0, 3)),
                "contact_cap_days": draws(st.integers(0, 60)),
                "message_first": draws(st.booleans()),
                "holdout_share": draws(st.sampled_from([0.0, 0.1, 0.5])),
                "exploration_rate": draws(st.sampled_from([0.0, 0.3, 1.0])),
            },
            "actions": actions,
            "table": {name: cell(name) for name in ("open_complaint", "one_time", "unknown")},
        }
    )


FACTS = st.builds(
    Facts,
    st.text("abcdef", min_size=1, max_size=6),
    st.just(NOW),
    SHARE,
    st.sampled_from(["low", "medium", "high"]),
    st.sampled_from("ABC"),
    st.none() | st.floats(0.0, 50_000.0),
    st.sampled_from(["open_complaint", "one_time", "cheque_decline", "unknown"]),
    st.none() | st.frozensets(st.sampled_from(["message", "phone"])),
    st.lists(
        st.builds(
            Contact,
            st.integers(-70, 2).map(lambda day: NOW + day * DAY),
            st.sampled_from(["a0", "a1", "a9"]),
        ),
        max_size=4,
    ),
)


@given(policies(), FACTS)
@settings(max_examples=400)
def test_no_random_policy_breaks_a_rule(policy: Policy, who: Facts) -> None:
    found = decide(policy, who)
    action = policy.actions[found.action]
    if found.action == NONE or action.service:
        assert not found.holdout
        return
    assert who.band != "low"
    if who.situation == "open_complaint":
        assert not action.promotion
    if action.needs_consent and who.channels is not None:
        assert action.channel in who.channels
    counted = [
        contact.at
        for contact in who.contacts
        if contact.at <= NOW
        and not (contact.action in policy.actions and policy.actions[contact.action].service)
    ]
    rules = policy.rules
    assert all(at <= NOW - rules.cooldown_days * DAY for at in counted)
    within = [at for at in counted if at > NOW - rules.contact_cap_days * DAY]
    assert len(within) < rules.contact_cap
    if action.incentive_cost > 0.0:
        assert found.lower_bound is not None
        assert found.lower_bound > 0.0
        economics = action.economics
        assert economics is not None
        assert who.value is not None
        assert who.value > economics.break_even(who.probability)
    if found.expected_value is not None:
        assert found.expected_value > 0.0
    assert 0.0 < found.propensity <= 1.0
    assert found == decide(policy, who._replace(contacts=tuple(reversed(who.contacts))))


@given(policies(), FACTS)
@settings(max_examples=100)
def test_service_is_owed_whatever_it_costs(policy: Policy, who: Facts) -> None:
    codes = policy.table.get(who.situation, policy.table["unknown"]).of(who.band, who.segment)
    owed = [code for code in codes if policy.actions[code].service]
    if who.band == "low" and who.situation not in COMPLAINTS:
        owed = []
    since = NOW - policy.rules.cooldown_days * DAY
    found = decide(policy, who)
    if any(one.action in owed[:1] and since < one.at <= NOW for one in who.contacts):
        assert (found.action, found.why_none) == (NONE, "answered")
    elif owed:
        assert found.action == owed[0]
        assert (found.holdout, found.explored, found.propensity) == (False, False, 1.0)
    else:
        assert not policy.actions[found.action].service


def test_a_low_risk_is_left_alone_but_for_complaints() -> None:
    assert decide(POLICY, facts(situation="quality", band="low")).action == NONE
    assert decide(POLICY, facts(situation="quality", band="medium")).action == "fix_free_returns"
    found = decide(POLICY, facts(situation="repeated_complaint", band="low"))
    assert found.action == "manager_call"


def test_where_nothing_is_claimed_the_cheapest_is_done() -> None:
    found = decide(quiet(), facts(situation="active_shift", value=None))
    assert (found.action, found.expected_value, found.cost) == ("one_question", None, 0.0)
    # A claim comes before none, whatever it costs.
    assert decide(quiet(), facts(situation="active_shift")).action == "agent_call"


def test_the_best_of_those_that_pay_is_chosen() -> None:
    told = (Contact(NOW - 40 * DAY, "reorder_reminder"),)
    found = decide(quiet(), facts(contacts=told))
    values = {one.action: one.expected_value for one in found.alternatives}
    assert found.action == "agent_call"
    assert found.expected_value == pytest.approx(0.6 * 0.15 * 8400 - 250 - 0.4 * 0.003 * 8400)
    assert values == {
        "points": pytest.approx(
            0.6 * 0.06 * 8400 - 1.5 - 150 * (0.4 * 0.5 + 0.6 * 0.06) - 0.4 * 0.003 * 8400
        ),
        "exclusive_access": pytest.approx(0.6 * 0.03 * 8400 - 1.5 - 0.4 * 0.003 * 8400),
    }


def test_a_message_comes_before_an_incentive() -> None:
    case = {"situation": "one_time", "value": 20_000.0}
    assert decide(quiet(), facts(**case)).action == "second_order_guide"
    told = (Contact(NOW - 20 * DAY, "second_order_guide"),)
    assert decide(quiet(), facts(**case, contacts=told)).action == "free_delivery"
    long_ago = (Contact(NOW - 61 * DAY, "second_order_guide"),)
    assert decide(quiet(), facts(**case, contacts=long_ago)).action == "second_order_guide"


def test_nothing_is_a_proper_answer() -> None:
    found = decide(quiet(), facts(value=10.0))
    assert (found.action, found.expected_value, found.cost) == (NONE, 0.0, 0.0)
    assert decide(quiet(), facts(band="low")).action == NONE


@pytest.mark.parametrize(("segment", "action"), [("A", "senior_call"), ("C", "ticket_apology")])
@pytest.mark.parametrize("band", ["low", "medium", "high"])
def test_an_open_complaint_is_answered_at_any_risk(segment: str, action: str, band: str) -> None:
    found = decide(POLICY, facts(situation="open_complaint", segment=segment, band=band))
    assert found.action == action


def holds(policy: Policy, n: int) -> np.ndarray:
    return np.array([is_held_out(policy, f"customer-{at}") for at in range(n)])


def test_the_holdout_has_its_share_and_stays() -> None:
    held = holds(POLICY, 100_000)
    assert held.mean() == pytest.approx(0.10, abs=0.003)
    other = quiet(holdout_share=0.10, exploration_rate=0.9, cooldown_days=1)
    assert (holds(other, 1_000) == held[:1_000]).all()
    salted = quiet(holdout_share=0.10, holdout_salt="another")
    both = (holds(salted, 20_000) & held[:20_000]).mean()
    assert both == pytest.approx(0.01, abs=0.003)


def test_a_larger_holdout_keeps_those_of_a_smaller_one() -> None:
    few, many = holds(quiet(holdout_share=0.1), 5_000), holds(quiet(holdout_share=0.3), 5_000)
    assert (many | ~few).all()


def test_propensities_are_the_frequencies_of_what_is_done() -> None:
    policy = quiet(holdout_share=0.2, exploration_rate=0.3)
    told = (Contact(NOW - 40 * DAY, "reorder_reminder"),)
    seen: dict[tuple[str, bool], list[Decision]] = {}
    n = 40_000
    for at in range(n):
        found = decide(policy, facts(customer_id=f"c-{at}", contacts=told))
        seen.setdefault((found.action, found.holdout), []).append(found)
    assert set(seen) == {
        *product(("agent_call", "points", "exclusive_access"), (True, False)),
        (NONE, False),
    }
    for found_so in seen.values():
        assert len({one.propensity for one in found_so}) == 1
        assert len(found_so) / n == pytest.approx(found_so[0].propensity, abs=0.01)
    assert sum(found_so[0].propensity for found_so in seen.values()) == pytest.approx(1.0)


def test_a_draw_lasts_for_an_epoch() -> None:
    policy = quiet(exploration_rate=1.0)
    epoch = policy.rules.exploration_days * DAY
    start = NOW // epoch * epoch
    for who in ("c-1", "c-2", "c-3"):
        first = decide(policy, facts(customer_id=who, as_of=start)).action
        assert decide(policy, facts(customer_id=who, as_of=start + epoch - 1)).action == first
    later = [
        decide(policy, facts(customer_id="c-1", as_of=start + k * epoch)).action for k in range(20)
    ]
    assert len(set(later)) > 1


def test_no_two_lists_of_parts_are_drawn_as_one() -> None:
    lists = [
        ("ab", "c"),
        ("a", "bc"),
        ("abc",),
        ("abc", ""),
        ("", "abc"),
        ("1:a", "b"),
        ("1", ":ab"),
    ]
    assert len({draw(*parts) for parts in lists}) == len(lists)
    assert all(0.0 <= draw(str(at)) < 1.0 for at in range(1_000))
