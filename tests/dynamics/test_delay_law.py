"""The law of a delay that is interpolated between a few, against closed forms."""

import numpy as np
import pytest
from scipy import stats

from smoothfit.dynamics.delay_law import DelayLaw


def test_a_normal_law_has_its_interval_moments_and_nodes():
    at = np.linspace(1.0, 9.0, 17)
    law = DelayLaw(at, stats.norm.logpdf(at, 5.0, 0.8))
    np.testing.assert_allclose(law.interval(0.05), stats.norm.interval(0.95, 5.0, 0.8), atol=0.03)
    np.testing.assert_allclose(
        law.masses_between(np.array([4.0, 5.0, 7.0])), np.diff(stats.norm.cdf([4.0, 5.0, 7.0], 5.0, 0.8)), atol=0.003
    )
    assert law.mean_square(5.5) == pytest.approx(0.8**2 + 0.5**2, rel=0.01)
    delays, weights = law.nodes()
    assert weights @ delays == pytest.approx(5.0, abs=1e-3)
    assert weights @ (delays - 5.0) ** 2 == pytest.approx(0.64, rel=0.02)


def test_several_maxima_count_with_their_probabilities():
    def density(x):
        return 0.3 * stats.norm.pdf(x, 3.0, 0.5) + 0.7 * stats.norm.pdf(x, 6.0, 0.5)

    at = np.linspace(0.0, 9.0, 61)
    law = DelayLaw(at, np.log(density(at)))
    delays, weights = law.nodes()
    assert weights[delays < 4.5].sum() == pytest.approx(0.3, abs=0.1)  # a cell of weight 0.26 is on either side
    low, high = law.interval(0.05)
    x = np.linspace(0.0, 9.0, 20_001)
    likely = x[np.argsort(-density(x))]
    likely = likely[: np.searchsorted(np.cumsum(density(likely)) * x[1], 0.95)]
    assert (low, high) == pytest.approx((likely.min(), likely.max()), abs=0.03)


def test_a_density_that_is_highest_at_its_end_has_an_interval_from_there():
    at = np.linspace(0.0, 20.0, 41)
    low, high = DelayLaw(at, -at).interval(0.05)
    assert (low, high) == pytest.approx((0.0, -np.log(0.05)), abs=0.03)


def test_a_tilted_law_is_that_of_the_product():
    at = np.linspace(-4.0, 8.0, 25)
    law = DelayLaw(at, stats.norm.logpdf(at, 2.0, 1.0))
    delays = np.linspace(0.0, 4.0, 9)
    tilted = law.tilted(delays, 0.5 * delays + 3.0)  # a normal law about 2.5
    np.testing.assert_allclose(tilted.interval(0.32), [1.5, 3.5], atol=0.04)


def test_one_delay_alone_is_known():
    law = DelayLaw(np.array([17.0]), np.zeros(1))
    assert law.interval(0.05) == (17.0, 17.0)
    assert [part.tolist() for part in law.nodes()] == [[17.0], [1.0]]
    assert law.mean_square(17.0) == 0.0
    assert law.tilted(np.array([17.0]), np.zeros(1)) is law
