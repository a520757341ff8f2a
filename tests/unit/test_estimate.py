"""Quality before outcomes: what the closed forms promise is what simulated outcomes show."""

import numpy as np
import pytest
from sklearn.metrics import log_loss as realised_log_loss
from sklearn.metrics import roc_auc_score

from churn.estimate import log_loss, roc_auc

SEED = 20261122


def customers(n: int, a: float, b: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities in steps of a hundredth, with some that repeat."""
    rng = np.random.default_rng(SEED)
    p = np.clip(np.round(rng.beta(a, b, n), 2), 0.01, 0.99)
    values, counts = np.unique(p, return_counts=True)
    return counts, values


@pytest.mark.parametrize(("a", "b"), [(2.0, 2.0), (1.0, 6.0)])
def test_the_estimate_and_its_interval_are_those_of_simulated_outcomes(a: float, b: float) -> None:
    n, p = customers(600, a, b)
    each = np.repeat(p, n)
    rng = np.random.default_rng(SEED)
    aucs, losses = [], []
    for _ in range(150):
        left = rng.random(len(each)) < each
        aucs.append(roc_auc_score(left, each))
        losses.append(realised_log_loss(left, each))
    for found, seen in ((roc_auc(n, p), aucs), (log_loss(n, p), losses)):
        assert found is not None
        assert found.mean == pytest.approx(np.mean(seen), abs=0.006)
        inside = np.mean([found.low <= one <= found.high for one in seen])
        assert 0.89 <= inside <= 0.99


def test_few_customers_have_a_wide_interval() -> None:
    few, many = (roc_auc(*customers(size, 2.0, 2.0)) for size in (50, 5000))
    assert few is not None
    assert many is not None
    assert few.high - few.low > 5 * (many.high - many.low)


def test_a_model_that_tells_nobody_apart_promises_a_half() -> None:
    found = roc_auc(np.array([1000]), np.array([0.3]))
    assert found is not None
    assert found.mean == pytest.approx(0.5)


def test_where_nobody_can_leave_there_is_nothing_to_estimate() -> None:
    assert roc_auc(np.array([10]), np.array([0.0])) is None
    assert roc_auc(np.array([10]), np.array([1.0])) is None
    assert log_loss(np.array([], dtype=np.int64), np.array([])) is None
