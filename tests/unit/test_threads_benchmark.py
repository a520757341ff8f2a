"""A short form of `python -m benchmarks threads`."""

import numpy as np
import pytest

from benchmarks.threads import hammer, histories
from churn.bundle import load
from churn.registry import Registry
from churn.scoring import Scorer
from tests.support import small_model


@pytest.fixture(scope="module")
def scorers(tmp_path_factory: pytest.TempPathFactory) -> list[Scorer]:
    """Two models of one shop that differ by their seed, as those of the benchmark do."""
    registry = Registry(tmp_path_factory.mktemp("threads"))
    for seed in (7, 8):
        registry.publish(*small_model(seed))
    return [Scorer(load(registry.path(version))) for version in registry.versions()]


def test_no_answer_is_wrong_while_models_are_swapped(scorers: list[Scorer]) -> None:
    outcome = hammer(scorers, histories(60), calls=3_200, threads=16)
    assert outcome.calls == 3_200
    assert outcome.swaps > 0
    assert (outcome.wrong, outcome.errors) == (0, 0)


def test_a_model_that_changes_its_mind_is_noticed(scorers: list[Scorer]) -> None:
    class Fickle(Scorer):
        def score_matrix(self, X, **how):  # type: ignore[no-untyped-def]
            by = float(np.random.default_rng().random())
            return super().score_matrix(X, **how)._replace(probability=np.full(len(X), by))

    outcome = hammer([Fickle(scorers[0].bundle)], histories(60), calls=320, threads=4)
    assert outcome.wrong > 0


def test_an_error_is_counted(scorers: list[Scorer]) -> None:
    class Broken(Scorer):
        calls = 0

        def score_rows(self, rows):  # type: ignore[no-untyped-def]
            self.calls += 1
            if self.calls > 70:  # after the answers that are expected
                raise RuntimeError("broken")
            return super().score_rows(rows)

    outcome = hammer([Broken(scorers[0].bundle)], histories(60), calls=320, threads=4)
    assert outcome.errors > 0
