from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from churn.features import FEATURE_NAMES, FEATURES, POSITION, Family, FeatureSettings, features
from churn.reason_rules import RULES
from tests.random_logs import log_of, random_histories
from training.norms import (
    NORMS,
    OWN_NORM_REASONS,
    WITHOUT_OWN_NORM,
    has_own_norm,
    to_own_norm,
    told,
)

HORIZON = 60.0
CHAINS = (
    ("purchases_30d", "purchases_60d", "purchases_90d", "purchases_180d", "purchases_365d",
     "purchases_total"),
    ("purchase_days_total", "purchases_total"),
    ("spend_30d", "spend_90d", "spend_365d", "spend_total"),
    ("last_cheque", "largest_cheque"),
    ("average_last_3_cheques", "largest_cheque"),
    ("average_cheque", "largest_cheque"),
    ("complaints_30d", "complaints_90d", "complaints_365d"),
    ("returns_90d", "returns_365d"),
    ("cancellations_90d", "cancellations_365d"),
    ("visits_7d", "visits_30d", "visits_90d"),
    ("categories_90d", "categories_total"),
    ("gap_1_days", "longest_gap_days"),
    ("share_of_gaps_over_horizon", "share_of_gaps_over_silence"),
)  # fmt: skip


@pytest.fixture(scope="module")
def customers() -> np.ndarray:
    log = log_of(random_histories(600, seed=11))
    X = features(log, int(log.time.max()) + 1, FeatureSettings(730, int(HORIZON)))
    return X[~np.isnan(X[:, POSITION["purchases_total"]])]


def test_every_feature_of_every_family_has_a_norm_or_its_family_has_none() -> None:
    for family in Family:
        own = sorted(norm.feature for norm in NORMS.get(family, ()))
        declared = sorted(feature.name for feature in FEATURES if feature.family is family)
        assert own == ([] if family in WITHOUT_OWN_NORM else declared)


def test_a_reason_that_names_a_norm_is_of_a_family_that_has_one() -> None:
    codes = {rule.code: rule for rule in RULES}
    assert set(codes) >= OWN_NORM_REASONS
    assert {codes[code].family for code in OWN_NORM_REASONS} <= set(NORMS)
    assert {rule.code for rule in RULES if rule.norm is not None} <= OWN_NORM_REASONS


def test_the_page_about_the_gates_has_every_norm() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "gates.md").read_text()
    for norms in NORMS.values():
        for norm in norms:
            assert f"| `{norm.feature}` | {norm.words} |" in page


@pytest.mark.parametrize("family", NORMS)
def test_a_customer_at_the_norm_is_not_changed_again(family: Family, customers) -> None:
    X = customers[has_own_norm(customers, family)]
    codes = told(X, family)
    once = to_own_norm(X, family, codes, HORIZON)
    assert len(X) > 30
    assert not np.array_equal(once, X, equal_nan=True)
    twice = to_own_norm(once, family, codes, HORIZON)
    for name, before, after in zip(FEATURE_NAMES, once.T, twice.T, strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("family", NORMS)
def test_a_norm_changes_its_family_alone_and_invents_nothing(family: Family, customers) -> None:
    X = customers[has_own_norm(customers, family)]
    changed = to_own_norm(X, family, told(X, family), HORIZON)
    others = [at for at, feature in enumerate(FEATURES) if feature.family is not family]
    assert np.array_equal(changed[:, others], X[:, others], equal_nan=True)
    assert not (np.isnan(X) & ~np.isnan(changed)).any()
    assert not np.isinf(changed).any()


@pytest.mark.parametrize("family", NORMS)
def test_a_changed_customer_could_be_one(family: Family, customers) -> None:
    X = customers[has_own_norm(customers, family)]
    changed = to_own_norm(X, family, told(X, family), HORIZON)
    for chain in CHAINS:
        for less, more in pairwise(chain):
            below, above = changed[:, POSITION[less]], changed[:, POSITION[more]]
            if FEATURES[POSITION[less]].family is family:
                # An order over midnight has two days from the start.
                went = X[:, POSITION[less]] <= X[:, POSITION[more]]
                assert not (went & (below > above * (1 + 1e-9))).any(), (less, more)
    for at, feature in enumerate(FEATURES):
        known = changed[:, at][~np.isnan(changed[:, at])]
        if feature.family is not family or feature.name == "rating_change":
            continue
        if feature.unit == "log days":
            continue
        assert (known >= 0.0).all(), feature.name
        if feature.name.startswith(("share_of", "recent_half", "active_share")):
            assert (known <= 1.0 + 1e-9).all(), feature.name
        if feature.unit in ("orders", "events") and feature.name not in (
            "purchases_per_month", "earlier_pace_90d", "earlier_visits_30d",
        ):  # fmt: skip
            assert np.array_equal(known, np.rint(known)), feature.name


@pytest.mark.parametrize(
    "code",
    ["long_silence", "slowing_rhythm", "frequency_drop", "cheque_decline", "engagement_drop",
     "low_rating", "narrowing_assortment", "small_last_cheque"],
)  # fmt: skip
def test_at_the_norm_the_reason_has_no_evidence_any_more(code: str, customers) -> None:
    rule = next(rule for rule in RULES if rule.code == code)
    codes = told(customers, rule.family)
    X = customers[np.array(codes) == code]
    assert len(X) > 3
    changed = to_own_norm(X, rule.family, [code] * len(X), HORIZON)
    for before, after in zip(X.tolist(), changed.tolist(), strict=True):
        assert rule.holds(dict(zip(POSITION, before, strict=True)))
        row = dict(zip(POSITION, after, strict=True))
        # What is raised to the norm may lie below it in the last digit.
        assert not rule.holds(row) or row[rule.feature] == pytest.approx(row[str(rule.norm)])
