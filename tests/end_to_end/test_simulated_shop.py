"""The simulated shop knows the truth; a small one is judged here, a larger one in benchmarks."""

import pytest

from benchmarks.simulated_shop import Verdict, measure


@pytest.fixture(scope="module")
def verdict() -> Verdict:
    return measure(8_000, 20, 5)


def test_probabilities_agree_with_the_true_ones(verdict: Verdict) -> None:
    assert verdict.customers > 2_000
    assert verdict.ece <= 0.025  # the bar is .02 on a shop of full size


def test_a_recent_unresolved_complaint_is_named_as_a_reason(verdict: Verdict) -> None:
    assert verdict.open_complaints >= 10
    assert verdict.named >= 0.8


def test_nobody_who_never_complained_is_told_of_a_complaint(verdict: Verdict) -> None:
    assert verdict.named_without <= 0.02


def test_a_caller_without_a_complaints_feed_gets_nearly_the_same_probability(
    verdict: Verdict,
) -> None:
    assert verdict.shift_without_feed <= 0.02
