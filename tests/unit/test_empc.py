import doctest
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from churn.errors import ConfigError
from training import empc
from training.config import Business, from_mapping
from training.empc import Campaign, expected_maximum_profit, maximum_profit
from training.metrics import evaluate


def test_it_agrees_with_the_published_values_of_the_reference_implementations():
    # The documentation of `empulse.metrics.empc`, which is checked against R's `EMP::empChurn`.
    churned = [0, 1, 0, 1, 0, 1, 0, 1]
    scores = [0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 0.9]
    got = expected_maximum_profit(churned, scores)
    assert got.per_customer == pytest.approx(23.875593418348124, rel=1e-12)
    assert got.contacted_share == pytest.approx(0.8743700763487141, rel=1e-12)
    # The same test's scores that say nothing, and scores that say everything.
    nothing = expected_maximum_profit([0, 1], [0.5, 0.5])
    assert nothing.per_customer == pytest.approx(22.5007912244511, abs=1e-9)
    assert nothing.contacted_share == pytest.approx(0.9991601018889205, abs=1e-9)
    everything = expected_maximum_profit([0, 1], [0.0, 1.0])
    assert everything.per_customer == pytest.approx(28.0, abs=1e-9)
    assert everything.contacted_share == pytest.approx(0.5, abs=1e-9)


def test_a_perfect_order_is_worth_what_the_formula_gives_by_hand():
    # Half leave, gamma is 0.3: 0.5 * (0.3 * (200 - 10) - 1); contacting all adds a stayer's 11.
    assert maximum_profit([0, 1], [0.2, 0.8], 0.3).per_customer == pytest.approx(28.0)
    assert maximum_profit([0, 1], [0.8, 0.2], 0.3).per_customer == pytest.approx(28.0 - 5.5)


def by_trying_every_cut_off(
    gammas: np.ndarray, churned: np.ndarray, scores: np.ndarray, campaign: Campaign
) -> tuple[np.ndarray, np.ndarray]:
    """The best profit at each gamma, and the share contacted for it."""
    contacted = scores >= np.append(np.unique(scores), np.inf)[:, None]
    caught, disturbed = (contacted & churned).mean(axis=1), (contacted & ~churned).mean(axis=1)
    each = gammas * (campaign.retained_value - campaign.incentive_cost) - campaign.contact_cost
    profit = np.outer(each, caught)
    profit -= (campaign.incentive_cost + campaign.contact_cost) * disturbed
    best = profit.argmax(axis=1)
    return profit.max(axis=1), contacted.mean(axis=1)[best]


@pytest.mark.parametrize(
    "campaign",
    [
        Campaign(),
        Campaign(retained_value=50.0),
        Campaign(incentive_cost=100.0, contact_cost=15.0),
        Campaign(acceptance_alpha=2.0, acceptance_beta=5.0),
    ],
)
@pytest.mark.parametrize("rate", [0.1, 0.7])
def test_the_closed_form_is_the_integral_over_every_acceptance(campaign: Campaign, rate: float):
    rng = np.random.default_rng(5)
    churned = rng.random(60) < rate
    scores = np.round(rng.normal(churned * 0.8, 1.0), 1)  # with ties
    scores = (scores - scores.min()) / np.ptp(scores)
    believed = beta(campaign.acceptance_alpha, campaign.acceptance_beta)
    edges = np.linspace(0, 1, 20_001)
    profit, share = by_trying_every_cut_off((edges[1:] + edges[:-1]) / 2, churned, scores, campaign)
    weight = np.diff(believed.cdf(edges))
    got = expected_maximum_profit(churned, scores, campaign)
    assert got.per_customer == pytest.approx(weight @ profit, abs=1e-5)
    assert got.contacted_share == pytest.approx(weight @ share, abs=1e-4)
    gammas = np.array([0.0, 0.07, 0.31, 1.0])
    for gamma, profit, share in zip(
        gammas, *by_trying_every_cut_off(gammas, churned, scores, campaign), strict=True
    ):
        known = maximum_profit(churned, scores, gamma, campaign)
        assert known.per_customer == pytest.approx(profit, abs=1e-12)
        assert known.contacted_share == pytest.approx(share)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40),
    st.floats(0.5, 20),
    st.floats(0.5, 20),
)
def test_knowing_the_acceptance_on_average_only_never_beats_adapting_to_it(rows, a, b):
    churned = [left for left, _ in rows]
    scores = [score / 5 for _, score in rows]
    campaign = replace(Campaign(), acceptance_alpha=a, acceptance_beta=b)
    adapted = expected_maximum_profit(churned, scores, campaign)
    fixed = maximum_profit(churned, scores, a / (a + b), campaign)
    assert adapted.per_customer >= fixed.per_customer - 1e-9
    assert 0.0 <= fixed.per_customer
    assert -1e-12 <= adapted.contacted_share <= 1 + 1e-12


def test_a_better_order_is_worth_more():
    rng = np.random.default_rng(2)
    churned = rng.random(2000) < 0.3
    good = 1 / (1 + np.exp(-rng.normal(churned * 2.0, 1.0)))
    poor = 1 / (1 + np.exp(-rng.normal(churned * 0.5, 1.0)))
    auc = [evaluate(churned, p).roc_auc or 0.0 for p in (good, poor)]
    assert auc[0] > auc[1]
    worth = [expected_maximum_profit(churned, p).per_customer for p in (good, poor)]
    assert worth[0] > worth[1]


def test_where_nobody_left_no_campaign_pays():
    assert expected_maximum_profit([0, 0, 0], [0.1, 0.2, 0.3]).per_customer == 0.0
    assert expected_maximum_profit([0, 0, 0], [0.1, 0.2, 0.3]).contacted_share == 0.0


def test_the_defaults_of_the_configuration_are_the_papers():
    business = Business()
    for name in Campaign.__dataclass_fields__:
        assert getattr(business, name) == getattr(Campaign(), name)


def test_an_offer_dearer_than_what_it_keeps_is_refused(tmp_path):
    table = {"events": {"query": "SELECT 1"}, "business": {"retained_value": 9.0}}
    with pytest.raises(ConfigError, match=r"retained_value.*must be above incentive_cost"):
        from_mapping(table, tmp_path / "keepwell.toml")


def test_the_examples_in_its_documentation_run():
    assert doctest.testmod(empc).failed == 0
