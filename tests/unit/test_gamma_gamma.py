import numpy as np
import pytest

from training import gamma_gamma
from training.gamma_gamma import GammaGamma

# Fader & Hardie (2013): CDNOW, the repeat buyers among a sample of 2,357 customers.
PUBLISHED = GammaGamma(p=6.25, q=3.74, gamma=15.44)


def test_the_published_customers_expected_cheque_comes_out() -> None:
    # The note's spreadsheet: 2 repeat purchases of 22.35 on average, and 1 of 11.77.
    cheques = PUBLISHED.expected_cheque(np.array([2.0, 1.0]), np.array([22.35, 11.77]))
    assert cheques == pytest.approx([24.66, 18.91], abs=0.02)


def test_the_more_cheques_the_less_the_population_counts() -> None:
    x = np.array([1.0, 10.0, 1e6])
    cheques = PUBLISHED.expected_cheque(x, np.full(3, 100.0))
    population = PUBLISHED.p * PUBLISHED.gamma / (PUBLISHED.q - 1)
    assert population < cheques[0] < cheques[1] < cheques[2]
    assert cheques[2] == pytest.approx(100.0, rel=1e-4)


def made_up(model: GammaGamma, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The model's story, customer by customer."""
    rng = np.random.default_rng(6)
    x = rng.geometric(0.3, n).astype(np.float64)
    v = rng.gamma(model.q, 1.0 / model.gamma, n)
    return x, rng.gamma(model.p * x, 1.0 / v) / x


def test_a_fit_recovers_the_parameters_of_a_made_up_shop() -> None:
    x, mean = made_up(PUBLISHED, 40_000)
    found = gamma_gamma.fit(x, mean)
    assert (found.p, found.q, found.gamma) == pytest.approx(
        (PUBLISHED.p, PUBLISHED.q, PUBLISHED.gamma), rel=0.08
    )
    best, truth = (m.log_likelihood(x, mean).sum() for m in (found, PUBLISHED))
    assert truth <= best + 0.1
    assert best <= truth + 10


def test_a_fit_does_not_depend_on_the_currency() -> None:
    x, mean = made_up(PUBLISHED, 5_000)
    euros, roubles = gamma_gamma.fit(x, mean), gamma_gamma.fit(x, 90 * mean)
    assert (roubles.p, roubles.q, roubles.gamma / 90) == pytest.approx(
        (euros.p, euros.q, euros.gamma), rel=1e-3
    )
